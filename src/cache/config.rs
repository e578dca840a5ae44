//! BuildKit's cache config: which steps a cache holds, and the layers that are their results.
//!
//! Input: the config of a cache manifest or index (`mode=min` and `mode=max` look alike), or the
//! records inside an image's config (`type=inline`). Output: [`CacheConfig`], checked like the engine
//! checks it at an import, so that a config which the engine would refuse is refused here, with a
//! reason. Format: BuildKit's `cache/remotecache/v1/types`, media type
//! `application/vnd.buildkit.cacheconfig.v0`.
use base64::Engine as _;

use crate::oci::digest::Digest;
use crate::oci::go_time;
use crate::oci::manifest::{Descriptor, ImageManifest, Manifest};

mod wire;

/// Media type of a cache config.
pub const MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// Annotation of a layer: the digest of its content without compression.
pub const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// Annotation of a layer: when it was made.
pub const CREATED_AT: &str = "buildkit/createdat";
/// Annotation of a layer: the instruction that made it.
pub const DESCRIPTION: &str = "buildkit/description";
/// The largest manifest, index or cache config that the engine reads at an import.
pub const ENGINE_LIMIT: u64 = 1 << 20;

/// A cache config that the engine would not import.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The bytes are not JSON of the right shape.
    #[error("the cache config is not valid JSON of type `{MEDIA_TYPE}`")]
    Json {
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The image's inline records are not base64.
    #[error("`moby.buildkit.cache.v0` in the image config is not valid base64")]
    Base64 {
        /// What is wrong.
        source: base64::DecodeError,
    },
    /// The image's config and manifest do not belong together.
    #[error("the image config names {diff_ids} layers and the manifest {layers}")]
    Layers {
        /// Layers of the config.
        diff_ids: usize,
        /// Layers of the manifest.
        layers: usize,
    },
    /// A record leads to a record that does not exist.
    #[error("record {record} of the cache config links to record {link}, which does not exist")]
    NoRecord {
        /// The record.
        record: usize,
        /// Where it leads.
        link: i64,
    },
    /// A record names an input without saying from where.
    #[error("record {record} of the cache config has no link for its input {input}")]
    NoLink {
        /// The record.
        record: usize,
        /// The input.
        input: usize,
    },
    /// A layer of a config that describes its layers itself is not described.
    #[error("the cache config does not say what the layer {0} is")]
    Undescribed(Digest),
    /// A record or layer names a layer that does not exist.
    #[error("`{from}` of the cache config names layer {layer}, which does not exist")]
    NoLayer {
        /// The record or layer that names it.
        from: String,
        /// What it names.
        layer: i64,
    },
    /// A record is an input of itself, or a layer its own parent.
    #[error("`{0}` of the cache config leads back to itself")]
    Loop(String),
    /// A time that is no time.
    #[error("record {record} of the cache config has the time `{time}`, which is not RFC 3339")]
    Time {
        /// The record.
        record: usize,
        /// The time's text.
        time: String,
    },
}

/// Steps that a cache holds, and their layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheConfig {
    /// The records; links are indexes into this list.
    pub records: Vec<Record>,
    /// The layers; results are indexes into this list.
    pub layers: Vec<Descriptor>,
}

/// One cache key: of a step itself, or of what a step's input was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key without its inputs.
    pub digest: Digest,
    /// For each input, the records that stand for it; none at all for a source.
    pub inputs: Vec<Vec<Link>>,
    /// What the step made, if the cache has it. Empty where only the key was kept (`mode=min`).
    pub results: Vec<Stored>,
}

/// Where an input's key comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The index of the input's record.
    pub record: usize,
    /// The part of the input that the step reads, as a digest; empty for all.
    pub selector: String,
}

/// A step's result in a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Indexes of its layers, lowest first.
    pub layers: Vec<usize>,
    /// When it was made, in nanoseconds since 1970: the engine takes the newest.
    pub created_at: i128,
}

/// Where the cache config behind a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A cache manifest or index: fetch `config` and call [`CacheConfig::parse`] with the layers.
    Config {
        /// The cache config's blob.
        config: Box<Descriptor>,
        /// The layers that the records speak of.
        layers: Vec<Descriptor>,
    },
    /// An image: fetch its config and call [`CacheConfig::from_image`].
    Image(Box<ImageManifest>),
    /// An index of images: look at each of these manifests, [`CacheConfig::join`] what they hold.
    Images(Vec<Descriptor>),
}

