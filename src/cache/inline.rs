//! The cache that an image carries in its own config.
//!
//! Input: a cache that holds the image's last step. Output: what of its records an engine needs to find the
//! image's steps, and the results that consist of the image's layers, as JSON in the form of BuildKit's
//! `cache/remotecache/inline`: a result names its topmost layer where it is the image up to there, else
//! each of its layers. Pure.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::config::{CacheConfig, Record, Stored};
use super::predict::Place;
use crate::oci::digest::Digest;
use crate::oci::{go_json, go_time};

#[derive(Serialize)]
struct Written {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Top>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chains: Vec<Chain>,
    digest: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Vec<Input>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    layer: usize,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chain {
    layers: Vec<usize>,
    created_at: String,
}

#[derive(Serialize)]
struct Input {
    #[serde(skip_serializing_if = "String::is_empty")]
    selector: String,
    link: usize,
}

/// The records of `cache` that the result at `place` rests on; `None` when that is no result of it.
#[must_use]
pub fn records(cache: &CacheConfig, place: &Place) -> Option<Vec<u8>> {
    let image = digests(cache, &place.layers)?;
    let reached = reached(cache, &place.records)?;
    let places: BTreeMap<usize, usize> =
        reached.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let mut written = Vec::with_capacity(reached.len());
    for at in &reached {
        let record = &cache.records[*at];
        let link = |link: &super::config::Link| {
            Some(Input { selector: link.selector.clone(), link: *places.get(&link.record)? })
        };
        let links = |links: &Vec<super::config::Link>| links.iter().map(link).collect();
        let mut entry = Written {
            layers: Vec::new(),
            chains: Vec::new(),
            digest: record.digest,
            inputs: record.inputs.iter().map(links).collect::<Option<_>>()?,
        };
        if let Some((result, layers)) = best(cache, record, &image) {
            let created_at = go_time::from_unix_nanos(result.created_at)?;
            match image.starts_with(&layers) {
                true => entry.layers.push(Top { layer: layers.len().checked_sub(1)?, created_at }),
                false => {
                    let position = |layer| image.iter().rposition(|own| own == layer);
                    let layers = layers.iter().map(position).collect::<Option<_>>()?;
                    entry.chains.push(Chain { layers, created_at });
                }
            }
        }
        written.push(entry);
    }
    Some(go_json::to_vec(&written))
}

/// All records that those of `from` lead to, and themselves.
fn reached(cache: &CacheConfig, from: &[usize]) -> Option<BTreeSet<usize>> {
    let mut reached = BTreeSet::new();
    let mut open = from.to_vec();
    while let Some(at) = open.pop() {
        if reached.insert(at) {
            open.extend(cache.records.get(at)?.inputs.iter().flatten().map(|link| link.record));
        }
    }
    Some(reached)
}

/// The newest result of a record that consists of the image's layers.
fn best<'a>(
    cache: &CacheConfig,
    record: &'a Record,
    image: &[Digest],
) -> Option<(&'a Stored, Vec<Digest>)> {
    let whole = |result: &'a Stored| {
        let layers = digests(cache, &result.layers)?;
        let is_there = !layers.is_empty() && layers.iter().all(|layer| image.contains(layer));
        is_there.then_some((result, layers))
    };
    record.results.iter().filter_map(whole).max_by_key(|(result, _)| result.created_at)
}

fn digests(cache: &CacheConfig, layers: &[usize]) -> Option<Vec<Digest>> {
    layers.iter().map(|at| Some(cache.layers.get(*at)?.digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::config::Link;
    use crate::oci::manifest::{Descriptor, ImageManifest, media};

    fn record(name: &str, inputs: &[usize], layers: &[usize]) -> Record {
        let link = |record: &usize| vec![Link { record: *record, selector: "s".into() }];
        let stored = Stored { layers: layers.to_vec(), created_at: 1_500_000_000 };
        Record {
            digest: Digest::of(name.as_bytes()),
            inputs: inputs.iter().map(link).collect(),
            results: if layers.is_empty() { Vec::new() } else { vec![stored] },
        }
    }

    #[test]
    fn an_image_carries_what_its_last_step_rests_on_and_the_results_that_it_has() {
        let layer = |name: &str| Descriptor::new(media::OCI_LAYER, Digest::of(name.as_bytes()), 1);
        let cache = CacheConfig {
            layers: ["other", "base", "first", "last"].map(layer).into(),
            records: vec![
                record("unrelated", &[], &[0]),
                record("base", &[], &[]),
                record("tool", &[1], &[0]),
                record("linked", &[2], &[2]),
                record("first", &[1, 3], &[1, 2]),
                record("last", &[4], &[1, 2, 3]),
            ],
        };
        let place = Place { layers: vec![1, 2, 3], records: vec![5] };
        let text = String::from_utf8(records(&cache, &place).unwrap()).unwrap();
        assert!(
            text.contains(r#""chains":[{"layers":[1],"createdAt":"1970-01-01T00:00:01.5Z"}]"#),
            "{text}"
        );
        let image = format!(
            r#"{{"rootfs": {{"diff_ids": ["a", "b", "c"]}}, "moby.buildkit.cache.v0": "{}"}}"#,
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &text),
        );
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            config: layer("config"),
            layers: ["base", "first", "last"].map(layer).into(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let read = CacheConfig::from_image(image.as_bytes(), &manifest).unwrap().unwrap();
        let results: Vec<Vec<usize>> = read
            .records
            .iter()
            .map(|record| record.results.first().map(|r| r.layers.clone()).unwrap_or_default())
            .collect();
        assert_eq!(results, [vec![], vec![], vec![1], vec![0, 1], vec![0, 1, 2]]);
        assert_eq!(read.records[3].inputs[1][0], Link { record: 2, selector: "s".into() });
        let nowhere = Place { layers: vec![9], records: vec![5] };
        assert_eq!(records(&cache, &nowhere), None);
    }
}
