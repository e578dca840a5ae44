//! gRPC inside gRPC: the `Session` stream carries an HTTP/2 connection on which the daemon calls.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1::BytesMessage;
use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::{Codec as _, Streaming};
use tonic_prost::ProstCodec;
use tower::Service as _;

use super::pipe::{PipeWriter, pipe};
use super::{Attachable, Scope, Session, SessionError};
use crate::engine::client::{Client, MESSAGE_LIMIT};
use crate::engine::connect::Channel;
use crate::fault::chain;

/// What the daemon may send on one stream before we have read it.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of the session.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// What one stream of ours may have buffered for sending.
const SEND_BUFFER: usize = 64 << 10;
/// How long services may take to notice that the session is over.
const GRACE: Duration = Duration::from_secs(5);

/// Opens the session and serves it until `over` is cancelled or the daemon closes it.
pub(crate) async fn run(
    client: Client,
    session: Session,
    over: CancellationToken,
) -> Result<(), SessionError> {
    let broken = |problem: String| SessionError::Broken { problem };
    let (writer, body) = pipe();
    let request = request(&session, Body::new(body)).map_err(|error| broken(error.to_string()))?;
    let refusal = Arc::default();
    // Our half of the inner connection begins before the daemon has answered: it can use it at once.
    let incoming = Incoming::Awaited(client.channel().call(request), Arc::clone(&refusal));
    let stream = Tunnel { incoming, unread: Bytes::new(), writer };

    let scope = session.scope.clone();
    let dispatch = Dispatch { services: Arc::new(session.services), scope: scope.clone() };
    let services = dispatch.services.clone();
    scope.spawn(async move {
        // What has been said leaves first.
        tokio::task::yield_now().await;
        services.values().for_each(|service| service.prepare());
    });
    let mut connection = Box::pin(
        hyper::server::conn::http2::Builder::new(scope.clone())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_streams(1024)
            .serve_connection(
                TokioIo::new(stream),
                hyper::service::service_fn(move |request| dispatch.call(request)),
            ),
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = over.cancelled() => None,
    };
    // Without its connection every stream of a service ends, and with it the service.
    drop(connection);
    if tokio::time::timeout(GRACE, scope.join()).await.is_err() {
        return Err(broken("a service did not end with the build".to_owned()));
    }
    if let (Some(_), Some(problem)) = (&ended, refusal.get()) {
        return Err(broken(problem.clone()));
    }
    match ended {
        None => Ok(()),
        Some(Ok(())) => Err(broken("the builder closed it".to_owned())),
        Some(Err(error)) => Err(broken(chain(&error))),
    }
}

fn request(session: &Session, body: Body) -> Result<http::Request<Body>, http::Error> {
    let mut request = http::Request::builder()
        .method(http::Method::POST)
        .version(http::Version::HTTP_2)
        .uri("/moby.buildkit.v1.Control/Session")
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .header("x-docker-expose-session-uuid", &session.id)
        .header("x-docker-expose-session-sharedkey", &session.shared_key)
        .body(body)?;
    let name = HeaderName::from_static("x-docker-expose-session-grpc-method");
    for method in session.services.keys() {
        request.headers_mut().append(name.clone(), HeaderValue::from_static(method));
    }
    Ok(request)
}

/// Finds the service of a call.
#[derive(Clone)]
struct Dispatch {
    services: Arc<BTreeMap<&'static str, Arc<dyn Attachable>>>,
    scope: Scope,
}

impl Dispatch {
    fn call(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> impl Future<Output = Result<http::Response<Body>, Infallible>> + use<> {
        let response = match self.services.get(request.uri().path()) {
            Some(service) => service.call(request, &self.scope),
            None => super::attachable::refuse(tonic::Status::unimplemented(format!(
                "kitwright offers no {}",
                request.uri().path()
            ))),
        };
        response.map(Ok)
    }
}

/// What the daemon sends on the `Session` call.
enum Incoming {
    /// It has not answered yet; where its refusal is kept, in its own words.
    Awaited(<Channel as tower::Service<http::Request<Body>>>::Future, Arc<OnceLock<String>>),
    /// It has.
    Open(Streaming<BytesMessage>),
}

impl Incoming {
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self {
                Self::Awaited(answer, refusal) => {
                    let opened = match ready!(answer.as_mut().poll(context)) {
                        Ok(response) => opened(response),
                        Err(error) => Err(error.to_string()),
                    };
                    match opened {
                        Ok(messages) => *self = Self::Open(messages),
                        Err(problem) => {
                            let error = io::Error::other(problem.clone());
                            let _ = refusal.set(problem);
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                Self::Open(messages) => {
                    let message = ready!(Pin::new(messages).poll_next(context));
                    let message = message.map(|message| message.map(|message| message.data));
                    return Poll::Ready(message.map(|data| data.map_err(io::Error::other)));
                }
            }
        }
    }
}

/// The messages of a call that was answered, or why it was refused.
fn opened(
    response: http::Response<hyper::body::Incoming>,
) -> Result<Streaming<BytesMessage>, String> {
    if let Some(status) = tonic::Status::from_header_map(response.headers()) {
        return Err(status.message().to_owned());
    }
    let code = response.status();
    let decoder = ProstCodec::<(), BytesMessage>::default().decoder();
    let limit = Some(MESSAGE_LIMIT);
    Ok(Streaming::new_response(decoder, response.into_body(), code, None, limit))
}

/// The two directions of the `Session` call as one byte stream.
struct Tunnel {
    incoming: Incoming,
    unread: Bytes,
    writer: PipeWriter,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.incoming.poll_message(context)) {
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
