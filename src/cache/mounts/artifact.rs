//! A saved cache mount in a registry.
//!
//! It is an OCI image manifest with an artifact type, one layer (a tar compressed with zstd) whose
//! folder `mount` holds the files, and an image config, so that an engine can pull and unpack it as an
//! image. The config carries one more member, `ledger`: when each part of the mount was last used.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::CacheMount;
use crate::oci::digest::Digest;
use crate::oci::manifest::{CREATED, Descriptor, Manifest, media};
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, Precondition, RegistryError};

/// The type of the artifact.
pub const ARTIFACT_TYPE: &str = "application/vnd.kitwright.cache-mount.v1";
/// Annotation: the mount's id.
const ID: &str = "io.kitwright.cache-mount.id";
/// Annotation: the platforms whose steps use it, divided by commas.
const PLATFORMS: &str = "io.kitwright.cache-mount.platforms";
/// Annotation: tells one content from another.
const FINGERPRINT: &str = "io.kitwright.cache-mount.fingerprint";
/// Annotation: the number of files.
const FILES: &str = "io.kitwright.cache-mount.files";
/// Annotation: the bytes of the files, uncompressed.
const BYTES: &str = "io.kitwright.cache-mount.bytes";
/// The member of the config that holds the ledger.
const LEDGER: &str = "ledger";
/// The largest config that is read.
const CONFIG_LIMIT: u64 = 16 << 20;

/// A cache mount as a registry has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Its manifest.
    pub digest: Digest,
    /// When it was saved.
    pub created: Timestamp,
    /// Tells its content from another.
    pub fingerprint: String,
    /// When each part was last used: lines `SECONDS PATH`.
    pub ledger: String,
    layer: Descriptor,
    config: Value,
}

/// What is in a cache mount, as the program in the engine reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Tells it from another.
    pub fingerprint: String,
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were not kept.
    pub dropped: u64,
    /// Lines `SECONDS PATH`.
    pub ledger: String,
}

/// A manifest under a mount's tag that is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The registry gives no answer, or refuses.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is something else.
    #[error("`{reference}` is no cache mount: {reason}")]
    Foreign {
        /// The reference.
        reference: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Content {
    /// Reads a report; `None` for what is none.
    #[must_use]
    pub fn parse(report: &str) -> Option<Self> {
        let (head, ledger) = report.split_once('\n')?;
        let mut fields = head.split(' ');
        let fingerprint = fields.next()?.to_owned();
        let mut number = || fields.next()?.parse().ok();
        let (files, bytes, _units, dropped) = (number()?, number()?, number()?, number()?);
        let ledger = ledger.to_owned();
        Some(Self { fingerprint, files, bytes, dropped, ledger })
    }
}

/// The place of `mount` in the repository of `root`: `[TAG-]mount-KEY`.
#[must_use]
pub fn reference(root: &ImageReference, mount: &CacheMount) -> ImageReference {
    let prefix = root.tag().map(|tag| format!("{tag}-")).unwrap_or_default();
    let name = root.name_only();
    let tag = format!("{prefix}mount-{}", mount.key());
    // A tag that is too long with the key loses its own beginning, not the key.
    let tag = if tag.len() > 128 { &tag[tag.len() - 128..] } else { &tag };
    name.with_tag(tag.trim_start_matches(['-', '.'])).unwrap_or(name)
}

/// Looks a saved mount up; `None` when there is none.
///
/// # Errors
///
/// [`ArtifactError`] when the registry does not answer, or has something else there.
pub async fn look_up(
    client: &Client,
    reference: &ImageReference,
) -> Result<Option<Artifact>, ArtifactError> {
    let Some(fetched) = client.get_upstream_manifest(reference).await? else { return Ok(None) };
    let foreign = |reason| ArtifactError::Foreign { reference: reference.to_string(), reason };
    let Manifest::Image(manifest) = fetched.parse()? else {
        return Err(foreign("it is an index"));
    };
    if manifest.artifact_type.as_deref() != Some(ARTIFACT_TYPE) {
        return Err(foreign("it has another artifact type"));
    }
    let [layer] = &manifest.layers[..] else { return Err(foreign("it has not one layer")) };
    let annotation = |name: &str| manifest.annotations.get(name).cloned();
    let created = annotation(CREATED).and_then(|date| date.parse().ok());
    let created = created.ok_or_else(|| foreign("it has no date"))?;
    let config = client.read_blob(reference, &manifest.config, CONFIG_LIMIT).await?;
    let config: Value =
        serde_json::from_slice(&config).map_err(|_| foreign("its config is not JSON"))?;
    let ledger = config.get(LEDGER).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(Artifact {
        digest: fetched.descriptor.digest,
        created,
        fingerprint: annotation(FINGERPRINT).unwrap_or_default(),
        ledger,
        layer: layer.clone(),
        config,
    }))
}

