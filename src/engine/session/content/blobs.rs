//! Content stores whose blobs are no files: somebody fetches them while the daemon reads.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use buildkit_rs_proto::containerd::services::content::v1 as wire;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use tonic::{Response, Status};

use super::BoxStream as Messages;
use crate::oci::digest::{Digest, DigestError};

/// Blobs that can be read.
///
/// What goes wrong with one is told to the daemon alone: whether the build can do without it is its
/// affair.
pub trait Blobs: fmt::Debug + Send + Sync {
    /// The size of a blob that is there.
    fn size(self: Arc<Self>, digest: Digest) -> BoxFuture<'static, Result<u64, BlobError>>;

    /// A part of a blob; less of it where the blob ends before.
    fn read(
        self: Arc<Self>,
        digest: Digest,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, BlobError>>;
}

/// Why a blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("{0} does not exist")]
    Missing(Digest),
    /// It does not come; the text names it.
    #[error("{0}")]
    Failed(String),
}

impl From<BlobError> for Status {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing(_) => Self::not_found(error.to_string()),
            BlobError::Failed(text) => Self::unknown(text),
        }
    }
}

fn parse(digest: &str) -> Result<Digest, Status> {
    digest.parse().map_err(|error: DigestError| Status::invalid_argument(error.to_string()))
}

pub(super) async fn info(blobs: Arc<dyn Blobs>, digest: &str) -> Result<wire::Info, Status> {
    let size = blobs.size(parse(digest)?).await?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(wire::Info { digest: digest.to_owned(), size, ..Default::default() })
}

/// The messages of a part of a blob; without a size all that follows.
pub(super) fn read(
    blobs: Arc<dyn Blobs>,
    digest: &str,
    offset: i64,
    size: i64,
) -> Result<Response<Messages<wire::ReadContentResponse>>, Status> {
    let digest = parse(digest)?;
    let start = u64::try_from(offset).unwrap_or(0);
    let size = u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(u64::MAX);
    let pieces = blobs.read(digest, start..start.saturating_add(size));
    let messages = pieces.scan(offset, |at, piece| {
        let message = piece.map_err(Status::from).map(|data| {
            let offset = *at;
            *at += i64::try_from(data.len()).unwrap_or(0);
            wire::ReadContentResponse { offset, data }
        });
        std::future::ready(Some(message))
    });
    Ok(Response::new(Box::pin(messages)))
}
