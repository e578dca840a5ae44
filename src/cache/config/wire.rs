//! The cache config's JSON, and the checks that make a [`CacheConfig`] of it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    CREATED_AT, CacheConfig, ConfigError, Descriptor, Digest, Link, Stored, UNCOMPRESSED, go_time,
};
use crate::oci::manifest::media;

/// Go's zero time, which stands where none was written.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A cache config as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Layer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<Record>>,
}

/// A layer as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Layer {
    pub blob: Digest,
    /// Go leaves a zero out; a layer without a parent says -1.
    #[serde(default)]
    pub parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// What a config says about a layer where no manifest does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Annotations {
    #[serde(default)]
    pub media_type: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

/// A record as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<Option<Vec<Input>>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Top>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chains: Option<Vec<Chain>>,
}

/// A link as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Input {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    pub link: i64,
}

/// A result named by its topmost layer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Top {
    pub layer: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

/// A result named by all its layers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chain {
    pub layers: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

/// What of an image's config matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Image {
    #[serde(default)]
    pub rootfs: RootFs,
    #[serde(default)]
    pub history: Option<Vec<Made>>,
    #[serde(default, rename = "moby.buildkit.cache.v0")]
    pub cache: Option<String>,
}

/// How an image's layer came about, or a change that made none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Made {
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub created_by: Option<String>,
    #[serde(default)]
    pub empty_layer: bool,
}

/// An image's layers without compression.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

impl Config {
    /// Adds another config, whose indexes move behind those of this one.
    ///
    /// One that leads nowhere leads nowhere after it, too.
    pub(super) fn append(&mut self, other: Self) {
        let layers = self.layers.get_or_insert_default();
        let records = self.records.get_or_insert_default();
        let shift = |by: usize| {
            move |index: &mut i64| {
                if *index >= 0 {
                    *index = index.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
                }
            }
        };
        let (layer, link) = (shift(layers.len()), shift(records.len()));
        for mut one in other.layers.into_iter().flatten() {
            layer(&mut one.parent);
            layers.push(one);
        }
        for mut one in other.records.into_iter().flatten() {
            one.inputs.iter_mut().flatten().flatten().flatten().for_each(|i| link(&mut i.link));
            one.layers.iter_mut().flatten().for_each(|top| layer(&mut top.layer));
            one.chains.iter_mut().flatten().flat_map(|c| &mut c.layers).for_each(layer);
            records.push(one);
        }
    }
}

/// Checks a config and resolves its indexes.
pub(super) fn check(config: Config, described: &[Descriptor]) -> Result<CacheConfig, ConfigError> {
    let layers = config.layers.unwrap_or_default();
    let described: BTreeMap<Digest, &Descriptor> =
        described.iter().map(|descriptor| (descriptor.digest, descriptor)).collect();
    let known: Vec<Option<Descriptor>> =
        layers.iter().map(|layer| describe(layer, &described)).collect();
    let whole = |layers: &[usize]| layers.iter().all(|layer| known[*layer].is_some());
    let records = config.records.unwrap_or_default();
    let count = records.len();
    let mut checked = Vec::with_capacity(count);
    for (index, record) in records.into_iter().enumerate() {
        let mut results = results(index, &record, &layers)?;
        results.retain(|result| whole(&result.layers));
        let inputs = inputs(index, record.inputs.unwrap_or_default(), count)?;
        checked.push(super::Record { digest: record.digest, inputs, results });
    }
    refuse_loops(&checked)?;
    let layers = layers.iter().zip(known).map(|(layer, known)| {
        known.unwrap_or_else(|| Descriptor::new(media::OCI_LAYER, layer.blob, 0))
    });
    Ok(CacheConfig { records: checked, layers: layers.collect() })
}

