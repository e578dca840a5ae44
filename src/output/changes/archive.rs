//! The archive of an image layout that the engine writes, and the layers in it.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use super::{ChangesError, unreadable};
use crate::oci::digest::Digest;
use crate::oci::manifest::Manifest;

/// The layers of the archive's only image, the lowest first.
pub(super) fn layers(path: &Path) -> Result<Vec<Digest>, ChangesError> {
    let mut small: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut outer = tar::Archive::new(fs_err::File::open(path).map_err(unreadable)?);
    for entry in outer.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Manifests and the index; layers are read when their turn comes.
        if entry.size() < 1 << 20 {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(unreadable)?;
            small.insert(name, bytes);
        }
    }
    let missing = |name: &str| ChangesError::Broken(format!("it has no `{name}`"));
    let parse = |name: &str| {
        let bytes = small.get(name).ok_or_else(|| missing(name))?;
        Manifest::parse(None, bytes).map_err(|error| ChangesError::Broken(error.to_string()))
    };
    let Manifest::Index(index) = parse("index.json")? else { return Err(missing("index.json")) };
    let Some(root) = index.manifests.first() else { return Ok(Vec::new()) };
    match parse(&blob(root.digest))? {
        Manifest::Image(image) => Ok(image.layers.iter().map(|layer| layer.digest).collect()),
        Manifest::Index(_) => Err(ChangesError::Broken("it has an index for one image".into())),
    }
}

/// Gives one of the layers of the archive at `path` to `take`.
pub(super) fn read_layer(
    path: &Path,
    layer: Digest,
    take: impl FnOnce(tar::Entry<'_, fs_err::File>) -> Result<(), ChangesError>,
) -> Result<(), ChangesError> {
    let mut outer = tar::Archive::new(fs_err::File::open(path).map_err(unreadable)?);
    for entry in outer.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if *entry.path_bytes() == *blob(layer).as_bytes() {
            return take(entry);
        }
    }
    Err(ChangesError::Broken(format!("it has no blob {layer}")))
}

/// Where a blob lies in an image layout.
fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
