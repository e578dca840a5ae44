//! A key's description in the registry, beside the image that has the key.
//!
//! It is an artifact of one layer under the tag `key-<hash>.inputs`, so that a key that another machine
//! has computed can be compared with one's own.
use bytes::Bytes;

use super::ContentKey;
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageManifest, Manifest, media};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::registry::{Client, Precondition, RegistryError};

/// What the artifact is.
pub const ARTIFACT_TYPE: &str = "application/vnd.kitwright.content-key.v1";
const TEXT: &str = "text/plain";
/// What an artifact without a config has as one.
const EMPTY: &[u8] = b"{}";
/// The longest description that is read: some hundred thousand steps.
const LIMIT: u64 = 64 << 20;

/// A description that cannot be had or kept.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DescriptionError {
    /// The registry does not answer, or refuses.
    #[error("cannot ask for the description of `{reference}`")]
    Registry {
        /// The key's reference.
        reference: String,
        /// Why.
        source: RegistryError,
    },
    /// The key has no tag of its own.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// Something else is there.
    #[error("`{reference}` is no description of its key")]
    Foreign {
        /// The description's reference.
        reference: String,
    },
}

impl Classified for DescriptionError {
    fn fault(&self) -> Fault {
        match self {
            Self::Reference(_) => Fault::Usage,
            Self::Registry { .. } | Self::Foreign { .. } => Fault::Environment,
        }
    }
}

/// Where the description of the key's image `keyed` is.
fn place(keyed: &ImageReference) -> Result<ImageReference, ReferenceError> {
    keyed.name_only().with_tag(&format!("{}.inputs", keyed.tag().unwrap_or_default()))
}

/// Keeps a key's description in `repository`.
///
/// # Errors
///
/// [`DescriptionError`] when the registry refuses it.
pub async fn publish(
    client: &Client,
    repository: &ImageReference,
    key: &ContentKey,
) -> Result<(), DescriptionError> {
    let place = place(&repository.name_only().with_tag(&key.tag())?)?;
    let failed = |source| DescriptionError::Registry { reference: place.to_string(), source };
    let (config, text) = (Bytes::from_static(EMPTY), Bytes::from(key.description.clone()));
    let config_descriptor = Descriptor::of(media::OCI_EMPTY, &config);
    let layer = Descriptor::of(TEXT, &text);
    tokio::try_join!(
        client.push_blob(&place, &config_descriptor, &config, None),
        client.push_blob(&place, &layer, &text, None),
    )
    .map_err(failed)?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config: config_descriptor,
        layers: vec![layer],
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    let put = client.put_manifest(&place, media::OCI_MANIFEST, bytes.into(), Precondition::None);
    put.await.map(drop).map_err(failed)
}

/// Reads the description of the key whose image is `keyed`; none where nobody has kept it.
///
/// # Errors
///
/// [`DescriptionError`] when the registry does not answer, or has something else there.
pub async fn fetch(
    client: &Client,
    keyed: &ImageReference,
) -> Result<Option<String>, DescriptionError> {
    let place = place(keyed)?;
    let failed = |source| DescriptionError::Registry { reference: place.to_string(), source };
    let foreign = || DescriptionError::Foreign { reference: place.to_string() };
    let Some(fetched) = client.get_upstream_manifest(&place).await.map_err(failed)? else {
        return Ok(None);
    };
    let Manifest::Image(manifest) = fetched.parse().map_err(failed)? else {
        return Err(foreign());
    };
    let [layer] = &manifest.layers[..] else { return Err(foreign()) };
    let text = client.read_blob(&place, layer, LIMIT).await.map_err(failed)?;
    // A key is the digest of its description: nobody can pass another one off.
    if keyed.tag() != Some(&format!("key-{}", Digest::of(&text).hex())) {
        return Err(foreign());
    }
    String::from_utf8(text.to_vec()).map(Some).map_err(|_| foreign())
}
