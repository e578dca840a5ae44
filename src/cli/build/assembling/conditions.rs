//! What has to hold so that an image can be put together, and what it is put together from.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;

use crate::attributes::is_true;
use crate::cache::config::{CREATED_AT, CacheConfig, DESCRIPTION, UNCOMPRESSED};
use crate::oci::assembly::Layer;
use crate::oci::go_time;
use crate::oci::manifest::Descriptor;
use crate::output::exporter::{ExporterKind, Output};
use crate::plan::dockerfile::CompiledPlatform;
use crate::plan::llb::Vertex;

/// The time that stands in a cache where none was known.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Whether every attribute of an output is known not to change the image or what happens to it.
///
/// Layers that are there already are not packed anew, so how new ones are to be packed does not matter.
pub(super) fn is_understood(output: &Output) -> bool {
    let is_understood = |(name, value): (&String, &String)| match name.as_str() {
        "name" => !value.is_empty() && value != "*",
        "push" | "oci-mediatypes" => is_true(value),
        "unpack" | "force-compression" => value == "false",
        "compression" => matches!(value.as_str(), "gzip" | "zstd" | "uncompressed"),
        "compression-level" => value.parse::<i32>().is_ok(),
        name => annotation(name).is_some(),
    };
    output.kind == ExporterKind::Image && output.attributes.iter().all(is_understood)
}

/// The manifest's annotations.
pub(super) fn annotations(output: &Output) -> BTreeMap<String, String> {
    let named = |(name, value): (&String, &String)| {
        annotation(name).map(|name| (name.to_owned(), value.clone()))
    };
    output.attributes.iter().filter_map(named).collect()
}

/// The name of an annotation of the manifest, of whatever platform it is.
fn annotation(attribute: &str) -> Option<&str> {
    let name = attribute.strip_prefix("annotation-manifest.");
    let name = name.or_else(|| attribute.strip_prefix("annotation."))?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

/// Whether no step needs a right that the engine would have to be asked for.
pub(super) fn needs_no_rights(platform: &CompiledPlatform) -> bool {
    let is_plain = |vertex: &Vertex| match vertex.op().op {
        Some(pb::op::Op::Exec(exec)) => {
            exec.network() != pb::NetMode::Host
                && exec.security() == pb::SecurityMode::Sandbox
                && exec.cdi_devices.is_empty()
        }
        _ => true,
    };
    platform.definition.vertices.iter().all(is_plain)
}

/// The layers of a cache's result; `None` where one does not say what it contains.
pub(super) fn layers(config: &CacheConfig, chain: &[usize]) -> Option<Vec<Layer>> {
    let layer = |at: &usize| {
        let known = config.layers.get(*at)?;
        let note = |name: &str| known.annotations.get(name);
        let created = note(CREATED_AT).map(|time| go_time::utc(time));
        let mut blob = Descriptor::new(&known.media_type, known.digest, known.size);
        blob.urls.clone_from(&known.urls);
        // The engine keeps what readers of lazily loaded layers go by, and drops all others.
        let lazy = |name: &&String| {
            name.starts_with("containerd.io/snapshot") || name.starts_with("io.containers.estargz")
        };
        if known.annotations.keys().any(|name| lazy(&name)) {
            return None;
        }
        let description = note(DESCRIPTION).cloned();
        Some(Layer {
            diff_id: note(UNCOMPRESSED)?.parse().ok()?,
            created: match created {
                Some(time) => Some(time?).filter(|time| time != NO_TIME),
                None => None,
            },
            description: description.or_else(|| Some(format!("imported {}", blob.digest))),
            blob,
        })
    };
    chain.iter().map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;

    #[test]
    fn an_output_with_anything_unknown_is_the_engines() {
        let output = |value: &str| Output::parse(value).unwrap();
        for fine in [
            "type=registry,name=r/a:1",
            "type=image,push=true,name=r/a:1,compression=zstd,compression-level=3,oci-mediatypes=true",
            "type=registry,name=r/a:1,force-compression=false,annotation.a=b,annotation-manifest.c=d",
        ] {
            assert!(is_understood(&output(fine)), "{fine}");
        }
        for other in [
            "type=oci,dest=-",
            "type=registry,name=*",
            "type=registry,name=r/a:1,oci-mediatypes=false",
            "type=registry,name=r/a:1,compression=estargz",
            "type=registry,name=r/a:1,compression-level=best",
            "type=registry,name=r/a:1,force-compression=true",
            "type=registry,name=r/a:1,rewrite-timestamp=true",
            "type=registry,name=r/a:1,push-by-digest=true",
            "type=registry,name=r/a:1,annotation-index.a=b",
            "type=registry,name=r/a:1,annotation[linux/amd64].a=b",
            "type=image,push=true,name=r/a:1,unpack=true",
            "type=registry,name=r/a:1,whatever=1",
        ] {
            assert!(!is_understood(&output(other)), "{other}");
        }
        let named =
            annotations(&output("type=registry,name=r/a:1,annotation.a=b,annotation-manifest.c=d"));
        assert_eq!(
            named.into_iter().collect::<Vec<_>>(),
            [("a", "b"), ("c", "d")].map(|(a, b)| (a.into(), b.into()))
        );
    }

    #[test]
    fn layers_say_what_they_contain_and_when_they_were_made() {
        let digest = Digest::of(b"x");
        let with = |notes: &[(&str, &str)]| {
            let mut layer = Descriptor::new("type", digest, 1);
            let notes = notes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            layer.annotations.extend(notes);
            layers(&CacheConfig { records: Vec::new(), layers: vec![layer] }, &[0])
        };
        let diff_id = digest.to_string();
        let known =
            with(&[(UNCOMPRESSED, &diff_id), (CREATED_AT, "2024-01-01T02:00:00+02:00")]).unwrap();
        assert_eq!(known[0].created.as_deref(), Some("2024-01-01T00:00:00Z"));
        assert_eq!(known[0].description, Some(format!("imported {digest}")));
        let undated = with(&[(UNCOMPRESSED, &diff_id), (CREATED_AT, NO_TIME)]).unwrap();
        assert_eq!(undated[0].created, None);
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[(UNCOMPRESSED, "sha512:1")]), None);
        assert_eq!(with(&[(UNCOMPRESSED, &diff_id), (CREATED_AT, "today")]), None);
        let lazy = "containerd.io/snapshot/stargz/toc.digest";
        assert_eq!(with(&[(UNCOMPRESSED, &diff_id), (lazy, "x")]), None);
    }
}
