//! Turns an address into a connection: one HTTP/2 connection that carries every call of a client.
//!
//! The connection is hyper's own, without name resolution, balancing or reconnection around it: a
//! build lives on one connection, and when that is lost the build is lost. TLS is set up only for
//! addresses that ask for it. A first call tells a daemon from anything else that listens.
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tonic::body::Body;

use super::address::{Address, Route};
use super::client::{Client, RpcError};
use super::cork::Corked;
use super::{dial, tls};
use crate::fault::{Classified, Fault};

/// What the peer may send on one stream before we have read it.
///
/// Large enough that a local socket never waits, small enough to stay out of a client's peak
/// memory when an exporter sends gigabytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams together.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// What one stream of ours may have buffered for sending.
const SEND_BUFFER: usize = 256 << 10;

/// How long a connection that carried no answer may take to end with a reason.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A daemon that could not be reached.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ConnectError {
    /// Nobody listens at the address.
    #[error("cannot connect to the builder at `{address}`")]
    #[diagnostic(help("{help}"))]
    Unreachable {
        /// The address as the user wrote it.
        address: String,
        /// The next step.
        help: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something listens there, but it does not speak gRPC.
    #[error("the builder at `{address}` does not answer as a BuildKit daemon does")]
    #[diagnostic(help(
        "check that the address is buildkitd's own, not Docker's; \
         a daemon behind TLS needs `?ca=…&cert=…&key=…`"
    ))]
    Handshake {
        /// The address as the user wrote it.
        address: String,
        /// What went wrong on the wire.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that TLS needs is missing or no PEM.
    #[error("cannot use `{}` for the TLS connection to `{address}`: {problem}", path.display())]
    #[diagnostic(help("the file must exist and hold PEM text"))]
    TlsFile {
        /// The address as the user wrote it.
        address: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS could not be agreed on.
    #[error("cannot set up TLS with the builder at `{address}`")]
    #[diagnostic(help(
        "the daemon's certificate must be signed by `ca` and name the host or `servername`; a daemon \
         that wants to know its clients needs `cert` and `key` too"
    ))]
    Tls {
        /// The address as the user wrote it.
        address: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The command that dials could not be started, or ended instead of connecting.
    #[error("cannot reach the builder at `{address}` through `{command}`: {problem}")]
    #[diagnostic(help("run the command by hand: it must stay open and connect to buildkitd"))]
    Command {
        /// The address as the user wrote it.
        address: String,
        /// The command line.
        command: String,
        /// What it said.
        problem: String,
    },
}

