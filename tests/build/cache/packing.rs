//! How the layers of a cache are packed, beside an image that has some of them.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kit::{Lab, fresh};

/// A stage that the image copies as a whole, and a step that only the cache has.
const DOCKERFILE: &str = "FROM scratch AS files\n\
    COPY file /data\n\
    FROM busybox AS tools\n\
    RUN head -c 300000 /dev/urandom | od >/tool\n\
    FROM busybox\n\
    COPY --link --from=files / /\n\
    COPY --link --from=tools /tool /bin/tool\n\
    RUN test -s /data && od /tool >/copy || true\n";

/// The layers of a manifest by their digests: media type, and digest of the content.
fn layers(lab: &Lab, tag: &str) -> BTreeMap<String, (String, String)> {
    let manifest = lab.registry.manifest(&lab.name, tag).body;
    let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let layers = manifest["layers"].as_array().expect("layers");
    let layer = |layer: &Value| {
        let content = text(&layer["annotations"]["containerd.io/uncompressed"]);
        (text(&layer["digest"]), (text(&layer["mediaType"]), content))
    };
    layers.iter().map(layer).collect()
}

/// Builds on a new engine: an image that is packed like `image`, and a zstd cache.
fn build(lab: &Lab, image: &str) -> Option<()> {
    let output = format!("type=image,push=true,name={},compression={image}", lab.direct(image));
    let cache = format!("type=registry,mode=max,compression=zstd,ref={}", lab.direct("cache"));
    let flags = ["--output", &output, "--cache-to", &cache, "--strict-cache"];
    lab.build(&fresh()?, &flags).ok();
    Some(())
}

#[test]
fn a_cache_takes_the_images_layers_and_packs_the_others_with_zstd() {
    let Some(lab) = Lab::with("packing", DOCKERFILE) else { return };
    if build(&lab, "gzip").is_none() {
        return;
    }
    let (image, cache) = (layers(&lab, "gzip"), layers(&lab, "cache"));
    assert!(image.values().all(|(kind, _)| kind.ends_with("+gzip")), "{image:?}");
    assert!(image.keys().all(|digest| cache.contains_key(digest)), "{image:?}\n{cache:?}");
    let own: Vec<_> = cache.iter().filter(|(digest, _)| !image.contains_key(*digest)).collect();
    assert!(own.len() >= 2, "{cache:?}");
    assert!(own.iter().all(|(_, (kind, _))| kind.ends_with("+zstd")), "{own:?}");
}

#[test]
fn an_image_that_is_packed_like_its_cache_shares_what_it_copied_whole() {
    let Some(lab) = Lab::with("packing-alike", DOCKERFILE) else { return };
    let mut twice = Vec::new();
    for image in ["gzip", "zstd"] {
        if build(&lab, image).is_none() {
            return;
        }
        let cache = layers(&lab, "cache");
        let contents: BTreeSet<_> = cache.values().map(|(_, content)| content).collect();
        twice.push(cache.len() - contents.len());
    }
    // The same files are two layers as gzip and zstd, and one where both are zstd.
    assert_eq!(twice, [1, 0]);
}
