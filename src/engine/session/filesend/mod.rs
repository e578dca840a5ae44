//! Receives what exporters send: archives into files or streams, file trees into directories.
//!
//! The daemon opens one call for each result and names the exporter by its place in the solve
//! request. An archive comes as plain bytes ([`archive`]), a file tree as the transfer that
//! [`filesync`](super::filesync) sends, with the roles swapped ([`tree`]).
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use hyper::body::Incoming;
use tokio::io::AsyncWrite;

use super::attachable::{Attachable, ResponseFuture, refuse};
use super::{Scope, SessionError};

mod archive;
mod disk;
mod tree;

/// Where the results of a build go.
#[derive(Default)]
pub struct FileSend {
    targets: BTreeMap<usize, Target>,
}

enum Target {
    File(PathBuf),
    /// Taken by the first call: a stream cannot be written twice.
    Stream(Mutex<Option<Box<dyn AsyncWrite + Send + Unpin>>>),
    Directory {
        path: PathBuf,
        delete: bool,
    },
}

impl FileSend {
    /// Whether no result is received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Receives the archive of exporter number `exporter` into a file, which appears when it is
    /// complete.
    pub fn file(&mut self, exporter: usize, path: PathBuf) {
        self.targets.insert(exporter, Target::File(path));
    }

    /// Receives the archive of exporter number `exporter` into a stream.
    pub fn stream(&mut self, exporter: usize, stream: Box<dyn AsyncWrite + Send + Unpin>) {
        self.targets.insert(exporter, Target::Stream(Mutex::new(Some(stream))));
    }

    /// Receives the file tree of exporter number `exporter`; `delete` removes what it lacks.
    pub fn directory(&mut self, exporter: usize, path: PathBuf, delete: bool) {
        self.targets.insert(exporter, Target::Directory { path, delete });
    }
}

impl Attachable for FileSend {
    fn methods(&self) -> &'static [&'static str] {
        &["/moby.filesync.v1.FileSend/DiffCopy"]
    }

    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture {
        let exporter = exporter(request.headers());
        let scope = scope.clone();
        let protocol =
            |problem: String| refuse(scope.failures().record(SessionError::Protocol { problem }));
        match self.targets.get(&exporter) {
            Some(Target::File(path)) => {
                Box::pin(archive::into_file(path.clone(), request.into_body(), scope))
            }
            Some(Target::Stream(stream)) => {
                match stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some(stream) => {
                        Box::pin(archive::into_stream(stream, request.into_body(), scope))
                    }
                    None => protocol(format!("exporter {exporter} sends its result twice")),
                }
            }
            Some(Target::Directory { path, delete }) => {
                if *delete && !whole_result(request.headers()) {
                    return protocol(
                        "it may send one call a platform, which `mode=delete` would take for all"
                            .to_owned(),
                    );
                }
                let response = tree::receive(path.clone(), *delete, request.into_body(), &scope);
                Box::pin(std::future::ready(response))
            }
            None => protocol(format!("nobody waits for the result of exporter {exporter}")),
        }
    }
}

/// The exporter's number; daemons with one exporter only send none.
fn exporter(headers: &HeaderMap) -> usize {
    let value = headers.get("buildkit-attachable-exporter-id");
    value.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the daemon sends all platforms in one call.
fn whole_result(headers: &HeaderMap) -> bool {
    headers.get_all("buildkit-exporter-multi-platform").iter().any(|value| value == "1")
}
