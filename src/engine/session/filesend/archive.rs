//! Archives: the bytes of one exporter into one file or stream.
use std::io::{self, Write as _};
use std::path::PathBuf;

use buildkit_rs_proto::moby::filesync::v1::BytesMessage;
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;
use tonic::codec::{Codec as _, Streaming};
use tonic_prost::ProstCodec;

use crate::engine::client::MESSAGE_LIMIT;
use crate::engine::session::{Scope, SessionError};

/// Messages that may wait for the disk.
const QUEUE: usize = 4;

/// Writes the archive beside `path` and moves it there when it is complete.
pub(super) async fn into_file(path: PathBuf, body: Incoming, scope: Scope) -> http::Response<Body> {
    let (chunks, queue) = mpsc::channel(QUEUE);
    let (done, written) = oneshot::channel();
    let target = path.clone();
    scope.spawn_blocking(move || {
        let _ = done.send(write(&target, queue));
    });
    let mut messages = messages(body);
    let received = loop {
        match messages.message().await {
            Ok(Some(message)) => {
                if chunks.send(Some(message.data)).await.is_err() {
                    // The writer has failed, and says why below.
                    break Ok(());
                }
            }
            Ok(None) => {
                let _ = chunks.send(None).await;
                break Ok(());
            }
            Err(status) => break Err(status),
        }
    };
    drop(chunks);
    let failed = |source| SessionError::Output { path, source };
    match (received, written.await) {
        (Err(status), _) => status.into_http(),
        (Ok(()), Ok(Ok(()))) => tonic::Status::ok("").into_http(),
        (Ok(()), Ok(Err(source))) => scope.failures().record(failed(source)).into_http(),
        (Ok(()), Err(_)) => tonic::Status::aborted("the writer ended early").into_http(),
    }
}

/// Writes chunks until the end is announced; without it the file is given up.
fn write(path: &std::path::Path, mut queue: mpsc::Receiver<Option<Bytes>>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => std::path::Path::new("."),
    };
    fs_err::create_dir_all(directory)?;
    if !is_replaceable(path) {
        // A pipe or device is written where it is.
        let mut file = fs_err::OpenOptions::new().write(true).open(path)?;
        while let Some(Some(chunk)) = queue.blocking_recv() {
            file.write_all(&chunk)?;
        }
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .prefix(".kitwright-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(directory)?;
    while let Some(chunk) = queue.blocking_recv() {
        match chunk {
            Some(chunk) => file.write_all(&chunk)?,
            None => {
                file.persist(path).map_err(|error| error.error)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_replaceable(path: &std::path::Path) -> bool {
    fs_err::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

/// Writes the archive to `stream` and closes it.
pub(super) async fn into_stream(
    mut stream: Box<dyn AsyncWrite + Send + Unpin>,
    body: Incoming,
    scope: Scope,
) -> http::Response<Body> {
    let failed = |source| {
        let path = PathBuf::from("-");
        scope.failures().record(SessionError::Output { path, source }).into_http()
    };
    let mut messages = messages(body);
    loop {
        match messages.message().await {
            Ok(Some(message)) => {
                if let Err(error) = stream.write_all(&message.data).await {
                    return failed(error);
                }
            }
            Ok(None) => break,
            Err(status) => return status.into_http(),
        }
    }
    match stream.shutdown().await {
        Ok(()) => tonic::Status::ok("").into_http(),
        Err(error) => failed(error),
    }
}

fn messages(body: Incoming) -> Streaming<BytesMessage> {
    let decoder = ProstCodec::<(), BytesMessage>::default().decoder();
    Streaming::new_request(decoder, body, None, Some(MESSAGE_LIMIT))
}
