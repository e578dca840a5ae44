//! Keeps graphs: in the state folder, and beside the pushed image as its referrer.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Graph, VERSION};
use crate::oci::digest::Digest;
use crate::oci::manifest::{CREATED, Descriptor, ImageManifest, Manifest, media};
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, Precondition, RegistryError};

/// The type of the referrer, and of its one blob: JSON compressed with zstd.
pub const ARTIFACT_TYPE: &str = "application/vnd.kitwright.build-graph.v1+json.zstd";
/// The largest blob that is read, and the largest document in one.
const SIZE_LIMIT: u64 = 64 << 20;
/// The blob that stands where an artifact has no config.
const EMPTY: &[u8] = b"{}";

/// Reads the graph in a file; `None` for one that is not there or cannot be read.
#[must_use]
pub fn load(place: &Path) -> Option<Graph> {
    decode(&fs_err::read(place).ok()?)
}

/// Writes the graph to a file, under another name first, if it is not there already.
///
/// A file system may write out at once what replaces a file, and the build would wait for its disk.
///
/// # Errors
///
/// What the system says.
pub fn store(place: &Path, graph: &Graph) -> std::io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let bytes = encode(graph)?;
    if fs_err::read(place).is_ok_and(|kept| kept == bytes) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&bytes)?;
    file.persist(place).map(drop).map_err(|error| error.error)
}

fn encode(graph: &Graph) -> std::io::Result<Vec<u8>> {
    zstd::encode_all(&*serde_json::to_vec(graph)?, 3)
}

fn decode(bytes: &[u8]) -> Option<Graph> {
    use std::io::Read as _;
    let mut json = Vec::new();
    zstd::Decoder::new(bytes).ok()?.take(SIZE_LIMIT).read_to_end(&mut json).ok()?;
    let graph: Graph = serde_json::from_slice(&json).ok()?;
    let mut steps = graph.steps.iter().enumerate();
    // Steps come after their inputs; a graph from elsewhere must not lead anywhere else.
    let in_order = steps.all(|(at, step)| step.inputs.iter().all(|input| *input < at));
    (graph.version == VERSION && in_order).then_some(graph)
}

/// Fetches the graph of the image that `reference` points to; `None` when it has none.
///
/// # Errors
///
/// A [`RegistryError`] when the registry gives no answer.
pub async fn fetch(
    client: &Client,
    reference: &ImageReference,
) -> Result<Option<Graph>, RegistryError> {
    let Some(image) = client.head_upstream_manifest(reference).await? else { return Ok(None) };
    let mut found = client.referrers(reference, image.digest, Some(ARTIFACT_TYPE)).await?;
    // The last one, when an image was pushed twice.
    found.sort_by_key(|entry| {
        entry.annotations.get(CREATED).and_then(|date| date.parse::<Timestamp>().ok())
    });
    let Some(referrer) = found.pop() else { return Ok(None) };
    let place = reference.name_only().with_digest(referrer.digest);
    let Manifest::Image(manifest) = client.get_manifest(&place).await?.parse()? else {
        return Ok(None);
    };
    let Some(blob) = manifest.layers.first() else { return Ok(None) };
    let bytes = client.read_blob(&place, blob, SIZE_LIMIT).await?;
    Ok(decode(&bytes))
}

/// Makes the graph a referrer of the image that was pushed as `image` in `reference`'s repository.
///
/// # Errors
///
/// A [`RegistryError`] when the registry refuses something.
pub async fn push(
    client: &Client,
    reference: &ImageReference,
    image: Digest,
    graph: &Graph,
) -> Result<(), RegistryError> {
    let name = reference.name_only();
    let unreadable =
        |source| RegistryError::Source { what: "the build's graph".to_owned(), source };
    let bytes = Bytes::from(encode(&graph.portable()).map_err(unreadable)?);
    let blob = Descriptor::of(ARTIFACT_TYPE, &bytes);
    // Registries that know no artifact types go by the config's.
    let empty = Descriptor::of(ARTIFACT_TYPE, EMPTY);
    // The subject's type and size have to be right, and a graph of nothing is of no use.
    let subject = client.get_upstream_manifest(&name.clone().with_digest(image)).await?;
    let subject = subject.ok_or_else(|| RegistryError::Source {
        what: format!("{name}@{image}"),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    let config = Bytes::from_static(EMPTY);
    let (first, second) = tokio::join!(
        client.push_blob(&name, &blob, &bytes, None),
        client.push_blob(&name, &empty, &config, None),
    );
    first.and(second)?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config: empty,
        layers: vec![blob],
        subject: Some(subject.descriptor),
        annotations: BTreeMap::from([(CREATED.to_owned(), Timestamp::now().to_string())]),
    };
    let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap_or_default());
    let place = name.with_digest(Digest::of(&bytes));
    client.put_manifest(&place, media::OCI_MANIFEST, bytes, Precondition::None).await.map(drop)
}
