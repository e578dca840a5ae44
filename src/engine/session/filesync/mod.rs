//! Sends local directories to the daemon: the build context and named contexts.
//!
//! The daemon opens one call for each local source and says in its metadata which directory and
//! which files of it it wants. A transfer has three sides that work at the same time: [`walk`]
//! announces the files in order, the daemon asks for those that it does not have yet, and
//! [`content`] reads them. All of them write finished packets ([`packet`]) into a few
//! [`buffers`] that go to the connection without another copy.
use std::collections::BTreeMap;
use std::path::PathBuf;

use http::HeaderMap;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::attachable::{Attachable, ResponseFuture, refuse};
use super::{Scope, SessionError};

mod buffers;
mod content;
pub mod fingerprint;
mod follow;
pub mod listing;
pub(crate) mod packet;
mod paths;
mod requests;
pub mod scan;
mod select;
mod send;
pub(crate) mod walk;
mod xattrs;

use fingerprint::{Synced, Wanted};
use select::Selection;

/// The directories that a build may read, by the names of its local sources.
#[derive(Clone, Debug, Default)]
pub struct FileSync {
    directories: BTreeMap<String, PathBuf>,
    /// Where it is noted what transfers have announced, if somebody wants to know.
    synced: Option<Synced>,
    /// Whether the daemon will ask for files, as far as is known.
    is_expected: bool,
}

impl FileSync {
    /// Offers `directories`.
    #[must_use]
    pub const fn new(directories: BTreeMap<String, PathBuf>) -> Self {
        Self { directories, synced: None, is_expected: true }
    }

    /// Notes in `synced` what transfers announce.
    #[must_use]
    pub fn noting(mut self, synced: Option<Synced>) -> Self {
        self.synced = synced;
        self
    }

    /// Does not get ready: the daemon has the files.
    #[must_use]
    pub const fn unless(mut self, has_files: bool) -> Self {
        self.is_expected = !has_files;
        self
    }
}

impl Attachable for FileSync {
    fn methods(&self) -> &'static [&'static str] {
        &["/moby.filesync.v1.FileSync/DiffCopy"]
    }

    /// Has the thread started that will look at the files: the runtime keeps it for a while.
    fn prepare(&self) {
        if self.is_expected {
            drop(tokio::task::spawn_blocking(|| ()));
        }
    }

    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture {
        let wanted = Wanted::from_headers(request.headers());
        let Some(root) = self.directories.get(&wanted.name).cloned() else {
            let error = SessionError::UnknownDirectory { name: wanted.name };
            return refuse(scope.failures().record(error));
        };
        match wanted.selection(&root) {
            Ok(selection) => {
                let noting = self.synced.clone().map(|synced| (synced, wanted));
                let sent = send::Sent { root, selection, noting };
                let response = send::start(sent, request.into_body(), scope);
                Box::pin(std::future::ready(response))
            }
            Err(error) => refuse(scope.failures().record(error)),
        }
    }
}

impl Wanted {
    fn from_headers(headers: &HeaderMap) -> Self {
        Self {
            name: values(headers, "dir-name").into_iter().next().unwrap_or_default(),
            include: values(headers, "include-patterns"),
            exclude: values(headers, "exclude-patterns"),
            follow: values(headers, "followpaths"),
        }
    }

    fn selection(&self, root: &std::path::Path) -> Result<Selection, SessionError> {
        let failed = |source| SessionError::Context { path: root.to_owned(), source };
        if !fs_err::metadata(root).map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::NotADirectory.into()));
        }
        let mut include = self.include.clone();
        if !self.follow.is_empty()
            && let Some(followed) = follow::follow(root, &self.follow).map_err(failed)?
        {
            include = follow::merge(include, followed);
        }
        Selection::new(&include, &self.exclude).map_err(|error| SessionError::Pattern {
            pattern: error.pattern,
            problem: error.problem.to_owned(),
        })
    }
}

/// The values of a metadata key; text beyond ASCII travels encoded as in a URL's query.
fn values(headers: &HeaderMap, key: &str) -> Vec<String> {
    let encoded = headers.get(format!("{key}-encoded")).is_some_and(|value| value == "1");
    let texts = headers.get_all(key).iter();
    texts
        .map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            if encoded {
                percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
            } else {
                text.into_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_encoded_metadata() {
        let mut headers = HeaderMap::new();
        for (key, value) in [
            ("dir-name", "context"),
            ("include-patterns", "a+b"),
            ("include-patterns", "c"),
            ("exclude-patterns", "%C3%A4+b"),
            ("exclude-patterns-encoded", "1"),
        ] {
            headers.append(key, value.parse().unwrap());
        }
        let wanted = Wanted::from_headers(&headers);
        assert_eq!(wanted.name, "context");
        assert_eq!(wanted.include, ["a+b", "c"]);
        assert_eq!(wanted.exclude, ["ä b"]);
        assert!(wanted.follow.is_empty());
    }
}
