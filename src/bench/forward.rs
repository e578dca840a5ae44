//! A forwarder on loopback that counts what passes through it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::sample::Traffic;

/// A listening forwarder; it ends with this value.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    down: AtomicU64,
    up: AtomicU64,
}

impl Forwarder {
    /// Listens on a loopback port and passes all connections on to `target`, a `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// When the system has no port.
    pub async fn start(target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let task = tokio::spawn(accept(listener, target, Arc::clone(&counters)));
        Ok(Self { address, counters, task })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The bytes so far; `down` is what came from the target.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            down: self.counters.down.load(Ordering::Relaxed),
            up: self.counters.up.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: String, counters: Arc<Counters>) {
    while let Ok((client, _)) = listener.accept().await {
        let (target, counters) = (target.clone(), Arc::clone(&counters));
        tokio::spawn(async move {
            // The client sees a closed connection, as if the target had closed it.
            let Ok(server) = TcpStream::connect(&target).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::join!(
                copy(client_reads, server_writes, &counters.up),
                copy(server_reads, client_writes, &counters.down),
            );
        });
    }
}

/// Copies until the end of either side, and tells the other one.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counter: &AtomicU64,
) {
    let mut buffer = vec![0; 128 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        counter.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_directions_are_counted() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let forwarder = Forwarder::start(listener.local_addr().unwrap().to_string()).await.unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"ping");
            stream.write_all(b"a longer answer").await.unwrap();
        };
        let client = async {
            let mut stream = TcpStream::connect(forwarder.host()).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"a longer answer");
        };
        tokio::join!(server, client);
        assert_eq!(forwarder.traffic(), Traffic { down: 15, up: 4 });
    }
}
