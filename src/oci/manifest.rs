//! Descriptors, image manifests and indexes, in OCI's and in Docker's media types.
//!
//! Reading is lenient where registries are (unknown fields, missing media types) and strict where
//! leniency is an attack: a document that is both an image and an index is refused. Writing is
//! deterministic, because a manifest's bytes are its name: fields keep the specification's order and
//! annotations are sorted. What was fetched is passed on as the bytes that were fetched.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::platform::Platform;

mod select;

pub use select::{candidates, compatible};

/// Media types of the documents and blobs that kitwright meets.
pub mod media {
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An OCI layer without compression.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// An OCI layer compressed with gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// An OCI layer compressed with zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The blob `{}` that stands where an artifact has no config.
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A Docker layer compressed with gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// What a manifest request accepts: all the forms above.
    pub const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json";

    /// Whether the type is that of an index or a manifest list.
    #[must_use]
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, OCI_INDEX | DOCKER_LIST)
    }

    /// Whether the type is that of a single image's manifest.
    #[must_use]
    pub fn is_image_manifest(media_type: &str) -> bool {
        matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
    }
}

/// Annotation of an index entry: what kind of attestation it is.
pub const ATTESTATION_TYPE: &str = "vnd.docker.reference.type";
/// Annotation of an attestation's index entry: the digest of the manifest that it is about.
pub const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";
/// Annotation: when the image was made, in RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Annotation of a layout's `index.json`: the name under which an image is kept.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What a manifest says about a blob or another manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's type.
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// Other places to fetch it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Notes about the content.
    #[serde(default, skip_serializing_if = "is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself in base64, when it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform that the content runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of the artifact that the descriptor's manifest describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes `bytes`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Describes content that is known by its digest.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether this entry of an index is an attestation about another entry, as BuildKit writes it.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key(ATTESTATION_TYPE)
    }
}

/// A single image or artifact: a config and layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own type; old OCI writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, the base first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about: this one is its referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes about the image.
    #[serde(default, skip_serializing_if = "is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Several images under one digest, usually one a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own type; old OCI writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about: this one is its referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes about the whole.
    #[serde(default, skip_serializing_if = "is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageIndex {
    /// An OCI index over `manifests`.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// Either kind of document that a tag can point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// A single image or artifact.
    Image(Box<ImageManifest>),
    /// An index of several.
    Index(Box<ImageIndex>),
}

/// Bytes that are no manifest which kitwright can read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are not JSON of the right shape.
    #[error("the manifest is not valid JSON of type `{media_type}`")]
    Json {
        /// What they claim to be.
        media_type: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The type is none that kitwright reads.
    #[error("manifests of type `{0}` are not supported")]
    MediaType(String),
    /// The document's own type contradicts the type it was delivered as.
    #[error("the manifest says it is `{own}` but was delivered as `{delivered}`")]
    Contradiction {
        /// The `mediaType` inside.
        own: String,
        /// The `Content-Type` or descriptor's type.
        delivered: String,
    },
    /// An index names more manifests than anybody means.
    #[error("there are more than {0} manifests below it")]
    TooMany(usize),
    /// The document has the fields of an image and of an index.
    #[error(
        "the manifest has both layers and manifests, so it means different things to different tools"
    )]
    Ambiguous,
}

/// The fields that tell what kind a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest that was delivered as `delivered`, if that is known.
    ///
    /// # Errors
    ///
    /// A [`ManifestError`] when the bytes are not one of the four kinds, or two at once.
    pub fn parse(delivered: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        let delivered = delivered.filter(|kind| known(kind));
        let json = |source| ManifestError::Json {
            media_type: delivered.unwrap_or("unknown").to_owned(),
            source,
        };
        let probe: Probe = serde_json::from_slice(bytes).map_err(json)?;
        let kind = kind(&probe, delivered)?;
        if media::is_index(&kind) {
            Ok(Self::Index(Box::new(serde_json::from_slice(bytes).map_err(json)?)))
        } else {
            Ok(Self::Image(Box::new(serde_json::from_slice(bytes).map_err(json)?)))
        }
    }

    /// The document's type, from itself or from its kind.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Image(image) => image.media_type.as_deref().unwrap_or(media::OCI_MANIFEST),
            Self::Index(index) => index.media_type.as_deref().unwrap_or(media::OCI_INDEX),
        }
    }

    /// The notes on the document.
    #[must_use]
    pub const fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(image) => &image.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// The manifest that this one is about, if it is a referrer.
    #[must_use]
    pub const fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }
}

fn known(media_type: &str) -> bool {
    media::is_index(media_type) || media::is_image_manifest(media_type)
}

/// Decides what a document is, and refuses one that can be read in two ways.
fn kind(probe: &Probe, delivered: Option<&str>) -> Result<String, ManifestError> {
    let (is_image, is_index) =
        (probe.config.is_some() || probe.layers.is_some(), probe.manifests.is_some());
    if is_image && is_index {
        return Err(ManifestError::Ambiguous);
    }
    if probe.schema_version == 1 || probe.fs_layers.is_some() {
        return Err(ManifestError::MediaType("Docker image manifest schema 1".to_owned()));
    }
    let own = probe.media_type.as_deref();
    if let (Some(own), Some(delivered)) = (own, delivered)
        && own != delivered
    {
        let (own, delivered) = (own.to_owned(), delivered.to_owned());
        return Err(ManifestError::Contradiction { own, delivered });
    }
    let by_shape = match (is_image, is_index) {
        (true, false) => Some(media::OCI_MANIFEST),
        (false, true) => Some(media::OCI_INDEX),
        _ => None,
    };
    match own.or(delivered).or(by_shape) {
        Some(kind) if known(kind) => Ok(kind.to_owned()),
        Some(kind) => Err(ManifestError::MediaType(kind.to_owned())),
        None => Err(ManifestError::MediaType("unknown".to_owned())),
    }
}

fn is_empty(map: &BTreeMap<String, String>) -> bool {
    map.is_empty()
}

/// Go writes an empty list or map as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
