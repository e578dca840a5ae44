//! Gives an engine the layers of a cache in the service, as a content store of the session.
//!
//! The layers that a build may need are fetched before it begins, into files that have no name, and
//! checked; the engine reads them from there, and is offered nothing of the cache that rests on others.
//! That has a reason: an engine (0.32.2) fetches the layers of a local cache while it holds the lock of
//! all its results, and of one that breaks on the way it keeps a record that is of no use to any build.
//!
//! When the result is out, caches are written. For this the engine is offered the whole cache: what it
//! exports anew it reads from here, and else it only needs to know that the layers are there.
//!
//! Nothing is waited for longer than [`Patience`] lasts. Who has been waited for in vain once is not
//! asked again.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::StatusCode;
use http::header::RANGE;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use super::index::Cache;
use super::{Patience, ServiceError, Tries};
use crate::engine::session::content::{BlobError, Blobs};
use crate::engine::solve::CacheEntry;
use crate::oci::digest::Digest;

/// How often a piece is asked for.
const ATTEMPTS: u32 = 5;
/// How many layers are fetched at once.
const AT_ONCE: usize = 8;
/// Bytes of a layer in one message.
const CHUNK: usize = 256 << 10;

/// The content store of a cache.
#[derive(Debug)]
pub struct Layers {
    cache: Arc<Cache>,
    patience: Patience,
    /// Where files without a name are made.
    folder: PathBuf,
    fetched: Mutex<BTreeMap<Digest, Arc<OnceCell<File>>>>,
    room: Semaphore,
    /// The manifest of the part that is offered, when it is.
    part: OnceLock<(Digest, Bytes)>,
    /// The bytes that have come.
    received: AtomicU64,
    /// Why the service is not asked any more.
    given_up: Mutex<Option<String>>,
}

impl Layers {
    /// The layers of `cache`, kept in files in `folder`, for an engine of which nothing may come for
    /// `limit`.
    #[must_use]
    pub fn new(cache: Arc<Cache>, folder: PathBuf, limit: Duration) -> Self {
        // Before that, so that the engine can go on by itself.
        let limit = limit * 3 / 4;
        let limit = cache.service.timeout.map_or(limit, |timeout| timeout.min(limit));
        let patience = Patience { attempts: ATTEMPTS, limit };
        Self {
            cache,
            patience,
            folder,
            fetched: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
            part: OnceLock::new(),
            received: AtomicU64::new(0),
            given_up: Mutex::default(),
        }
    }