fn describe(layer: &Layer, described: &BTreeMap<Digest, &Descriptor>) -> Option<Descriptor> {
    described.get(&layer.blob).map(|known| (*known).clone()).or_else(|| {
        let own = layer.annotations.as_ref()?;
        let mut described = Descriptor::new(&own.media_type, layer.blob, own.size);
        let diff_id = own.diff_id.map(|digest| (UNCOMPRESSED, digest.to_string()));
        let created_at = own.created_at.clone().filter(|time| time != NO_TIME);
        for (name, value) in diff_id.into_iter().chain(created_at.map(|time| (CREATED_AT, time))) {
            described.annotations.insert(name.to_owned(), value);
        }
        Some(described)
    })
}

/// The layers below and including one, lowest first.
fn chain(layers: &[Layer], top: usize) -> Result<Vec<usize>, ConfigError> {
    let mut chain = vec![top];
    let mut at = top;
    while layers[at].parent != -1 {
        let parent = index_of(layers[at].parent, layers.len()).ok_or_else(|| {
            ConfigError::NoLayer { from: format!("layers[{at}]"), layer: layers[at].parent }
        })?;
        // More steps than there are layers: one of them came twice.
        if chain.len() >= layers.len() {
            return Err(ConfigError::Loop(format!("layers[{top}]")));
        }
        chain.push(parent);
        at = parent;
    }
    chain.reverse();
    Ok(chain)
}

fn index_of(index: i64, count: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|index| *index < count)
}

fn results(index: usize, record: &Record, layers: &[Layer]) -> Result<Vec<Stored>, ConfigError> {
    let missing = |layer: i64| ConfigError::NoLayer { from: format!("records[{index}]"), layer };
    let mut results = Vec::new();
    for top in record.layers.iter().flatten() {
        let at = index_of(top.layer, layers.len()).ok_or_else(|| missing(top.layer))?;
        let created_at = time(index, top.created_at.as_deref())?;
        results.push(Stored { layers: chain(layers, at)?, created_at });
    }
    for chain in record.chains.iter().flatten() {
        let resolve = |layer: &i64| index_of(*layer, layers.len()).ok_or_else(|| missing(*layer));
        let layers = chain.layers.iter().map(resolve).collect::<Result<_, _>>()?;
        results.push(Stored { layers, created_at: time(index, chain.created_at.as_deref())? });
    }
    Ok(results)
}

fn time(record: usize, text: Option<&str>) -> Result<i128, ConfigError> {
    let text = text.unwrap_or(NO_TIME);
    go_time::to_unix_nanos(text).ok_or_else(|| ConfigError::Time { record, time: text.to_owned() })
}

fn inputs(
    record: usize,
    inputs: Vec<Option<Vec<Input>>>,
    count: usize,
) -> Result<Vec<Vec<Link>>, ConfigError> {
    let resolve = |link: Input| match index_of(link.link, count) {
        Some(at) => Ok(Link { record: at, selector: link.selector }),
        None => Err(ConfigError::NoRecord { record, link: link.link }),
    };
    let mut resolved = Vec::with_capacity(inputs.len());
    for (input, links) in inputs.into_iter().enumerate() {
        let links: Vec<Link> =
            links.unwrap_or_default().into_iter().map(resolve).collect::<Result<_, _>>()?;
        if links.is_empty() {
            return Err(ConfigError::NoLink { record, input });
        }
        resolved.push(links);
    }
    Ok(resolved)
}

/// Refuses records that are their own inputs, without recursion: the depth is the input's to choose.
fn refuse_loops(records: &[super::Record]) -> Result<(), ConfigError> {
    let mut waiting: Vec<usize> = vec![0; records.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); records.len()];
    for (index, record) in records.iter().enumerate() {
        for link in record.inputs.iter().flatten() {
            waiting[index] += 1;
            users[link.record].push(index);
        }
    }
    let mut ready: Vec<usize> = (0..records.len()).filter(|index| waiting[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        for user in &users[index] {
            waiting[*user] -= 1;
            if waiting[*user] == 0 {
                ready.push(*user);
            }
        }
    }
    match waiting.iter().position(|left| *left > 0) {
        Some(index) => Err(ConfigError::Loop(format!("records[{index}]"))),
        None => Ok(()),
    }
}
