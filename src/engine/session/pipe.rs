//! The sending half of the session tunnel: bytes in, gRPC messages out.
//!
//! The HTTP/2 server inside the tunnel writes frame by frame and flushes each. The pipe collects
//! what was written since the last message was sent: full frames wait for those that are ready at
//! the same time, so that many travel as one `BytesMessage`; a small one is sent at once. The
//! message's envelope is written into room kept before the bytes, and its memory comes back for
//! another message when it has left.
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::io::AsyncWrite;

/// Bytes of one message; more has to wait until the message is sent.
///
/// Each message wakes the outer connection's task once, so a few large ones cost less.
const CAPACITY: usize = 128 << 10;
/// Bytes from which a flush can wait for more: a full frame of HTTP/2.
const BULK: usize = 16 << 10;
/// Messages whose memory is kept for others.
const KEPT: usize = 3;
/// Room for the envelope: gRPC's flag and length (5), the field's key (1) and its length (4).
const ENVELOPE: usize = 10;
/// The key of field 1, length-delimited.
const DATA_KEY: u8 = 1 << 3 | 2;

/// Creates a pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeBody) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (PipeWriter(shared.clone()), PipeBody(shared))
}

#[derive(Default)]
struct Shared {
    /// Empty, or the envelope's room and what was written after it.
    buffer: Vec<u8>,
    /// Memory of messages that have left.
    spare: Vec<Vec<u8>>,
    /// Whether something was written since the last flush.
    written: bool,
    writer_gone: bool,
    reader_gone: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake_reader(mut shared: MutexGuard<'_, Shared>) {
    if let Some(reader) = shared.reader.take() {
        drop(shared);
        reader.wake();
    }
}

/// The end that is written to.
pub(crate) struct PipeWriter(Arc<Mutex<Shared>>);

impl PipeWriter {
    fn write(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if shared.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if shared.buffer.is_empty() {
            if shared.buffer.capacity() == 0 {
                shared.buffer = shared.spare.pop().unwrap_or_default();
                shared.buffer.reserve(CAPACITY + ENVELOPE);
            }
            shared.buffer.resize(ENVELOPE, 0);
        }
        let mut room = (CAPACITY + ENVELOPE).saturating_sub(shared.buffer.len());
        if room == 0 {
            shared.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut written = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(room)];
            shared.buffer.extend_from_slice(part);
            written += part.len();
            room -= part.len();
        }
        shared.written = true;
        if room == 0 {
            wake_reader(shared);
        }
        Poll::Ready(Ok(written))
    }

    fn flushed(&self, context: &Context<'_>) {
        let mut shared = lock(&self.0);
        let waits = shared.written && shared.buffer.len() >= BULK;
        shared.written = false;
        if !waits {
            wake_reader(shared);
        } else if shared.reader.is_some() {
            // Whoever has nothing more to write flushes again. Should that not come by itself, being
            // polled once more brings it.
            context.waker().wake_by_ref();
        }
    }

    fn close(&self) {
        let mut shared = lock(&self.0);
        shared.writer_gone = true;
        wake_reader(shared);
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// The end that is sent: the body of the `Session` call.
pub(crate) struct PipeBody(Arc<Mutex<Shared>>);

impl Body for PipeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut shared = lock(&self.0);
        if shared.buffer.is_empty() {
            if shared.writer_gone {
                return Poll::Ready(None);
            }
            shared.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let buffer = std::mem::take(&mut shared.buffer);
        let writer = shared.writer.take();
        drop(shared);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(Ok(Frame::data(sealed(buffer, &self.0)))))
    }
}

impl Drop for PipeBody {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.reader_gone = true;
        if let Some(writer) = shared.writer.take() {
            drop(shared);
            writer.wake();
        }
    }
}

/// A message on its way; its memory comes back when the last reference to it is gone.
struct Message {
    buffer: Vec<u8>,
    home: Arc<Mutex<Shared>>,
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut shared = lock(&self.home);
        if shared.spare.len() < KEPT {
            buffer.clear();
            shared.spare.push(buffer);
        }
    }
}

/// Writes the envelope of a gRPC `BytesMessage` right before the bytes.
fn sealed(mut buffer: Vec<u8>, home: &Arc<Mutex<Shared>>) -> Bytes {
    let length = buffer.len() - ENVELOPE;
    let mut key_and_length = [0; 5];
    key_and_length[0] = DATA_KEY;
    let mut used = 1;
    let mut rest = length;
    loop {
        // The mask keeps seven bits, so the cast loses nothing.
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        key_and_length[used] = if rest == 0 { low } else { low | 0x80 };
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let start = ENVELOPE - used - 5;
    // A message is at most `CAPACITY` and its envelope long, far below 4 GiB.
    let size = u32::try_from(used + length).unwrap_or(u32::MAX);
    buffer[start] = 0;
    buffer[start + 1..start + 5].copy_from_slice(&size.to_be_bytes());
    buffer[start + 5..ENVELOPE].copy_from_slice(&key_and_length[..used]);
    Bytes::from_owner(Message { buffer, home: home.clone() }).slice(start..)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use buildkit_rs_proto::moby::buildkit::v1::BytesMessage;
    use http_body_util::BodyExt as _;
    use prost::Message as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn opened(message: &Bytes) -> Bytes {
        assert_eq!(message[0], 0, "not compressed");
        let size = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
        assert_eq!(message.len(), 5 + size);
        BytesMessage::decode(&message[5..]).unwrap().data
    }

    #[tokio::test]
    async fn writes_are_collected_into_messages_that_prost_reads() {
        for length in [1, 127, 128, 16_383, 16_384, CAPACITY] {
            let (mut writer, mut body) = pipe();
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let (one, two) = bytes.split_at(length / 2);
            writer.write_all(one).await.unwrap();
            writer.flush().await.unwrap();
            writer.write_all(two).await.unwrap();
            writer.flush().await.unwrap();
            let message = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(opened(&message), bytes, "{length} bytes");
            drop(writer);
            assert!(body.frame().await.is_none());
        }
    }

    #[tokio::test]
    async fn full_frames_wait_for_each_other_and_small_ones_for_nobody() {
        let (mut writer, mut body) = pipe();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut read = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
        assert!(read().is_pending());
        for _ in 0..2 {
            writer.write_all(&[7; BULK]).await.unwrap();
            writer.flush().await.unwrap();
        }
        assert!(!woken.0.swap(false, Ordering::SeqCst), "more may be ready");
        writer.flush().await.unwrap();
        assert!(woken.0.swap(false, Ordering::SeqCst));
        let Poll::Ready(Some(Ok(frame))) = read() else { panic!("nothing to read") };
        assert_eq!(opened(&frame.into_data().unwrap()).len(), 2 * BULK);
        assert!(read().is_pending());
        writer.write_all(b"answer").await.unwrap();
        writer.flush().await.unwrap();
        assert!(woken.0.swap(false, Ordering::SeqCst));
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_full_pipe_waits_for_its_reader() {
        let (mut writer, mut body) = pipe();
        let sent = tokio::spawn(async move { writer.write_all(&vec![7; 3 * CAPACITY]).await });
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += opened(&frame.unwrap().into_data().unwrap()).len();
        }
        sent.await.unwrap().unwrap();
        assert_eq!(received, 3 * CAPACITY);
    }

    #[tokio::test]
    async fn a_reader_that_left_breaks_the_pipe() {
        let (mut writer, body) = pipe();
        drop(body);
        let error = writer.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
