//! Uploading blobs: mounted from another repository, in one request, or in resumable pieces.
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use url::Url;

use super::redact::redacted;
use super::retry::Pauses;
use super::scope::{PULL_PUSH, Scopes};
use super::transport::{Body, Call, Wire};
use super::{Client, RegistryError, path};
use crate::oci::manifest::Descriptor;
use crate::oci::reference::ImageReference;

/// The header in which a registry names its smallest piece.
const CHUNK_MIN: &str = "oci-chunk-min-length";
/// Blobs are read from files in pieces of this size.
const READ_SIZE: usize = 64 << 10;

/// The pieces of a blob that is being read.
pub type BlobStream = BoxStream<'static, Result<Bytes, RegistryError>>;

/// Where an uploaded blob comes from; it can be read again when an upload breaks.
pub trait BlobSource: Send + Sync {
    /// Reads the whole from its start.
    fn open(&self) -> BoxFuture<'_, Result<BlobStream, RegistryError>>;

    /// Reads `length` bytes from `offset`.
    fn read(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<Bytes, RegistryError>>;
}

/// How a blob came to be at the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was there.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}

impl BlobSource for Bytes {
    fn open(&self) -> BoxFuture<'_, Result<BlobStream, RegistryError>> {
        let bytes = self.clone();
        async move { Ok(futures_util::stream::iter([Ok(bytes)]).boxed()) }.boxed()
    }

    fn read(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<Bytes, RegistryError>> {
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(self.len());
        let piece = self.slice(at(offset)..at(offset.saturating_add(length)));
        async move { Ok(piece) }.boxed()
    }
}

/// A blob in a file.
pub struct FileSource(pub PathBuf);

impl BlobSource for FileSource {
    fn open(&self) -> BoxFuture<'_, Result<BlobStream, RegistryError>> {
        async move {
            let unreadable = |source| unreadable(&self.0, source);
            let file = tokio::fs::File::open(&self.0).await.map_err(unreadable)?;
            let path = self.0.clone();
            let stream = tokio_util::io::ReaderStream::with_capacity(file, READ_SIZE);
            let named = move |piece: std::io::Result<Bytes>| {
                piece.map_err(|e| super::upload::unreadable(&path, e))
            };
            Ok(stream.map(named).boxed())
        }
        .boxed()
    }

