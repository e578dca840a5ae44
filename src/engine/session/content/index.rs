//! The `index.json` of a content store: which manifest a tag or image name means.
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The annotation with the tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the full image name, as containerd reads it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// How a manifest is found in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A tag alone, as local caches have it.
    Tag(String),
    /// An image name with its tag.
    Image(String),
}

/// Returns the digest of the manifest that `name` means; `None` without such an entry or index.
///
/// # Errors
///
/// When the index is there and cannot be read.
pub fn find(root: &Path, name: &str) -> io::Result<Option<String>> {
    let entries = match read(root) {
        Ok(index) => index,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let entries = entries["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named =
        |key: &str| entries.iter().find(|entry| entry["annotations"][key].as_str() == Some(name));
    let found = named(IMAGE_NAME).or_else(|| named(REF_NAME));
    Ok(found.and_then(|entry| entry["digest"].as_str()).map(str::to_owned))
}

/// Lets `names` mean the manifest of `descriptor`, which must be in the store.
///
/// # Errors
///
/// When the index cannot be read or written.
pub fn put(root: &Path, descriptor: &Map<String, Value>, names: &[Name]) -> io::Result<()> {
    let lock = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("index.json.lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let mut index = match read(root) {
        Ok(index) => index,
        Err(error) if error.kind() == io::ErrorKind::NotFound => json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
        }),
        Err(error) => return Err(error),
    };
    let mut entries = index["manifests"].as_array().cloned().unwrap_or_default();
    for name in names {
        let (image, tag) = match name {
            Name::Tag(tag) => (None, tag.as_str()),
            Name::Image(image) => (Some(image.as_str()), tag_of(image)),
        };
        entries.retain(|entry| {
            let annotations = &entry["annotations"];
            annotations[REF_NAME].as_str() != Some(tag) || annotations[IMAGE_NAME].as_str() != image
        });
        let mut entry = Value::Object(descriptor.clone());
        if !entry["annotations"].is_object() {
            entry["annotations"] = json!({});
        }
        entry["annotations"][REF_NAME] = tag.into();
        if let Some(image) = image {
            entry["annotations"][IMAGE_NAME] = image.into();
        }
        entries.push(entry);
    }
    index["manifests"] = entries.into();
    replace(root, "oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    replace(root, "index.json", &index.to_string())
}

/// The tag of an image name: what follows the last colon of its last part.
fn tag_of(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

fn read(root: &Path) -> io::Result<Value> {
    let text = fs_err::read(root.join("index.json"))?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn replace(root: &Path, name: &str, text: &str) -> io::Result<()> {
    use io::Write as _;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(root)?;
    file.write_all(text.as_bytes())?;
    file.persist(root.join(name)).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_moves_to_the_new_manifest_and_others_stay() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path(), "latest").unwrap(), None);
        let descriptor = |digest: &str| {
            let value = json!({ "mediaType": "m", "digest": digest, "size": 1 });
            value.as_object().unwrap().clone()
        };
        let tag = |text: &str| Name::Tag(text.to_owned());
        let image = Name::Image("localhost:5000/a/b:v1".to_owned());
        put(root.path(), &descriptor("sha256:1"), &[tag("latest"), image.clone()]).unwrap();
        put(root.path(), &descriptor("sha256:2"), &[tag("latest"), tag("old")]).unwrap();
        let found = |name| find(root.path(), name).unwrap();
        assert_eq!(found("latest").as_deref(), Some("sha256:2"));
        assert_eq!(found("old").as_deref(), Some("sha256:2"));
        assert_eq!(found("localhost:5000/a/b:v1").as_deref(), Some("sha256:1"));
        assert_eq!(found("v1").as_deref(), Some("sha256:1"));
        let index = read(root.path()).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    }
}