/// Whether the registry does not have the files of an artifact any more, or damaged.
///
/// Its manifest and layer are asked for; with `reread` the layer is read as well, as only its digest
/// tells that it is damaged.
///
/// # Errors
///
/// [`ArtifactError`] when the registry gives no answer.
pub async fn is_lost(
    client: &Client,
    root: &ImageReference,
    artifact: &Artifact,
    reread: bool,
) -> Result<bool, ArtifactError> {
    let reference = root.name_only().with_digest(artifact.digest);
    let has_manifest = client.has_manifest(&reference).await?;
    if !has_manifest || !client.has_blob(&reference, artifact.layer.digest).await? {
        return Ok(true);
    }
    if !reread {
        return Ok(false);
    }
    let mut layer = client.get_blob(&reference, &artifact.layer).await?;
    while let Some(piece) = layer.next().await {
        match piece {
            Ok(_) => {}
            Err(RegistryError::Digest { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Makes the image that an engine has pushed into a mount's artifact, and gives it the tag.
///
/// # Errors
///
/// [`ArtifactError`] when the registry refuses something.
pub async fn publish(
    client: &Client,
    reference: &ImageReference,
    pushed: Digest,
    mount: &CacheMount,
    content: &Content,
) -> Result<u64, ArtifactError> {
    let by_digest = reference.name_only().with_digest(pushed);
    let foreign = |reason| ArtifactError::Foreign { reference: by_digest.to_string(), reason };
    let fetched = client.get_upstream_manifest(&by_digest).await?;
    let fetched = fetched.ok_or_else(|| foreign("the engine did not push it"))?;
    let Manifest::Image(manifest) = fetched.parse()? else {
        return Err(foreign("it is an index"));
    };
    let [layer] = &manifest.layers[..] else { return Err(foreign("it has not one layer")) };
    let config = client.read_blob(&by_digest, &manifest.config, CONFIG_LIMIT).await?;
    let config = serde_json::from_slice(&config).map_err(|_| foreign("its config is not JSON"))?;
    write(client, reference, layer, config, mount, content).await?;
    Ok(layer.size)
}

/// Writes down when the parts of an unchanged mount were used; its layer stays.
///
/// # Errors
///
/// [`ArtifactError`] when the registry refuses something.
pub async fn touch(
    client: &Client,
    reference: &ImageReference,
    artifact: &Artifact,
    mount: &CacheMount,
    content: &Content,
) -> Result<(), ArtifactError> {
    write(client, reference, &artifact.layer, artifact.config.clone(), mount, content).await
}

async fn write(
    client: &Client,
    reference: &ImageReference,
    layer: &Descriptor,
    mut config: Value,
    mount: &CacheMount,
    content: &Content,
) -> Result<(), ArtifactError> {
    config[LEDGER] = content.ledger.as_str().into();
    let config = bytes::Bytes::from(config.to_string());
    let config_descriptor = Descriptor::of(media::OCI_CONFIG, &config);
    client.push_blob(reference, &config_descriptor, &config, None).await?;
    let platforms: Vec<&str> = mount.platforms.iter().map(String::as_str).collect();
    let annotations = BTreeMap::from([
        (ID.to_owned(), mount.id.clone()),
        (PLATFORMS.to_owned(), platforms.join(",")),
        (FINGERPRINT.to_owned(), content.fingerprint.clone()),
        (FILES.to_owned(), content.files.to_string()),
        (BYTES.to_owned(), content.bytes.to_string()),
        (CREATED.to_owned(), Timestamp::now().to_string()),
    ]);
    let manifest = crate::oci::manifest::ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config: config_descriptor,
        layers: vec![Descriptor { annotations: BTreeMap::new(), ..layer.clone() }],
        subject: None,
        annotations,
    };
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    client.put_manifest(reference, media::OCI_MANIFEST, bytes.into(), Precondition::None).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_of_numbers_and_a_ledger() {
        let content = Content::parse("ab12 3 4096 1 77\n5 a\n6 b%20c\n").unwrap();
        let expected = Content {
            fingerprint: "ab12".into(),
            files: 3,
            bytes: 4096,
            dropped: 77,
            ledger: "5 a\n6 b%20c\n".into(),
        };
        assert_eq!(content, expected);
        assert_eq!(Content::parse("ab12 3 4096\n"), None);
        assert_eq!(Content::parse(""), None);
    }
}
