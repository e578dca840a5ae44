//! OCI layouts that stand for images.
use std::path::{Path, PathBuf};

use super::{Source, SourceError};

impl Source {
    /// Replaces the layout's folder by the name under which the session offers it, and a tag by the
    /// digest that it stands for now.
    pub(super) fn layout_reference(
        &mut self,
        name: &str,
        layout: &str,
        store: &str,
    ) -> Result<String, SourceError> {
        let failed = |source| SourceError::NamedContext {
            name: name.to_owned(),
            value: format!("oci-layout://{layout}"),
            source,
        };
        let (rest, digest) = match layout.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (layout, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (rest, "latest"),
        };
        let digest = match digest {
            Some(digest) => digest,
            None => tagged_digest(Path::new(path), tag).map_err(failed)?,
        };
        self.layouts.insert(store.to_owned(), PathBuf::from(path));
        Ok(format!("oci-layout://{store}@{digest}"))
    }
}

/// The digest that `tag` stands for in an OCI layout's `index.json`.
fn tagged_digest(layout: &Path, tag: &str) -> std::io::Result<String> {
    let bytes = fs_err::read(layout.join("index.json"))?;
    let index: serde_json::Value = serde_json::from_slice(&bytes)?;
    let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |manifest: &serde_json::Value| {
        let name = &manifest["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().map(str::to_owned)
    };
    let tagged = manifests.iter().find(|manifest| name(manifest).as_deref() == Some(tag));
    let only = || manifests.first().filter(|_| manifests.len() == 1 && tag == "latest");
    let found = tagged.or_else(only).and_then(|manifest| manifest["digest"].as_str());
    found.map(str::to_owned).ok_or_else(|| {
        let known: Vec<String> = manifests.iter().filter_map(name).collect();
        std::io::Error::other(format!("it has no tag `{tag}`, only: {}", known.join(", ")))
    })
}
