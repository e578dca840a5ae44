//! What a cache in the service holds: the indexes of all refs that the job may read, as one cache.
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::json;

use super::{Patience, Service, ServiceError, layer_key, whole};
use crate::cache::config::{CacheConfig, ConfigError, ENGINE_LIMIT, MEDIA_TYPE, UNCOMPRESSED};
use crate::cache::hierarchy;
use crate::engine::solve::CacheEntry;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, media};

/// The largest index that is read.
const INDEX_LIMIT: usize = 16 << 20;

/// A cache whose index has been read.
#[derive(Debug)]
pub struct Cache {
    pub(super) service: Service,
    /// What people call it.
    pub name: String,
    /// The digest of the manifest under which an engine knows it.
    pub manifest: Digest,
    /// The manifest and the cache config.
    pub(super) documents: BTreeMap<Digest, Bytes>,
    config: Descriptor,
    layers: BTreeMap<Digest, Descriptor>,
}

/// What was found in the service.
#[derive(Debug)]
pub enum Found {
    /// A cache, and what it holds.
    Cache(Box<Cache>, CacheConfig),
    /// One that is too large to be handed on.
    TooLarge,
    /// None at all.
    Nothing,
}

/// Why a cache cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The service does not give it.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// It is no cache that the engine could import.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Cache {
    /// Reads what `service` has of the cache that people call `name`.
    ///
    /// # Errors
    ///
    /// [`IndexError`] when the service does not give it, or it is none.
    pub async fn read(
        service: Service,
        name: &str,
        patience: Patience,
    ) -> Result<Found, IndexError> {
        let indexes = service.references.iter().map(|reference| service.index(reference, patience));
        let indexes: Vec<Bytes> = try_join_all(indexes).await?.into_iter().flatten().collect();
        let config = match &indexes[..] {
            [] => return Ok(Found::Nothing),
            [only] => only.clone(),
            several => CacheConfig::append(several)?.into(),
        };
        let held = CacheConfig::parse(&config, &[])?;
        let mut layers: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for layer in &held.layers {
            if !layer.annotations.contains_key(UNCOMPRESSED) {
                return Err(ConfigError::Undescribed(layer.digest).into());
            }
            layers.entry(layer.digest).or_insert_with(|| layer.clone());
        }
        let descriptor = Descriptor::of(MEDIA_TYPE, &config);
        let mut cache = Self {
            service,
            name: name.to_owned(),
            manifest: descriptor.digest,
            documents: [(descriptor.digest, config)].into(),
            config: descriptor,
            layers,
        };
        let manifest = cache.manifest_of(|_| true);
        cache.manifest = Digest::of(&manifest);
        cache.documents.insert(cache.manifest, manifest);
        match cache.documents.values().any(|document| document.len() as u64 > ENGINE_LIMIT) {
            true => Ok(Found::TooLarge),
            false => Ok(Found::Cache(Box::new(cache), held)),
        }
    }

    /// A manifest of those layers that are to be `counted` on: an engine takes what rests on others for
    /// steps without a result.
    pub(super) fn manifest_of(&self, counted: impl Fn(Digest) -> bool) -> Bytes {
        let layers = self.layers.values().filter(|layer| counted(layer.digest));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": self.config,
            "layers": layers.collect::<Vec<_>>(),
        });
        manifest.to_string().into()
    }

    /// The size of a layer.
    pub(super) fn size(&self, layer: Digest) -> Option<u64> {
        self.layers.get(&layer).map(|layer| layer.size)
    }

    /// The import under which an engine is offered `manifest`, with [`Layers`](super::layers::Layers) as its
    /// store. The service's token is not in it.
    pub(super) fn entry(&self, manifest: Digest) -> CacheEntry {
        let attributes = [("src", hierarchy::served(&self.name)), ("digest", manifest.to_string())];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        CacheEntry { kind: "local".to_owned(), attributes: attributes.into() }
    }

    /// Whether a layer of the cache, or one of its documents, has this digest.
    #[must_use]
    pub fn holds(&self, digest: Digest) -> bool {
        self.documents.contains_key(&digest) || self.layers.contains_key(&digest)
    }
}

impl Service {
    /// The index that jobs with the ref `reference` have written, if they have.
    async fn index(
        &self,
        reference: &str,
        patience: Patience,
    ) -> Result<Option<Bytes>, ServiceError> {
        let key = self.index_key(reference);
        patience
            .keep(|| async {
                let Some(place) = self.locate(&key).await? else { return Ok(None) };
                let answer = self.send(self.http(&place)?.get(place.clone())).await?;
                Ok(Some(whole(answer, INDEX_LIMIT).await?.into()))
            })
            .await
    }

    /// Where a layer is; `None` when the service does not have it any more.
    pub(super) async fn layer(&self, digest: Digest) -> Result<Option<url::Url>, ServiceError> {
        self.locate(&layer_key(digest)).await
    }
}
