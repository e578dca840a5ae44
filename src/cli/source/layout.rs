//! OCI layouts that stand for images.
use std::path::Path;

/// The digest that `tag` stands for in an OCI layout's `index.json`.
pub(super) fn tagged_digest(layout: &Path, tag: &str) -> std::io::Result<String> {
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
