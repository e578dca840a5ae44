//! Serves version 2 of GitHub's cache service on loopback, as `runnerd` implements it for the runners
//! of a host: the Twirp service, and the Azure blobs that its signed URLs lead to.
//!
//! ```text
//! actions-cache FOLDER JOB...
//! ```
//!
//! A job is `NAME`, then any of `,own=REF`, `,base=REF` and `,default=REF`: where it may write and
//! read first, where it reads next, and where every job reads last. A job without a ref of its own may
//! write nothing. Each job has a port, as each runner has a socket; a line `NAME listening on URL` says
//! which. The process ends with the one that started it.
use std::io::{Error, Result};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runnerd_core::buildcache::{ActionsCache, BuildCache, SOCKET, Scopes, Writes};
use tokio::net::{TcpListener, UnixStream};

/// More than a test or a benchmark stores; one archive may take a quarter of it.
const ROOM: u64 = 256 << 30;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let folder = folder.ok_or_else(|| Error::other("usage: actions-cache FOLDER JOB..."))?;
    let cache = BuildCache::open(&folder.join("cache"), &folder.join("sockets"), ROOM)?;
    for job in arguments {
        let job = job.into_string().map_err(|_| Error::other("a job that is no text"))?;
        serve(&cache, &job).await?;
    }
    let (parent, mut clock) = (parent_id(), tokio::time::interval(Duration::from_secs(1)));
    while parent_id() == parent {
        clock.tick().await;
    }
    Ok(())
}

/// Opens a port for `job`.
async fn serve(cache: &BuildCache, job: &str) -> Result<()> {
    let mut fields = job.split(',');
    let name = fields.next().unwrap_or_default();
    let mut scopes = Scopes::default();
    for field in fields {
        let value = |text: &str| Some(text.to_owned());
        match field.split_once('=') {
            Some(("own", reference)) => scopes.own = value(reference),
            Some(("base", reference)) => scopes.base = value(reference),
            Some(("default", reference)) => scopes.default = value(reference),
            _ => return Err(Error::other(format!("`{field}` of job `{name}` means nothing"))),
        }
    }
    let writes = if scopes.own.is_some() { Writes::Allowed } else { Writes::Refused };
    let socket = cache.attach(name, "owner/repository", ActionsCache::Served)?.join(SOCKET);
    cache.decide(name, writes, scopes);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    eprintln!("{name} listening on http://{}/", listener.local_addr()?);
    tokio::spawn(forward(listener, socket));
    Ok(())
}

async fn forward(listener: TcpListener, socket: PathBuf) {
    while let Ok((client, _)) = listener.accept().await {
        let socket = socket.clone();
        tokio::spawn(async move { pass(client, &socket).await });
    }
}

async fn pass(mut client: tokio::net::TcpStream, socket: &Path) -> Result<()> {
    let mut server = UnixStream::connect(socket).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
