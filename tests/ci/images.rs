//! Small images in a real registry, labelled with the commit they claim to be built from.
use serde_json::json;

use crate::cli::IMAGE;
use crate::support::base::digest;
use crate::support::registry::Registry;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Pushes an image under `tag` and returns its digest.
pub fn push(registry: &Registry, tag: &str, revision: Option<&str>) -> String {
    let labels = match revision {
        Some(revision) => json!({ "org.opencontainers.image.revision": revision }),
        None => json!({ "tag": tag }),
    };
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = config.to_string().into_bytes();
    let start = registry.request("POST", &format!("/v2/{IMAGE}/blobs/uploads/"), &[], b"");
    let location = &start.headers["location"];
    let path = location.split_once(&registry.host).map_or(location.as_str(), |(_, path)| path);
    let joint = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{joint}digest={}", digest(&config));
    let binary = [("Content-Type", "application/octet-stream")];
    assert_eq!(registry.request("PUT", &path, &binary, &config).status, 201);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config), "size": config.len(),
        },
    });
    let manifest = manifest.to_string().into_bytes();
    let path = format!("/v2/{IMAGE}/manifests/{tag}");
    let answer = registry.request("PUT", &path, &[("Content-Type", MANIFEST)], &manifest);
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    digest(&manifest)
}
