//! An HTTP proxy on loopback for the steps of a build, which counts what package servers send.
//!
//! Input: `CONNECT` to servers that speak TLS, which passes as it is, and requests for whole URLs to others.
//! Output: bytes. Package managers get the proxy by the build arguments that every builder knows and no cache key has.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::io::InspectReader;

/// The build arguments that name a proxy.
const ARGUMENTS: [&str; 2] = ["http_proxy", "https_proxy"];
/// What is between two neighbours alone.
const HOP: [HeaderName; 3] =
    [header::CONNECTION, HeaderName::from_static("proxy-connection"), header::PROXY_AUTHORIZATION];

type Body = BoxBody<Bytes, hyper::Error>;
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// A listening proxy; it ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a loopback port.
    ///
    /// # Errors
    ///
    /// When the system has no port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let received = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, Arc::clone(&received)));
        Ok(Self { address, received, task })
    }

    /// The build arguments with which steps find it.
    #[must_use]
    pub fn arguments(&self) -> [(String, String); 2] {
        ARGUMENTS.map(|name| (name.to_owned(), format!("http://{}", self.address)))
    }

    /// The bytes that servers have sent so far, heads and TLS included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, received: Arc<AtomicU64>) {
    while let Ok((client, _)) = listener.accept().await {
        let _ = client.set_nodelay(true);
        let neighbour =
            Arc::new(Neighbour { received: Arc::clone(&received), server: Mutex::default() });
        let service = hyper::service::service_fn(move |request| {
            let neighbour = Arc::clone(&neighbour);
            async move { Ok::<_, Infallible>(neighbour.answer(request).await) }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .preserve_header_case(true)
            .serve_connection(TokioIo::new(client), service)
            .with_upgrades();
        // A client that goes away is no matter here.
        tokio::spawn(async move { drop(serving.await) });
    }
}

/// A client's connection.
struct Neighbour {
    received: Arc<AtomicU64>,
    /// The server that was asked last, by its authority.
    server: Mutex<Option<(String, SendRequest<Incoming>)>>,
}

impl Neighbour {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answer = match *request.method() {
            Method::CONNECT => self.tunnel(request).await,
            _ => self.forward(request).await,
        };
        answer.unwrap_or_else(|_| {
            let mut answer = Response::new(nothing());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn connect(&self, authority: &str) -> std::io::Result<Counted> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let received = Arc::clone(&self.received);
        let count = move |bytes: &[u8]| {
            received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        };
        Ok(InspectReader::new(stream, Box::new(count)))
    }

    /// Passes bytes both ways until one side ends.
    async fn tunnel(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let mut server = self.connect(&authority(request.uri(), 443)?).await?;
        tokio::spawn(async move {
            if let Ok(client) = hyper::upgrade::on(request).await {
                let mut client = TokioIo::new(client);
                // Either side ends it, in whatever way it likes.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        Ok(Response::new(nothing()))
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let authority = authority(request.uri(), 80)?;
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = path.parse()?;
        for name in HOP {
            request.headers_mut().remove(name);
        }
        let mut server = self.server.lock().await;
        let mut kept = server.take().filter(|(known, _)| *known == authority).map(|(_, kept)| kept);
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(kept) => kept,
            None => {
                let stream = TokioIo::new(self.connect(&authority).await?);
                let (sender, connection) = hyper::client::conn::http1::Builder::new()
                    .preserve_header_case(true)
                    .handshake(stream)
                    .await?;
                tokio::spawn(async move { drop(connection.await) });
                sender
            }
        };
        let answer = sender.send_request(request).await?;
        *server = Some((authority, sender));
        let mut answer = answer.map(BodyExt::boxed);
        for name in HOP {
            answer.headers_mut().remove(name);
        }
        Ok(answer)
    }
}

/// `HOST:PORT` of a request's target.
fn authority(uri: &Uri, port: u16) -> Result<String, Problem> {
    let host = uri.host().ok_or("a request without a host")?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(port)))
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A connection to a server, whose bytes are counted.
type Counted = InspectReader<TcpStream, Box<dyn FnMut(&[u8]) + Send>>;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that answers each request on a connection in the same way.
    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut asked = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut asked).await {
                        // It is asked as a server is, not as a proxy.
                        assert!(asked[..count].starts_with(b"GET /a?b HTTP/1.1\r\n"));
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        address
    }

    async fn said(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
        let mut said = Vec::new();
        while !said.ends_with(end) {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "{}", said.escape_ascii());
        }
        said
    }

    #[tokio::test]
    async fn what_servers_send_is_counted() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let (one, other) = (server(ANSWER).await, server(ANSWER).await);
        let proxy = Proxy::start().await.unwrap();
        let arguments = proxy.arguments();
        assert_eq!(arguments[1].0, "https_proxy");
        let address = arguments[0].1.strip_prefix("http://").unwrap().to_owned();
        let mut client = TcpStream::connect(&address).await.unwrap();
        // One connection, two servers.
        for (server, count) in [(one, 1), (one, 2), (other, 3)] {
            let request = format!("GET http://{server}/a?b HTTP/1.1\r\nHost: {server}\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            assert!(said(&mut client, b"hello").await.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert_eq!(proxy.received(), count * ANSWER.len() as u64);
        }
        let mut client = TcpStream::connect(&address).await.unwrap();
        let request = format!("CONNECT {one} HTTP/1.1\r\nHost: {one}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(said(&mut client, b"\r\n\r\n").await.starts_with(b"HTTP/1.1 200 OK\r\n"));
        client.write_all(b"GET /a?b HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(said(&mut client, b"hello").await, ANSWER);
        assert_eq!(proxy.received(), 4 * ANSWER.len() as u64);
        // A server that is not there is the proxy's own answer.
        let mut client = TcpStream::connect(&address).await.unwrap();
        client.write_all(b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(said(&mut client, b"\r\n\r\n").await.starts_with(b"HTTP/1.1 502"));
    }
}
