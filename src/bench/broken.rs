//! Registries that do not work: what a cache costs that cannot be had.
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

/// Two loopback ports, which last as long as this value.
#[derive(Debug)]
pub struct Broken {
    dead: SocketAddr,
    silent: SocketAddr,
    /// Taken, so that nobody else listens there, and refusing, as it does not listen either.
    _taken: TcpSocket,
    task: JoinHandle<()>,
}

impl Broken {
    /// Takes a port that refuses connections and one that accepts them and never answers.
    ///
    /// # Errors
    ///
    /// When the system has no port.
    pub async fn start() -> std::io::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let taken = TcpSocket::new_v4()?;
        taken.bind(any)?;
        let listener = TcpListener::bind(any).await?;
        let (dead, silent) = (taken.local_addr()?, listener.local_addr()?);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                open.push(connection);
            }
        });
        Ok(Self { dead, silent, _taken: taken, task })
    }

    /// `HOST:PORT` of what refuses connections.
    #[must_use]
    pub fn dead(&self) -> String {
        self.dead.to_string()
    }

    /// `HOST:PORT` of what accepts connections and never answers.
    #[must_use]
    pub fn silent(&self) -> String {
        self.silent.to_string()
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn one_refuses_and_one_says_nothing() {
        let broken = Broken::start().await.unwrap();
        let refused = TcpStream::connect(broken.dead()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let mut stream = TcpStream::connect(broken.silent()).await.unwrap();
        stream.write_all(b"GET /v2/ HTTP/1.1\r\n\r\n").await.unwrap();
        // Neither an answer nor the end of the connection.
        let answer = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}
