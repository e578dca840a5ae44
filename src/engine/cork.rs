//! Collects the frames of a connection so that many leave in one system call.
//!
//! HTTP/2 sends bulk data in frames of 16 KiB and flushes each. A write for each wakes the daemon
//! once a frame, which costs both sides more than copying the bytes once more. Here a full frame's
//! flush waits for the next one: frames that are ready at the same time leave together. What is
//! small leaves at once.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are collected at most.
const CAPACITY: usize = 128 << 10;
/// Bytes from which a flush can wait: a full frame of HTTP/2. Smaller ones are somebody's question.
const BULK: usize = 16 << 10;

/// A stream whose writes are collected.
#[derive(Debug)]
pub(super) struct Corked<S> {
    stream: S,
    buffer: Vec<u8>,
    /// How much of the buffer has been written.
    written: usize,
    /// Whether something was added since the last flush.
    added: bool,
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), written: 0, added: false }
    }

    /// Writes all that has been collected.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let rest = &self.buffer[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.buffer.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= CAPACITY {
            ready!(self.poll_drain(context))?;
        }
        let mut room = CAPACITY - self.buffer.len();
        let mut taken = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(room)];
            self.buffer.extend_from_slice(part);
            taken += part.len();
            room -= part.len();
        }
        self.added |= taken > 0;
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = self.added && (BULK..CAPACITY).contains(&self.buffer.len());
        self.added = false;
        if waits {
            // Whoever has nothing more to add flushes again, which then is no wait. Should that not
            // come by itself, being polled once more brings it.
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Keeps what each write brought.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_writes_leave_with_their_flush_and_full_frames_together() {
        let mut corked = Corked::new(Writes::default());
        corked.write_all(b"question").await.unwrap();
        corked.flush().await.unwrap();
        assert_eq!(corked.stream.0, [b"question"]);
        for _ in 0..3 {
            corked.write_all(&[7; BULK]).await.unwrap();
            corked.flush().await.unwrap();
        }
        assert_eq!(corked.stream.0.len(), 1, "three frames wait for a flush with nothing new");
        corked.flush().await.unwrap();
        assert_eq!(corked.stream.0.len(), 2);
        assert_eq!(corked.stream.0[1].len(), 3 * BULK);
    }

    #[tokio::test]
    async fn more_than_it_holds_arrives_in_order() {
        let (mut near, far) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..3 * CAPACITY).map(|at| (at / 7) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut corked = Corked::new(far);
            corked.write_all(&sent).await.unwrap();
            corked.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        near.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        assert_eq!(received, expected);
    }
}
