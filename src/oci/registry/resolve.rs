//! From a reference and a platform to the digests and the config that a build needs.
use bytes::Bytes;
use serde::Deserialize;

use super::{Client, FetchedManifest, RegistryError};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageManifest, Manifest, candidates, compatible};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;

/// The largest image config that is read.
const CONFIG_LIMIT: u64 = 8 << 20;

/// What a reference stands for on a platform.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the reference points at: an index, or the manifest itself.
    pub root: Descriptor,
    /// The manifest of the platform's image.
    pub manifest: Descriptor,
    /// The digest of the image config.
    pub config_digest: Digest,
    /// The image config's bytes.
    pub config: Bytes,
}

/// The part of a config that tells which platform it is for.
#[derive(Deserialize)]
struct ConfigPlatform {
    #[serde(flatten)]
    platform: Platform,
}

impl Client {
    /// Resolves a reference: three requests for an index, two for a single image.
    ///
    /// A single image is taken as it is, whatever its platform, as the engine does it.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when something is missing or broken; [`RegistryError::Platform`] when
    /// the index has no image for `platform`.
    pub async fn resolve(
        &self,
        reference: &ImageReference,
        platform: &Platform,
    ) -> Result<Resolved, RegistryError> {
        let root = self.get_manifest(reference).await?;
        let index = match root.parse()? {
            Manifest::Image(image) => {
                let manifest = root.descriptor.clone();
                return self.with_config(reference, root, manifest, &image).await;
            }
            Manifest::Index(index) => index,
        };
        for entry in candidates(&index.manifests, platform) {
            let child = reference.name_only().with_digest(entry.digest);
            let fetched = self.get_manifest(&child).await?;
            let Manifest::Image(image) = fetched.parse()? else { continue };
            let resolved = self.with_config(reference, root.clone(), entry.clone(), &image).await?;
            if entry.platform.is_some() || runs_on(&resolved.config, platform) {
                return Ok(resolved);
            }
        }
        Err(no_platform(reference, platform, &index.manifests))
    }

    async fn with_config(
        &self,
        reference: &ImageReference,
        root: FetchedManifest,
        manifest: Descriptor,
        image: &ImageManifest,
    ) -> Result<Resolved, RegistryError> {
        let config = self.read_blob(reference, &image.config, CONFIG_LIMIT).await?;
        let (root, config_digest) = (root.descriptor, image.config.digest);
        Ok(Resolved { root, manifest, config_digest, config })
    }
}

fn runs_on(config: &[u8], wanted: &Platform) -> bool {
    serde_json::from_slice::<ConfigPlatform>(config)
        .is_ok_and(|config| compatible(wanted).contains(&config.platform.normalize()))
}

fn no_platform(
    reference: &ImageReference,
    wanted: &Platform,
    manifests: &[Descriptor],
) -> RegistryError {
    let shown = manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
        .filter_map(|entry| entry.platform.as_ref().map(ToString::to_string));
    let available = shown.collect::<Vec<_>>().join(", ");
    RegistryError::Platform {
        what: reference.to_string(),
        wanted: wanted.to_string(),
        available: if available.is_empty() { "none".to_owned() } else { available },
    }
}