    /// How many bytes have come, which tells whether something still does.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What people call the cache.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cache.name
    }

    /// What people call the cache, and why it does not give its layers, if that is so.
    #[must_use]
    pub fn given_up(&self) -> Option<(&str, String)> {
        Some((&self.cache.name, lock(&self.given_up).clone()?))
    }

    /// Fetches these layers, as far as they come.
    pub async fn fetch_all(&self, wanted: &BTreeSet<Digest>) {
        join_all(wanted.iter().map(|digest| self.layer(*digest))).await;
    }

    /// Whether a layer is here.
    #[must_use]
    pub fn has(&self, digest: Digest) -> bool {
        lock(&self.fetched).get(&digest).is_some_and(|layer| layer.initialized())
    }

    /// The import with the layers that are here, and one with all of them.
    #[must_use]
    pub fn entries(&self) -> (CacheEntry, CacheEntry) {
        let (part, _) = self.part.get_or_init(|| {
            let manifest = self.cache.manifest_of(|digest| self.has(digest));
            (Digest::of(&manifest), manifest)
        });
        (self.cache.entry(*part), self.cache.entry(self.cache.manifest))
    }

    fn document(&self, digest: Digest) -> Option<&Bytes> {
        let part = self.part.get().filter(|(part, _)| *part == digest);
        part.map(|(_, manifest)| manifest).or_else(|| self.cache.documents.get(&digest))
    }

    /// A layer, fetched once whoever asks for it.
    async fn layer(&self, digest: Digest) -> Result<Arc<OnceCell<File>>, BlobError> {
        let cell = lock(&self.fetched).entry(digest).or_default().clone();
        cell.get_or_try_init(|| self.fetch(digest)).await?;
        Ok(cell)
    }

    async fn fetch(&self, digest: Digest) -> Result<File, BlobError> {
        let size = self.cache.size(digest).ok_or(BlobError::Missing(digest))?;
        // Nobody closes it.
        let _room = self.room.acquire().await;
        if lock(&self.given_up).is_some() {
            return Err(BlobError::Missing(digest));
        }
        match self.download(digest, size).await {
            Ok(file) => Ok(file),
            Err(ServiceError::Gone) => Err(BlobError::Missing(digest)),
            Err(error) => {
                let text = format!("failed to fetch {digest}: {error}");
                lock(&self.given_up).get_or_insert(text.clone());
                Err(BlobError::Failed(text))
            }
        }
    }

    /// Fetches a layer; where its answer breaks off, the next one goes on.
    async fn download(&self, digest: Digest, size: u64) -> Result<File, ServiceError> {
        let mut layer = Partial::new(tempfile::tempfile_in(&self.folder).map_err(Self::disk)?);
        let mut answer: Option<reqwest::Response> = None;
        let mut tries = Tries::new(self.patience);
        while layer.at < size {
            let attempt = async {
                let mut open = match answer.take() {
                    Some(open) => open,
                    None => self.open(digest, layer.at).await?,
                };
                let piece = open.chunk().await.map_err(ServiceError::of)?;
                piece.map(|piece| (open, piece)).ok_or_else(|| {
                    ServiceError::BrokenOff(format!("{} of {size} bytes came", layer.at))
                })
            };
            match tries.within(attempt).await {
                Ok((open, piece)) => {
                    self.received.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    layer.write(&piece).map_err(Self::disk)?;
                    answer = Some(open);
                    tries.moved();
                }
                Err(error) => tries.pause(error).await?,
            }
        }
        match layer.at == size && Digest::from_bytes(layer.hash.finalize().into()) == digest {
            true => Ok(layer.file),
            false => Err(ServiceError::Answer("another content than that of its digest".into())),
        }
    }

    /// Asks where a layer is, and the storage for it from `at` on.
    async fn open(&self, digest: Digest, at: u64) -> Result<reqwest::Response, ServiceError> {
        let service = &self.cache.service;
        let url = service.layer(digest).await?.ok_or(ServiceError::Gone)?;
        let mut request = service.http(&url)?.get(url);
        if at > 0 {
            request = request.header(RANGE, format!("bytes={at}-"));
        }
        let answer = service.send(request).await?;
        if at > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(ServiceError::Answer("all of a layer in place of a part".into()));
        }
        Ok(answer)
    }

    fn disk(error: std::io::Error) -> ServiceError {
        ServiceError::Disk(error)
    }
}

/// A layer on its way.
struct Partial {
    file: File,
    at: u64,
    hash: Sha256,
}

impl Partial {
    fn new(file: File) -> Self {
        Self { file, at: 0, hash: Sha256::new() }
    }

    fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.at += piece.len() as u64;
        Ok(())
    }
}

impl Blobs for Layers {
    fn size(self: Arc<Self>, digest: Digest) -> BoxFuture<'static, Result<u64, BlobError>> {
        Box::pin(async move {
            let document = self.document(digest).map(|document| document.len() as u64);
            document.or(self.cache.size(digest)).ok_or(BlobError::Missing(digest))
        })
    }

    fn read(
        self: Arc<Self>,
        digest: Digest,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, BlobError>> {
        if let Some(document) = self.document(digest) {
            let end = range.end.min(document.len() as u64);
            let part = usize::try_from(range.start.min(end)).unwrap_or_default()
                ..usize::try_from(end).unwrap_or_default();
            return stream::iter([Ok(document.slice(part))]).boxed();
        }
        let pieces = stream::try_unfold(range, move |range| {
            let layers = self.clone();
            async move { layers.piece(digest, range).await }
        });
        pieces.boxed()
    }
}

impl Layers {
    /// The beginning of a part of a layer, and what is left of the part.
    async fn piece(
        &self,
        digest: Digest,
        range: Range<u64>,
    ) -> Result<Option<(Bytes, Range<u64>)>, BlobError> {
        let layer = self.layer(digest).await?;
        let file = layer.get().ok_or(BlobError::Missing(digest))?;
        let length = range.end.saturating_sub(range.start).min(CHUNK as u64);
        let mut piece = BytesMut::zeroed(usize::try_from(length).unwrap_or(CHUNK));
        let failed = |error| BlobError::Failed(format!("cannot read {digest} again: {error}"));
        let read = file.read_at(&mut piece, range.start).map_err(failed)?;
        if read == 0 {
            return Ok(None);
        }
        piece.truncate(read);
        Ok(Some((piece.freeze(), range.start + read as u64..range.end)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
