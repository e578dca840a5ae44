//! File trees: the receiving side of a transfer into a directory.
//!
//! The daemon announces all files, we ask for those with content, some at a time, and say when
//! everything is there. The disk is written by one thread ([`disk`](super::disk)); packets go
//! through short queues both ways, so memory does not grow with the files' sizes.
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use buildkit_rs_proto::fsutil::types::Packet;
use buildkit_rs_proto::fsutil::types::packet::PacketType;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codec::{Codec as _, Streaming};
use tonic_prost::ProstCodec;

use super::disk::Disk;
use crate::engine::client::MESSAGE_LIMIT;
use crate::engine::session::filesync::packet;
use crate::engine::session::{Scope, SessionError};
use crate::fault::chain;

/// Packets that may wait for the disk.
const QUEUE: usize = 16;

/// Starts to receive into `root` and returns the response whose body asks for files.
pub(super) fn receive(
    root: PathBuf,
    delete: bool,
    body: Incoming,
    scope: &Scope,
) -> http::Response<Body> {
    let (packets, received) = mpsc::channel(QUEUE);
    // Bounded by the number of files that are received at the same time.
    let (replies, sent) = mpsc::unbounded_channel();
    let failures = scope.failures().clone();
    scope.spawn_blocking(move || {
        if let Err(error) = write(root, delete, received, &replies) {
            let mut message = Vec::new();
            packet::error(&mut message, &chain(&error));
            failures.record(error);
            let _ = replies.send(message.into());
        }
    });
    scope.spawn(async move {
        let decoder = ProstCodec::<(), Packet>::default().decoder();
        let mut stream = Streaming::new_request(decoder, body, None, Some(MESSAGE_LIMIT));
        while let Ok(Some(packet)) = stream.message().await {
            if packets.send(packet).await.is_err() {
                break;
            }
        }
    });
    let mut response = http::Response::new(Body::new(Replies { sent, ended: false }));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// Writes what is received until the daemon says that the transfer has ended.
fn write(
    root: PathBuf,
    delete: bool,
    mut received: mpsc::Receiver<Packet>,
    replies: &mpsc::UnboundedSender<Bytes>,
) -> Result<(), SessionError> {
    let ask = |ids: &[u32]| {
        let mut message = Vec::new();
        for id in ids {
            packet::request(&mut message, *id);
        }
        if !message.is_empty() {
            // A daemon that has left shows in `received`.
            let _ = replies.send(message.into());
        }
    };
    let mut disk = Disk::open(root)?;
    let mut announced = 0;
    let mut complete = false;
    while let Some(packet) = received.blocking_recv() {
        let kind = packet.r#type();
        match (kind, packet.stat) {
            (PacketType::PacketStat, Some(stat)) => {
                disk.announce(announced, stat)?;
                announced += 1;
            }
            (PacketType::PacketStat, None) => complete = true,
            (PacketType::PacketData, _) => disk.data(packet.id, &packet.data)?,
            (PacketType::PacketErr, _) => return Ok(()),
            (PacketType::PacketFin, _) => return Ok(()),
            (PacketType::PacketReq, _) => {
                let problem = "it asks for files where it should send them".to_owned();
                return Err(SessionError::Protocol { problem });
            }
        }
        ask(&disk.start_waiting()?);
        if complete && disk.is_idle() {
            complete = false;
            disk.finish(delete)?;
            let mut message = Vec::new();
            packet::fin(&mut message);
            let _ = replies.send(message.into());
        }
    }
    Ok(())
}

/// The response's body: requests as they come, then the end of the call.
struct Replies {
    sent: mpsc::UnboundedReceiver<Bytes>,
    ended: bool,
}

impl hyper::body::Body for Replies {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(bytes) = ready!(self.sent.poll_recv(context)) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.ended = true;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
