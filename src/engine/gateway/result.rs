//! What the client returns to the exporters: file systems and the metadata that says what they are.
use std::collections::BTreeMap;

use buildkit_rs_proto::moby::buildkit::v1::frontend as wire;
use buildkit_rs_proto::pb;
use bytes::Bytes;

use super::SolveRef;

/// The key of an image's config among a result's metadata.
const IMAGE_CONFIG: &str = "containerimage.config";

/// What the client returns to the exporters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientResult {
    refs: BTreeMap<String, SolveRef>,
    single: bool,
    metadata: BTreeMap<String, Bytes>,
}

/// One platform's part of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformResult {
    /// The platform.
    pub platform: pb::Platform,
    /// Its file system.
    pub solved: SolveRef,
    /// Its image config as JSON.
    pub config: Bytes,
}

impl ClientResult {
    /// An image; with more than one platform an index of images.
    #[must_use]
    pub fn image(platforms: Vec<PlatformResult>) -> Self {
        let mut result = Self { single: platforms.len() == 1, ..Self::default() };
        let mut ids = Vec::new();
        for PlatformResult { platform, solved, config } in platforms {
            let id = platform_id(&platform);
            let key = if result.single {
                IMAGE_CONFIG.to_owned()
            } else {
                format!("{IMAGE_CONFIG}/{id}")
            };
            result.metadata.insert(key, config);
            ids.push(serde_json::json!({ "ID": id, "Platform": platform_json(&platform) }));
            result.refs.insert(id, solved);
        }
        let ids = serde_json::json!({ "Platforms": ids }).to_string();
        result.metadata.insert("refs.platforms".to_owned(), ids.into());
        result
    }

    /// Files alone.
    #[must_use]
    pub fn files(solved: SolveRef) -> Self {
        let refs = [(String::new(), solved)].into();
        Self { refs, single: true, metadata: BTreeMap::new() }
    }

    /// Several results that no exporter looks at, for caches alone.
    #[must_use]
    pub fn parts(solved: Vec<SolveRef>) -> Self {
        let named = solved.into_iter().enumerate().map(|(number, part)| (number.to_string(), part));
        let refs: BTreeMap<_, _> = named.collect();
        // The engine takes several results for platforms, and wants to know which; nobody looks.
        let platform = platform_json(&pb::Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            ..Default::default()
        });
        let ids = refs.keys().map(|id| serde_json::json!({ "ID": id, "Platform": platform }));
        let ids = serde_json::json!({ "Platforms": ids.collect::<Vec<_>>() }).to_string();
        let metadata = BTreeMap::from([("refs.platforms".to_owned(), ids.into())]);
        Self { refs, single: false, metadata }
    }

    /// Adds what exporters and attestations read.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    pub(super) fn into_wire(self) -> wire::Result {
        let refs =
            self.refs.into_iter().map(|(id, solved)| (id, wire::Ref { id: solved.id, def: None }));
        let result = if self.single {
            refs.map(|(_, solved)| wire::result::Result::Ref(solved)).next()
        } else if refs.len() > 0 {
            Some(wire::result::Result::Refs(wire::RefMap { refs: refs.collect() }))
        } else {
            None
        };
        wire::Result { metadata: self.metadata, result, ..Default::default() }
    }
}

/// A platform's id: `os/architecture[/variant]`.
fn platform_id(platform: &pb::Platform) -> String {
    let mut id = format!("{}/{}", platform.os, platform.architecture);
    if !platform.variant.is_empty() {
        id.push('/');
        id.push_str(&platform.variant);
    }
    id
}

fn platform_json(platform: &pb::Platform) -> serde_json::Value {
    let mut json = serde_json::json!({ "architecture": platform.architecture, "os": platform.os });
    for (key, value) in [("os.version", &platform.os_version), ("variant", &platform.variant)] {
        if !value.is_empty() {
            json[key] = value.as_str().into();
        }
    }
    if !platform.os_features.is_empty() {
        json["os.features"] = platform.os_features.clone().into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(os: &str, architecture: &str, variant: &str) -> PlatformResult {
        let platform = pb::Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.into(),
            ..Default::default()
        };
        let solved = SolveRef { id: format!("ref-{architecture}"), definition: None };
        PlatformResult { platform, solved, config: Bytes::from_static(b"{}") }
    }

    #[test]
    fn one_platform_is_an_image() {
        let result = ClientResult::image(vec![part("linux", "amd64", "")]).into_wire();
        assert!(
            matches!(&result.result, Some(wire::result::Result::Ref(one)) if one.id == "ref-amd64")
        );
        assert!(result.metadata.contains_key("containerimage.config"));
    }

    #[test]
    fn several_platforms_are_an_index() {
        let parts = vec![part("linux", "amd64", ""), part("linux", "arm", "v7")];
        let result = ClientResult::image(parts).into_wire();
        let Some(wire::result::Result::Refs(refs)) = &result.result else { panic!("{result:?}") };
        assert_eq!(refs.refs.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm/v7"]);
        assert!(result.metadata.contains_key("containerimage.config/linux/arm/v7"));
        let platforms: serde_json::Value =
            serde_json::from_slice(&result.metadata["refs.platforms"]).unwrap();
        assert_eq!(platforms["Platforms"][1]["Platform"]["variant"], "v7");
    }
}
