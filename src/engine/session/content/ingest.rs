//! One blob on its way into a store: hashed while it is written, named when its digest is right.
use std::io::Write as _;
use std::path::PathBuf;

use buildkit_rs_proto::containerd::services::content::v1 as wire;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio_stream::Stream;
use tonic::{Status, Streaming};
use wire::WriteAction;

use crate::engine::session::{Scope, SessionError};
use crate::oci::digest::Digest;
use crate::oci::store::layout;

/// A write call of the daemon.
pub(super) struct Ingest {
    root: PathBuf,
    requests: Streaming<wire::WriteContentRequest>,
    scope: Scope,
    blob: Option<Blob>,
    done: bool,
}

struct Blob {
    file: NamedTempFile,
    hash: Sha256,
    offset: i64,
    total: i64,
    expected: String,
}

impl Ingest {
    pub(super) const fn new(
        root: PathBuf,
        requests: Streaming<wire::WriteContentRequest>,
        scope: Scope,
    ) -> Self {
        Self { root, requests, scope, blob: None, done: false }
    }

    /// One answer for each request.
    pub(super) fn answers(
        self,
    ) -> impl Stream<Item = Result<wire::WriteContentResponse, Status>> + Send {
        futures_util::stream::try_unfold(self, |mut ingest| async move {
            if ingest.done {
                return Ok(None);
            }
            let Some(request) = ingest.requests.message().await? else { return Ok(None) };
            // Blobs come one message at a time and the file is local: a thread would cost more.
            let answer = ingest.answer(request)?;
            Ok(Some((answer, ingest)))
        })
    }

    fn answer(
        &mut self,
        request: wire::WriteContentRequest,
    ) -> Result<wire::WriteContentResponse, Status> {
        let root = self.root.clone();
        let scope = self.scope.clone();
        let failed = |error: std::io::Error| {
            scope.failures().record(SessionError::Store { path: root.clone(), source: error })
        };
        if !request.expected.is_empty() && super::blob_path(&root, &request.expected)?.exists() {
            return Err(Status::already_exists(format!("{} is there", request.expected)));
        }
        if self.blob.is_none() {
            self.blob = Some(Blob::create(&root).map_err(failed)?);
        }
        let Some(blob) = &mut self.blob else { return Err(Status::internal("no blob")) };
        if request.total > 0 {
            blob.total = request.total;
        }
        if !request.expected.is_empty() {
            blob.expected.clone_from(&request.expected);
        }
        let action = request.action();
        if action != WriteAction::Stat {
            if request.offset > 0 && request.offset != blob.offset {
                let (wanted, at) = (request.offset, blob.offset);
                return Err(Status::out_of_range(format!("write at {wanted}, but it is at {at}")));
            }
            blob.file.write_all(&request.data).map_err(failed)?;
            blob.hash.update(&request.data);
            blob.offset += i64::try_from(request.data.len()).unwrap_or(0);
        }
        let digest = Digest::from_bytes(blob.hash.clone().finalize().into());
        let answer = wire::WriteContentResponse {
            action: request.action,
            offset: blob.offset,
            total: blob.total,
            digest: digest.to_string(),
            ..Default::default()
        };
        if action == WriteAction::Commit {
            self.done = true;
            self.commit(digest)?;
        }
        Ok(answer)
    }

    fn commit(&mut self, digest: Digest) -> Result<(), Status> {
        let Some(blob) = self.blob.take() else { return Ok(()) };
        if !blob.expected.is_empty() && blob.expected != digest.to_string() {
            let expected = blob.expected;
            return Err(Status::failed_precondition(format!(
                "blob has digest {digest} instead of {expected}"
            )));
        }
        if blob.total > 0 && blob.total != blob.offset {
            let (total, offset) = (blob.total, blob.offset);
            return Err(Status::failed_precondition(format!(
                "blob has {offset} bytes instead of {total}"
            )));
        }
        let path = layout::blob(&self.root, digest);
        let saved = blob.file.persist(&path).map(drop);
        saved.map_err(|error| {
            self.scope.failures().record(SessionError::Store { path, source: error.error })
        })
    }
}

impl Blob {
    fn create(root: &std::path::Path) -> std::io::Result<Self> {
        fs_err::create_dir_all(root.join("blobs/sha256"))?;
        let ingest = root.join("ingest");
        fs_err::create_dir_all(&ingest)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let file = tempfile::Builder::new().permissions(readable).tempfile_in(ingest)?;
        let (hash, expected) = (Sha256::new(), String::new());
        Ok(Self { file, hash, offset: 0, total: 0, expected })
    }
}
