//! Content stores: OCI layouts that the daemon reads images and caches from, or writes them to.
//!
//! A store is a directory with `blobs/sha256/…`, as OCI layouts have it. The daemon picks one by
//! the id in a call's metadata: `oci:NAME` for a named context, `local:PATH` for a local cache,
//! `export` for an image that is exported into a layout.
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use buildkit_rs_proto::containerd::services::content::v1 as wire;
use hyper::body::Incoming;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use wire::content_server::ContentServer;

use super::attachable::{Attachable, ResponseFuture, serve};
use super::{Scope, SessionError};
use crate::oci::digest::Digest;
use crate::oci::store::layout;

mod blobs;
mod file;
pub mod index;
mod ingest;

pub use blobs::{BlobError, Blobs};
use ingest::Ingest;

/// A content store.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A directory with blobs.
    Layout(PathBuf),
    /// Blobs that somebody else keeps; they can be read alone.
    Blobs(Arc<dyn Blobs>),
}

/// Content stores by the ids under which the daemon knows them.
#[derive(Clone, Debug, Default)]
pub struct ContentStores(Arc<BTreeMap<String, Store>>);

impl ContentStores {
    /// Offers the stores.
    #[must_use]
    pub(crate) fn new(stores: BTreeMap<String, Store>) -> Self {
        Self(Arc::new(stores))
    }
}

impl Attachable for ContentStores {
    fn methods(&self) -> &'static [&'static str] {
        &[
            "/containerd.services.content.v1.Content/Info",
            "/containerd.services.content.v1.Content/Update",
            "/containerd.services.content.v1.Content/List",
            "/containerd.services.content.v1.Content/Delete",
            "/containerd.services.content.v1.Content/Read",
            "/containerd.services.content.v1.Content/Status",
            "/containerd.services.content.v1.Content/ListStatuses",
            "/containerd.services.content.v1.Content/Write",
            "/containerd.services.content.v1.Content/Abort",
        ]
    }

    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture {
        let service = Service { stores: self.clone(), scope: scope.clone() };
        serve(
            ContentServer::new(service)
                .max_decoding_message_size(crate::engine::client::MESSAGE_LIMIT),
            request,
        )
    }
}

struct Service {
    stores: ContentStores,
    scope: Scope,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    fn store<T>(&self, request: &Request<T>) -> Result<Store, Status> {
        let id = request.metadata().get("buildkit-attachable-store-id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let store = self.stores.0.get(id);
        store.cloned().ok_or_else(|| Status::not_found(format!("unknown content store `{id}`")))
    }

    /// The directory of a store that can be written.
    fn root<T>(&self, request: &Request<T>) -> Result<PathBuf, Status> {
        match self.store(request)? {
            Store::Layout(root) => Ok(root),
            Store::Blobs(_) => Err(Status::permission_denied("the content store is read only")),
        }
    }

    fn failed(&self, path: &Path, error: io::Error) -> Status {
        if error.kind() == io::ErrorKind::NotFound {
            return Status::not_found(format!("`{}` does not exist", path.display()));
        }
        let path = path.to_owned();
        self.scope.failures().record(SessionError::Store { path, source: error })
    }

    async fn info_of(&self, store: &Store, digest: &str) -> Result<wire::Info, Status> {
        let root = match store {
            Store::Layout(root) => root,
            Store::Blobs(blobs) => return blobs::info(blobs.clone(), digest).await,
        };
        let path = blob_path(root, digest)?;
        let metadata = tokio::fs::metadata(&path).await;
        let metadata = metadata.map_err(|error| self.failed(&path, error))?;
        let size = i64::try_from(metadata.len()).unwrap_or(i64::MAX);
        Ok(wire::Info { digest: digest.to_owned(), size, ..Default::default() })
    }
}

/// Where a blob lies; a digest that is none cannot name a path.
fn blob_path(root: &Path, digest: &str) -> Result<PathBuf, Status> {
    let digest: Digest = digest.parse().map_err(|error: crate::oci::digest::DigestError| {
        Status::invalid_argument(error.to_string())
    })?;
    Ok(layout::blob(root, digest))
}

#[tonic::async_trait]
impl wire::content_server::Content for Service {
    async fn info(
        &self,
        request: Request<wire::InfoRequest>,
    ) -> Result<Response<wire::InfoResponse>, Status> {
        let store = self.store(&request)?;
        let info = self.info_of(&store, &request.get_ref().digest).await?;
        Ok(Response::new(wire::InfoResponse { info: Some(info) }))
    }

    async fn update(
        &self,
        request: Request<wire::UpdateRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        // Layouts have no labels; containerd's own directory store answers alike.
        let store = self.store(&request)?;
        let asked = request.into_inner().info.unwrap_or_default();
        let info = self.info_of(&store, &asked.digest).await?;
        Ok(Response::new(wire::UpdateResponse { info: Some(info) }))
    }

    type ListStream = BoxStream<wire::ListContentResponse>;

    async fn list(
        &self,
        request: Request<wire::ListContentRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let root = self.root(&request)?;
        let blobs = root.join("blobs/sha256");
        let store = Store::Layout(root);
        let mut found = Vec::new();
        if let Ok(mut entries) = tokio::fs::read_dir(&blobs).await {
            while let Ok(Some(entry)) = entries.next_entry().await {
                let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
                if let Ok(info) = self.info_of(&store, &digest).await {
                    found.push(info);
                }
            }
        }
        let response = wire::ListContentResponse { info: found };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(response)))))
    }

    async fn delete(
        &self,
        request: Request<wire::DeleteContentRequest>,
    ) -> Result<Response<()>, Status> {
        let path = blob_path(&self.root(&request)?, &request.get_ref().digest)?;
        tokio::fs::remove_file(&path).await.map_err(|error| self.failed(&path, error))?;
        Ok(Response::new(()))
    }

    type ReadStream = BoxStream<wire::ReadContentResponse>;

    async fn read(
        &self,
        request: Request<wire::ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let store = self.store(&request)?;
        let wire::ReadContentRequest { digest, offset, size } = request.into_inner();
        let root = match store {
            Store::Layout(root) => root,
            Store::Blobs(blobs) => return blobs::read(blobs, &digest, offset, size),
        };
        let path = blob_path(&root, &digest)?;
        let file = tokio::fs::File::open(&path).await.map_err(|error| self.failed(&path, error))?;
        Ok(Response::new(Box::pin(file::messages(file.into_std().await, offset, size))))
    }

    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        // Unfinished writes are dropped with their call, so there is never one to go on with.
        Err(Status::not_found("no such write"))
    }

    async fn list_statuses(
        &self,
        _: Request<wire::ListStatusesRequest>,
    ) -> Result<Response<wire::ListStatusesResponse>, Status> {
        Ok(Response::new(wire::ListStatusesResponse::default()))
    }

    type WriteStream = BoxStream<wire::WriteContentResponse>;

    async fn write(
        &self,
        request: Request<Streaming<wire::WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let root = self.root(&request)?;
        let ingest = Ingest::new(root, request.into_inner(), self.scope.clone());
        Ok(Response::new(Box::pin(ingest.answers())))
    }

    async fn abort(&self, _: Request<wire::AbortRequest>) -> Result<Response<()>, Status> {
        Err(Status::not_found("no such write"))
    }
}
