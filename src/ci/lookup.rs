//! Looks the image up in its registry: whether it is there, and which commit it was built from.
use serde::Deserialize;

use crate::oci::digest::Digest;
use crate::oci::manifest::{ImageManifest, Manifest, candidates};
use crate::oci::platform::Platform;
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::registry::{Client, RegistryError};

/// The largest image config that is read.
const CONFIG_LIMIT: u64 = 8 << 20;
/// The label that names the commit.
pub const REVISION: &str = "org.opencontainers.image.revision";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its tag points at.
    pub digest: Digest,
    /// What a pull for one platform downloads.
    pub size: u64,
    /// The commit that its label names.
    pub revision: Option<String>,
}

/// What tells that an image is the wanted commit's.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The tag to use.
    pub image: ImageReference,
    /// The commit.
    pub revision: String,
    /// The content key: where its tag exists, the image does.
    pub key: Option<ImageReference>,
    /// A tag that only this commit's build writes.
    pub commit: Option<ImageReference>,
}

/// Whether the wanted image is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, under this digest.
    Here(Digest),
    /// There is none under the tag.
    Absent,
    /// What is under the tag was built from another commit, or does not say from which.
    Other {
        /// Its digest.
        digest: Digest,
        /// The commit that its label names.
        revision: Option<String>,
    },
}

/// The tag of a content key: `key-` and the hash in hexadecimal digits.
///
/// # Errors
///
/// [`ReferenceError::Tag`] when `key` is no hash.
pub fn key_reference(
    repository: &ImageReference,
    key: &str,
) -> Result<ImageReference, ReferenceError> {
    let hash = key.trim_start_matches("key-").trim_start_matches("sha256:");
    repository.with_tag(&format!("key-{hash}"))
}

/// Asks whether the wanted image is there, by the strongest sign that there is.
///
/// The content key takes one request and so does the commit's own tag; a label takes the manifest
/// and the config.
///
/// # Errors
///
/// A [`RegistryError`] when the registry does not answer.
pub async fn presence(client: &Client, expected: &Expected) -> Result<Presence, RegistryError> {
    for sure in expected.key.iter().chain(&expected.commit) {
        if let Some(digest) = digest(client, sure).await? {
            return Ok(Presence::Here(digest));
        }
    }
    if expected.commit.is_some() {
        return Ok(Presence::Absent);
    }
    Ok(match inspect(client, &expected.image).await? {
        None => Presence::Absent,
        Some(found) if found.revision.as_deref() == Some(&expected.revision) => {
            Presence::Here(found.digest)
        }
        Some(Found { digest, revision, .. }) => Presence::Other { digest, revision },
    })
}

/// Asks what a tag points at: one request.
///
/// # Errors
///
/// A [`RegistryError`] when the registry does not answer.
pub async fn digest(
    client: &Client,
    reference: &ImageReference,
) -> Result<Option<Digest>, RegistryError> {
    Ok(client.head_manifest(reference).await?.map(|descriptor| descriptor.digest))
}

/// Reads what people want to know of an image; `None` when it is not there.
///
/// # Errors
///
/// A [`RegistryError`] when the registry does not answer, or holds something else than an image.
pub async fn inspect(
    client: &Client,
    reference: &ImageReference,
) -> Result<Option<Found>, RegistryError> {
    let root = match client.get_manifest(reference).await {
        Ok(root) => root,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let digest = root.descriptor.digest;
    let image = match root.parse()? {
        Manifest::Image(image) => Some(image),
        Manifest::Index(index) => {
            let host = candidates(&index.manifests, &Platform::host());
            let any = index.manifests.iter().filter(|entry| !entry.is_attestation());
            match host.into_iter().chain(any).next() {
                Some(entry) => child(client, reference, entry.digest).await?,
                None => None,
            }
        }
    };
    let Some(image) = image else {
        return Ok(Some(Found { digest, size: 0, revision: None }));
    };
    let size = image.layers.iter().map(|layer| layer.size).sum::<u64>() + image.config.size;
    let config = client.read_blob(reference, &image.config, CONFIG_LIMIT).await?;
    Ok(Some(Found { digest, size, revision: revision(&config) }))
}

async fn child(
    client: &Client,
    reference: &ImageReference,
    digest: Digest,
) -> Result<Option<Box<ImageManifest>>, RegistryError> {
    let fetched = client.get_manifest(&reference.name_only().with_digest(digest)).await?;
    Ok(match fetched.parse()? {
        Manifest::Image(image) => Some(image),
        Manifest::Index(_) => None,
    })
}

fn revision(config: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        config: Option<Inner>,
    }
    #[derive(Deserialize)]
    struct Inner {
        #[serde(rename = "Labels")]
        labels: Option<std::collections::BTreeMap<String, String>>,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    config.config?.labels?.remove(REVISION)
}
