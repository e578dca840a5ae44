//! What a service of a session is, and how calls find theirs.
use std::future::Future;
use std::pin::Pin;

use hyper::body::Incoming;
use tonic::body::Body;

use super::Scope;

/// The response to one call of the daemon.
pub type ResponseFuture = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;

/// A service that the client offers to the daemon.
pub trait Attachable: Send + Sync + 'static {
    /// The paths of its methods, such as `/moby.filesync.v1.Auth/Credentials`.
    ///
    /// Announced when the session opens; the daemon never calls others.
    fn methods(&self) -> &'static [&'static str];

    /// Gets ready for calls, while the daemon hears of the session; called once for each method.
    fn prepare(&self) {}

    /// Serves one call to one of the methods.
    ///
    /// A failure that should end the build with a better error than the daemon's echo of the gRPC
    /// status goes to the scope's failures as well, and tasks that outlive the call are spawned in
    /// the scope.
    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture;
}

/// Serves a call with a generated tonic server.
pub(crate) fn serve<S>(mut service: S, request: http::Request<Incoming>) -> ResponseFuture
where
    S: tower::Service<
            http::Request<Incoming>,
            Response = http::Response<Body>,
            Error = std::convert::Infallible,
        > + Send
        + 'static,
    S::Future: Send,
{
    Box::pin(async move {
        // Generated servers are always ready.
        match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
}

/// Answers a call with a gRPC error.
pub(crate) fn refuse(status: tonic::Status) -> ResponseFuture {
    Box::pin(std::future::ready(status.into_http()))
}