impl Location {
    /// Tells where the engine would look for the cache config of `manifest`.
    #[must_use]
    pub fn of(manifest: Manifest) -> Self {
        match manifest {
            Manifest::Image(image) if image.config.media_type == MEDIA_TYPE => {
                Self::Config { config: Box::new(image.config), layers: image.layers }
            }
            Manifest::Image(image) => Self::Image(image),
            Manifest::Index(index) => {
                let (mut configs, others): (Vec<_>, Vec<_>) =
                    index.manifests.into_iter().partition(|entry| entry.media_type == MEDIA_TYPE);
                match configs.pop() {
                    Some(config) => Self::Config { config: Box::new(config), layers: others },
                    None => Self::Images(others),
                }
            }
        }
    }
}

impl CacheConfig {
    /// Reads a cache config; `layers` are the descriptors beside it in its manifest or index.
    ///
    /// A result of which a layer is missing there does not count, as in the engine. A config that
    /// describes its layers itself (`gha`, `s3`, `azblob`) needs none.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] when the engine would refuse it too.
    pub fn parse(config: &[u8], layers: &[Descriptor]) -> Result<Self, ConfigError> {
        let config =
            serde_json::from_slice(config).map_err(|source| ConfigError::Json { source })?;
        wire::check(config, layers)
    }

    /// Reads the records inside an image's config; `None` when there are none.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] when the engine would refuse them too.
    pub fn from_image(
        image_config: &[u8],
        manifest: &ImageManifest,
    ) -> Result<Option<Self>, ConfigError> {
        let json = |source| ConfigError::Json { source };
        let image: wire::Image = serde_json::from_slice(image_config).map_err(json)?;
        let Some(records) = image.cache else { return Ok(None) };
        if image.rootfs.diff_ids.len() != manifest.layers.len() {
            let (diff_ids, layers) = (image.rootfs.diff_ids.len(), manifest.layers.len());
            return Err(ConfigError::Layers { diff_ids, layers });
        }
        let records = base64::engine::general_purpose::STANDARD
            .decode(records)
            .map_err(|source| ConfigError::Base64 { source })?;
        let records: Option<Vec<wire::Record>> = serde_json::from_slice(&records).map_err(json)?;
        let layers = manifest.layers.iter().enumerate().map(|(index, layer)| wire::Layer {
            blob: layer.digest,
            parent: i64::try_from(index).map_or(-1, |index| index - 1),
            annotations: None,
        });
        let config = wire::Config { layers: Some(layers.collect()), records };
        let mut described = manifest.layers.clone();
        for (layer, diff_id) in described.iter_mut().zip(image.rootfs.diff_ids) {
            layer.annotations.insert(UNCOMPRESSED.to_owned(), diff_id);
        }
        let made = image.history.unwrap_or_default().into_iter().filter(|made| !made.empty_layer);
        for (layer, made) in described.iter_mut().zip(made) {
            for (name, value) in [(CREATED_AT, made.created), (DESCRIPTION, made.created_by)] {
                let value = value.filter(|value| !value.is_empty());
                layer.annotations.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        wire::check(config, &described).map(Some)
    }

    /// Puts several cache configs that describe their layers themselves into one.
    ///
    /// The engine takes a step that two of them have for the same, and goes on from both.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] when one of them is none.
    pub fn append(configs: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, ConfigError> {
        let json = |source| ConfigError::Json { source };
        let mut all = wire::Config::default();
        for config in configs {
            all.append(serde_json::from_slice(config.as_ref()).map_err(json)?);
        }
        serde_json::to_vec(&all).map_err(json)
    }

    /// Puts what several images of one index hold into one config, as the engine does.
    #[must_use]
    pub fn join(configs: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for config in configs {
            let (records, layers) = (all.records.len(), all.layers.len());
            all.layers.extend(config.layers);
            all.records.extend(config.records.into_iter().map(|mut record| {
                record.inputs.iter_mut().flatten().for_each(|link| link.record += records);
                record.results.iter_mut().flat_map(|r| &mut r.layers).for_each(|l| *l += layers);
                record
            }));
        }
        all
    }

    /// The bytes of all its layers, each counted once.
    #[must_use]
    pub fn size(&self) -> u64 {
        let mut layers: Vec<_> =
            self.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        layers.sort_unstable();
        layers.dedup();
        layers.iter().map(|(_, size)| size).sum()
    }
}

#[cfg(test)]
mod tests;