    fn read(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<Bytes, RegistryError>> {
        async move {
            let unreadable = |source| unreadable(&self.0, source);
            let mut file = tokio::fs::File::open(&self.0).await.map_err(unreadable)?;
            file.seek(std::io::SeekFrom::Start(offset)).await.map_err(unreadable)?;
            let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            file.take(length).read_to_end(&mut piece).await.map_err(unreadable)?;
            Ok(piece.into())
        }
        .boxed()
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> RegistryError {
    RegistryError::Source { what: path.display().to_string(), source }
}

/// A blob at a registry, which goes to another one without touching the disk.
pub struct RemoteSource {
    /// Who reads it.
    pub client: Client,
    /// The repository that holds it.
    pub reference: ImageReference,
    /// Which blob.
    pub descriptor: Descriptor,
}

impl BlobSource for RemoteSource {
    fn open(&self) -> BoxFuture<'_, Result<BlobStream, RegistryError>> {
        async move {
            let reader = self.client.get_blob(&self.reference, &self.descriptor).await?;
            let pieces = futures_util::stream::unfold(reader, |mut reader| async move {
                reader.next().await.map(|piece| (piece, reader))
            });
            Ok(pieces.boxed())
        }
        .boxed()
    }

    fn read(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<Bytes, RegistryError>> {
        async move { self.client.read_range(&self.reference, &self.descriptor, offset, length).await }
            .boxed()
    }
}

impl Client {
    /// Brings a blob into a reference's repository, in the cheapest way there is.
    ///
    /// With `mount_from`, a reference at the same registry, no byte moves if the registry agrees.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the blob cannot be read or the registry does not take it.
    pub async fn push_blob(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        mount_from: Option<&ImageReference>,
    ) -> Result<BlobOutcome, RegistryError> {
        let wire = self.upstream(reference)?;
        let upload = Upload { wire, reference, descriptor, source };
        let mount_from = mount_from.filter(|from| from.registry() == reference.registry());
        let mut session = None;
        if let Some(from) = mount_from {
            match upload.mount(from.repository()).await {
                Ok(None) => return Ok(BlobOutcome::Mounted),
                Ok(Some(begun)) => session = Some(begun),
                // Without a right to read the other repository the bytes can still be sent.
                Err(RegistryError::Denied { .. } | RegistryError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if self.has_blob(reference, descriptor.digest).await? {
            return Ok(BlobOutcome::Present);
        }
        let mut pauses = upload.wire.pauses();
        loop {
            let error = match upload.run(session.take()).await {
                Ok(()) => return Ok(BlobOutcome::Uploaded),
                Err(error) => error,
            };
            pauses.wait(error).await?;
            // The answer may have been lost after the registry had taken the blob.
            if self.has_blob(reference, descriptor.digest).await? {
                return Ok(BlobOutcome::Uploaded);
            }
        }
    }

    async fn read_range(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, RegistryError> {
        let hasher = <sha2::Sha256 as sha2::Digest>::new();
        let mut reader = self.resume_blob(reference, descriptor, offset, hasher).await?;
        let mut piece = bytes::BytesMut::new();
        while (piece.len() as u64) < length {
            // The last piece fails the reader's check, which has not seen the beginning: the
            // registry that takes the upload checks the whole.
            let Some(chunk) = reader.next().await else { break };
            piece.extend_from_slice(&chunk?);
            if reader.offset() == descriptor.size {
                break;
            }
        }
        piece.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(piece.freeze())
    }
}

/// An upload that the registry has begun: where it goes on.
struct Session {
    location: Url,
    chunk_min: u64,
}

/// One blob on its way up.
struct Upload<'a> {
    wire: Wire,
    reference: &'a ImageReference,
    descriptor: &'a Descriptor,
    source: &'a dyn BlobSource,
}

impl Upload<'_> {
    fn call(&self, method: Method, url: Url) -> Call<'_> {
        let what = format!("{}@{}", self.reference.name(), self.descriptor.digest);
        let scopes = Scopes::on(self.reference.repository(), PULL_PUSH);
        Call::new(method, url, &what, self.reference.repository(), scopes)
    }

    /// Asks the registry to take the blob from another of its repositories; it may begin an upload
    /// instead.
    async fn mount(&self, from: &str) -> Result<Option<Session>, RegistryError> {
        let digest = self.descriptor.digest.to_string();
        let query = [("mount", digest.as_str()), ("from", from)];
        let url = self.wire.host.url(&path(self.reference, "blobs/uploads/"), &query)?;
        let mut call = self.call(Method::POST, url);
        call.scopes = call.scopes.and_pull(from);
        let response = self.wire.send(&call).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(None);
        }
        session(&call.url, &response).map(Some)
    }

    async fn run(&self, session: Option<Session>) -> Result<(), RegistryError> {
        let session = match session {
            Some(session) => session,
            None => self.begin().await?,
        };
        let size = self.descriptor.size;
        match self.wire.inner.options.chunk_size {
            Some(chunk) if size > chunk.max(session.chunk_min) => {
                self.in_pieces(session, chunk).await
            }
            _ => {
                let body = Body::Stream { source: self.source, length: size };
                self.commit(session.location, body).await
            }
        }
    }

    async fn begin(&self) -> Result<Session, RegistryError> {
        let url = self.wire.host.url(&path(self.reference, "blobs/uploads/"), &[])?;
        let mut call = self.call(Method::POST, url);
        // The loop around the whole upload tries again.
        call.retried = false;
        session(&call.url, &self.wire.send(&call).await?)
    }

    /// Ends an upload with its last bytes; the registry checks the digest.
    async fn commit(&self, location: Url, body: Body<'_>) -> Result<(), RegistryError> {
        let mut url = location;
        url.query_pairs_mut().append_pair("digest", &self.descriptor.digest.to_string());
        let what = format!("{}@{}", self.reference.name(), self.descriptor.digest);
        let scopes = Scopes::on(self.reference.repository(), PULL_PUSH);
        let mut call = Call::new(Method::PUT, url, &what, self.reference.repository(), scopes)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body);
        // A broken upload cannot be ended twice: the whole is begun anew.
        call.retried = false;
        self.wire.send(&call).await.map(drop)
    }

    /// Sends piece by piece; after a broken one the registry tells how far it got.
    async fn in_pieces(&self, session: Session, chunk: u64) -> Result<(), RegistryError> {
        let chunk = chunk.max(session.chunk_min).max(1);
        let (mut location, mut offset) = (session.location, 0);
        let mut pauses = self.wire.pauses();
        while offset < self.descriptor.size {
            let length = chunk.min(self.descriptor.size - offset);
            let piece = self.source.read(offset, length).await?;
            if piece.is_empty() {
                return Err(RegistryError::Length {
                    what: self.descriptor.digest.to_string(),
                    expected: self.descriptor.size,
                    found: offset,
                });
            }
            let error = match self.send_piece(&location, offset, piece).await {
                Ok((next, received)) if received > offset => {
                    (location, offset) = (next, received);
                    pauses = self.wire.pauses();
                    continue;
                }
                Ok((next, _)) => {
                    RegistryError::Protocol { url: redacted(&next), reason: stuck(offset) }
                }
                Err(error) => error,
            };
            (location, offset) = self.recover(&location, error, &mut pauses).await?;
        }
        self.commit(location, Body::Empty).await
    }

    /// Asks where a broken upload goes on. Some registries give one up when a piece breaks; then the
    /// piece's own error comes back, and the whole is begun anew.
    async fn recover(
        &self,
        location: &Url,
        error: RegistryError,
        pauses: &mut Pauses,
    ) -> Result<(Url, u64), RegistryError> {
        let what = self.descriptor.digest.to_string();
        // A refused range is asked about, but not for ever.
        let error = match is_range_refusal(&error) {
            true => RegistryError::UploadLost { what: what.clone(), text: error.to_string() },
            false => error,
        };
        let (retryable, text) = (error.is_retryable(), error.to_string());
        pauses.wait(error).await?;
        match self.progress(location).await {
            Err(lost) if lost.is_not_found() && retryable => {
                Err(RegistryError::UploadLost { what, text })
            }
            result => result,
        }
    }

    async fn send_piece(
        &self,
        location: &Url,
        offset: u64,
        piece: Bytes,
    ) -> Result<(Url, u64), RegistryError> {
        let end = offset + piece.len() as u64;
        let mut call = self
            .call(Method::PATCH, location.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, &format!("{offset}-{}", end - 1))
            .body(Body::Bytes(piece));
        call.retried = false;
        let response = self.wire.send(&call).await?;
        let next = session(&call.url, &response)?.location;
        Ok((next, received(response.headers()).unwrap_or(end)))
    }

    /// Asks how many bytes of an upload have arrived.
    async fn progress(&self, location: &Url) -> Result<(Url, u64), RegistryError> {
        let call = self.call(Method::GET, location.clone());
        let response = self.wire.send(&call).await?;
        let next = session(&call.url, &response).map_or_else(|_| location.clone(), |s| s.location);
        Ok((next, received(response.headers()).unwrap_or(0)))
    }
}

fn stuck(offset: u64) -> String {
    format!("it takes no bytes after {offset}")
}

fn is_range_refusal(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Status { source, .. }
        if source.status == StatusCode::RANGE_NOT_SATISFIABLE)
}

/// The `Range` header of an upload: `0-<last byte>`; registries say `0-0` for nothing, too.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (_, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let last: u64 = last.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

fn session(asked: &Url, response: &Response) -> Result<Session, RegistryError> {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let location = text(LOCATION.as_str()).and_then(|location| asked.join(location).ok());
    let location = location.ok_or_else(|| RegistryError::Protocol {
        url: redacted(asked),
        reason: "it does not say where the upload goes on".to_owned(),
    })?;
    let chunk_min = text(CHUNK_MIN).and_then(|size| size.parse().ok()).unwrap_or(0);
    Ok(Session { location, chunk_min })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_an_upload_is_its_last_byte() {
        let header = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            received(&headers)
        };
        assert_eq!(header("0-99"), Some(100));
        assert_eq!(header("bytes=0-99"), Some(100));
        assert_eq!(header("0-0"), Some(0));
        assert_eq!(header("nonsense"), None);
        assert_eq!(received(&HeaderMap::new()), None);
    }
}
