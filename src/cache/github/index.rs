//! What a cache in the service holds: the indexes of all refs that the job may read, as one cache.
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::json;

use super::{Patience, Service, ServiceError, layer_key, whole};
use crate::cache::config::{CacheConfig, ConfigError, ENGINE_LIMIT, MEDIA_TYPE, UNCOMPRESSED};
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
    /// The layers and their sizes.
    pub(super) layers: BTreeMap<Digest, u64>,
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
        let mut layers: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
        for layer in &held.layers {
            if !layer.annotations.contains_key(UNCOMPRESSED) {
                return Err(ConfigError::Undescribed(layer.digest).into());
            }
            layers.entry(layer.digest).or_insert(layer);
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": Descriptor::of(MEDIA_TYPE, &config),
            "layers": layers.values().collect::<Vec<_>>(),
        });
        let layers = layers.iter().map(|(digest, layer)| (*digest, layer.size)).collect();
        let manifest = Bytes::from(manifest.to_string());
        if [&manifest, &config].iter().any(|document| document.len() as u64 > ENGINE_LIMIT) {
            return Ok(Found::TooLarge);
        }
        let digest = Digest::of(&manifest);
        let documents = [(digest, manifest), (Digest::of(&config), config)].into();
        let cache = Self { service, name: name.to_owned(), manifest: digest, documents, layers };
        Ok(Found::Cache(Box::new(cache), held))
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
    pub(super) async fn layer(
        &self,
        digest: Digest,
        patience: Patience,
    ) -> Result<Option<url::Url>, ServiceError> {
        let key = layer_key(digest);
        patience.keep(|| self.locate(&key)).await
    }
}