impl Classified for ConnectError {
    fn fault(&self) -> Fault {
        match self {
            Self::TlsFile { .. } => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

/// Connects to the daemon at `address`, and makes sure that one answers there.
///
/// # Errors
///
/// [`ConnectError`] naming the address and the next step.
pub async fn connect(address: &Address) -> Result<Client, ConnectError> {
    let (client, mut proof) = reach(address).await?;
    proof.refuted().await.map_or(Ok(client), Err)
}

/// Connects to what listens at `address`, which can be worked with before it has proved to be a daemon.
///
/// # Errors
///
/// [`ConnectError`] naming the address and the next step.
pub async fn reach(address: &Address) -> Result<(Client, Proof), ConnectError> {
    match &address.route {
        Route::Unix(path) => Ok(open(address, path).await?.prove(address, false)),
        Route::Tcp { host, port, tls } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await;
            let socket = socket.map_err(|source| unreachable_at(address, source))?;
            // A request must not wait for the acknowledgement of the one before it.
            let _ = socket.set_nodelay(true);
            let authority = authority(host, *port);
            let Some(tls) = tls else {
                let opened = handshake(address, socket, Scheme::HTTP, &authority).await?;
                return Ok(opened.prove(address, false));
            };
            let socket = tls::connect(address, tls, host, socket).await?;
            let name = tls.server_name.as_deref().unwrap_or(&authority);
            let opened = handshake(address, socket, Scheme::HTTPS, name).await?;
            Ok(opened.prove(address, true))
        }
        Route::Command { program, arguments } => {
            let child = dial::spawn(address, program, arguments)?;
            let (stream, stderr) = child.split();
            let opened = handshake(address, stream, Scheme::HTTP, "localhost").await?;
            let client = Client::new(opened.channel, address.clone());
            // A command that fails shows it only when it is used.
            match client.info().await {
                Err(error) if !is_old(&error) => {
                    Err(stderr.explain(address, program, arguments, &error).await)
                }
                _ => Ok((client, Proof(None))),
            }
        }
    }
}

/// Connects to a daemon that is known to be there: the private one, at its socket.
///
/// # Errors
///
/// [`ConnectError`] naming the address and the next step.
pub async fn connect_private(address: &Address) -> Result<Client, ConnectError> {
    match &address.route {
        Route::Unix(path) => Ok(Client::new(open(address, path).await?.channel, address.clone())),
        _ => connect(address).await,
    }
}

async fn open(address: &Address, path: &Path) -> Result<Opened, ConnectError> {
    let socket = UnixStream::connect(path).await;
    let socket = socket.map_err(|source| unreachable_at(address, source))?;
    handshake(address, socket, Scheme::HTTP, "localhost").await
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn unreachable_at(address: &Address, source: io::Error) -> ConnectError {
    let help = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "run as a user who may use the socket (a group such as `buildkit`), or leave out \
             `--builder` to use kitwright's own engine"
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "start buildkitd there, correct `--builder` or `BUILDKIT_HOST`, or leave both out to \
             use kitwright's own engine"
        }
        _ => "check the address and the network between here and there",
    };
    ConnectError::Unreachable { address: address.to_string(), help: help.to_owned(), source }
}

async fn handshake(
    address: &Address,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: Scheme,
    authority: &str,
) -> Result<Opened, ConnectError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ConnectError::Handshake {
        address: address.to_string(),
        source,
    };
    let authority = Authority::try_from(authority).map_err(|error| failed(error.into()))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .handshake(TokioIo::new(Corked::new(stream)))
        .await
        .map_err(|error| failed(error.into()))?;
    // Ends by itself when the last sender is gone or the peer hangs up; every call then reports it.
    let connection = tokio::spawn(connection);
    Ok(Opened { channel: Channel { sender, scheme, authority }, connection })
}

/// A connection over which nothing has been said yet.
struct Opened {
    channel: Channel,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Opened {
    /// Makes a first call: it is the answer that tells a daemon from anything else that listens.
    ///
    /// A daemon behind TLS refuses a client's certificate only after its own part of the handshake.
    fn prove(self, address: &Address, is_tls: bool) -> (Client, Proof) {
        let client = Client::new(self.channel, address.clone());
        let (asking, connection) = (client.clone(), self.connection);
        let proof = tokio::spawn(async move {
            let error = match asking.info().await {
                Err(error) if !is_old(&error) => error,
                _ => return Ok(()),
            };
            let address = asking.address().to_string();
            let ended = tokio::time::timeout(LAST_WORDS, connection).await;
            let source = match ended {
                Ok(Ok(Err(cause))) => cause.into(),
                _ => error.into(),
            };
            Err(match is_tls {
                true => ConnectError::Tls { address, source },
                false => ConnectError::Handshake { address, source },
            })
        });
        (client, Proof(Some(proof)))
    }
}

/// Whether what was reached is a daemon, which its answer to a first call tells.
///
/// The call leaves with those that follow it: on a far daemon, waiting for its answer first would take as long
/// as the way there and back.
pub struct Proof(Option<JoinHandle<Result<(), ConnectError>>>);

impl Proof {
    /// Waits for the answer; what is wrong with it, if that was not told before.
    pub async fn refuted(&mut self) -> Option<ConnectError> {
        match self.0.take()?.await {
            Ok(Err(error)) => Some(error),
            _ => None,
        }
    }
}

/// Whether a daemon answers that it does not know the call, which is younger than some daemons.
fn is_old(error: &RpcError) -> bool {
    error.status.code() == tonic::Code::Unimplemented
}

/// An open connection on which gRPC calls are made; clones share it.
#[derive(Clone, Debug)]
pub struct Channel {
    sender: http2::SendRequest<Body>,
    scheme: Scheme,
    authority: Authority,
}

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // gRPC clients give the path alone; HTTP/2 wants the whole address.
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        Box::pin(self.sender.send_request(request))
    }
}
