//! One transfer: announcements, requests and contents over one gRPC stream.
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
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

use super::buffers::{Buffer, Buffers, SIZE};
use super::fingerprint::{Print, Synced, Wanted};
use super::paths::Paths;
use super::requests::Requests;
use super::select::Selection;
use super::walk::{self, Entry, Stopped, Visitor, WalkError};
use super::xattrs::Xattrs;
use super::{content, packet};
use crate::engine::client::MESSAGE_LIMIT;
use crate::engine::session::{Scope, SessionError};
use crate::fault::chain;

/// Buffers that may wait for the connection.
const QUEUE: usize = 4;
/// Fill at which announcements are sent on, so that the daemon has something to compare early.
const WORTH_SENDING: usize = 32 << 10;

/// What is sent.
pub(super) struct Sent {
    pub(super) root: PathBuf,
    pub(super) selection: Selection,
    /// Where it is noted what was announced, and under what.
    pub(super) noting: Option<(Synced, Wanted)>,
}

/// Starts a transfer and returns the response whose body it is.
pub(super) fn start(sent: Sent, requests: Incoming, scope: &Scope) -> http::Response<Body> {
    let Sent { root, selection, noting } = sent;
    let (sender, queue) = mpsc::channel(QUEUE);
    let ending = Arc::new(Mutex::new(None));
    let transfer = Arc::new(Transfer {
        root,
        paths: Mutex::new(Paths::new()),
        buffers: Buffers::new(),
        outlet: Outlet(sender),
        scope: scope.clone(),
    });
    let wanted = Arc::new(Requests::default());
    let walking = transfer.clone();
    scope.spawn_blocking(move || walking.announce(&selection, noting));
    let ended = ending.clone();
    scope.spawn(async move {
        let status = listen(requests, &wanted, &transfer).await;
        wanted.close();
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    });
    let mut response = http::Response::new(Body::new(Packets { queue, ending }));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// What the sides of a transfer share.
struct Transfer {
    root: PathBuf,
    paths: Mutex<Paths>,
    buffers: Buffers,
    outlet: Outlet,
    scope: Scope,
}

impl Transfer {
    /// Walks the directory and announces what the selection takes.
    fn announce(&self, selection: &Selection, noting: Option<(Synced, Wanted)>) {
        let mut announcer = Announcer {
            transfer: self,
            buffer: self.buffers.take(),
            scratch: Vec::new(),
            print: noting.is_some().then(Print::begin),
        };
        let xattrs = Some(Xattrs::new(&self.root));
        let walked = walk::walk(&self.root, selection, xattrs, &mut announcer);
        if let Some((synced, wanted)) = noting {
            let print = announcer.print.take().filter(|_| walked.is_ok());
            synced.note(wanted, print.and_then(Print::settled));
        }
        match walked {
            Ok(()) => {
                packet::end_of_stats(&mut announcer.buffer.bytes);
                let _ = self.outlet.send(announcer.buffer);
            }
            Err(WalkError::Stopped) => {}
            Err(WalkError::Io { path, source }) => {
                // Gone before the daemon is told: the message may need a buffer.
                drop(announcer);
                self.fail(SessionError::Context { path, source });
            }
        }
    }

    /// Ends the transfer on the daemon's side, too.
    fn fail(&self, error: SessionError) {
        let mut buffer = self.buffers.take();
        packet::error(&mut buffer.bytes, &chain(&error));
        self.scope.failures().record(error);
        let _ = self.outlet.send(buffer);
    }
}

/// Where filled buffers go.
#[derive(Clone, Debug)]
pub(super) struct Outlet(mpsc::Sender<Bytes>);

impl Outlet {
    /// Sends a buffer on, waiting while the connection has enough.
    pub(super) fn send(&self, buffer: Buffer) -> Result<(), Stopped> {
        self.0.blocking_send(buffer.send()).map_err(|_| Stopped)
    }
}

/// Turns what the walk finds into announcements.
struct Announcer<'a> {
    transfer: &'a Transfer,
    buffer: Buffer,
    scratch: Vec<u8>,
    print: Option<Print>,
}

impl Visitor for Announcer<'_> {
    fn enter(&mut self, parent: u32, name: &[u8]) -> u32 {
        let mut paths = self.transfer.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.add_directory(parent, name)
    }

    fn entry(&mut self, directory: u32, name: &[u8], entry: &Entry<'_>) -> Result<(), Stopped> {
        {
            let mut paths = self.transfer.paths.lock().unwrap_or_else(PoisonError::into_inner);
            if entry.stat.is_regular() {
                paths.announce_file(directory, name);
            } else {
                paths.announce_other();
            }
        }
        if let Some(print) = &mut self.print {
            print.add(entry);
        }
        packet::stat(&mut self.buffer.bytes, entry, &mut self.scratch);
        // The rare announcement with attributes of many kilobytes makes its buffer grow.
        if self.buffer.bytes.len() >= WORTH_SENDING.min(SIZE) {
            let full = std::mem::replace(&mut self.buffer, self.transfer.buffers.take());
            self.transfer.outlet.send(full)?;
        }
        Ok(())
    }
}

/// Starts a thread that reads files.
fn read(transfer: &Arc<Transfer>, wanted: &Arc<Requests>) {
    let (sides, wanted) = (transfer.clone(), wanted.clone());
    transfer.scope.spawn_blocking(move || {
        let Transfer { root, paths, buffers, outlet, .. } = sides.as_ref();
        if let Err(error) = content::serve(root, paths, &wanted, buffers, outlet) {
            sides.fail(error);
        }
    });
}

/// Passes the daemon's requests on until it has all it wants.
async fn listen(
    requests: Incoming,
    wanted: &Arc<Requests>,
    transfer: &Arc<Transfer>,
) -> tonic::Status {
    let decoder = ProstCodec::<Packet, Packet>::default().decoder();
    let mut packets = Streaming::new_request(decoder, requests, None, Some(MESSAGE_LIMIT));
    loop {
        match packets.message().await {
            Ok(Some(received)) => match received.r#type() {
                PacketType::PacketReq => {
                    if wanted.push(received.id) {
                        read(transfer, wanted);
                    }
                }
                PacketType::PacketFin => {
                    let mut fin = Vec::new();
                    packet::fin(&mut fin);
                    let _ = transfer.outlet.0.send(fin.into()).await;
                    return tonic::Status::ok("");
                }
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&received.data);
                    return tonic::Status::aborted(format!("error from receiver: {text}"));
                }
                PacketType::PacketStat | PacketType::PacketData => {}
            },
            Ok(None) => return tonic::Status::cancelled("the builder left the transfer"),
            Err(status) => return status,
        }
    }
}

/// The response's body: buffers as they come, and the transfer's status at the end.
struct Packets {
    queue: mpsc::Receiver<Bytes>,
    ending: Arc<Mutex<Option<tonic::Status>>>,
}

impl hyper::body::Body for Packets {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = ready!(self.queue.poll_recv(context)) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        // Every side has ended; a second poll finds nothing more.
        let status = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        Poll::Ready(status.map(|status| {
            let mut trailers = HeaderMap::new();
            if status.add_header(&mut trailers).is_err() {
                trailers.insert("grpc-status", http::HeaderValue::from_static("2"));
            }
            Ok(Frame::trailers(trailers))
        }))
    }
}
