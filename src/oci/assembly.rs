//! An image made of layers that exist already: its config and manifest.
//!
//! Input: the config as the frontend leaves it, and the layers, lowest first. Output: the bytes that
//! BuildKit's image exporter would write of them: an image must not have another digest for having
//! been put together without an engine. Pure: where the layers lie does not matter here.
use std::collections::BTreeMap;

use serde::Serialize;

use super::config::{History, ImageConfig, RootFs};
use super::digest::Digest;
use super::manifest::{Descriptor, ImageManifest, media};
use super::{go_json, go_time};

/// What the exporter writes at a layer of which the config says nothing.
const COMMENT: &str = "buildkit.exporter.image.v0";
/// The field of the config that holds an inline cache.
const INLINE_CACHE: &str = "moby.buildkit.cache.v0";

/// A layer and what is known of its making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The compressed layer, without annotations.
    pub blob: Descriptor,
    /// The digest of its content without compression.
    pub diff_id: Digest,
    /// When it was made, in UTC.
    pub created: Option<String>,
    /// What made it.
    pub description: Option<String>,
}

/// What the layers do not say.
#[derive(Clone, Debug, Default)]
pub struct Settings<'a> {
    /// The config of the base image, whose history keeps its times.
    pub base: Option<&'a ImageConfig>,
    /// The time that nothing else may be younger than, in seconds since 1970.
    pub epoch: Option<i64>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The records of the image's inline cache, in base64.
    pub inline_cache: Option<String>,
}

/// The documents of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The config.
    pub config: Document,
    /// The manifest.
    pub manifest: Document,
}

/// Some bytes and their descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Describes the bytes.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Document {
    fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }
}

/// Writes the config and the manifest of the image that `config` and `layers` make.
///
/// `None` where the exporter would write something that is not known here: the time of a layer that
/// does not say when it was made, the type of one that is packed in another way.
#[must_use]
pub fn assemble(
    config: &ImageConfig,
    layers: &[Layer],
    settings: Settings<'_>,
) -> Option<Assembled> {
    let listed = layers.iter().map(listed).collect::<Option<Vec<_>>>()?;
    if listed.is_empty() || config.os.is_empty() || config.architecture.is_empty() {
        return None;
    }
    let mut history = dated(with_all_layers(config.history.clone(), layers)?, layers)?;
    if let Some(epoch) = settings.epoch {
        clamp(&mut history, settings.base, epoch)?;
    }
    let config = config_json(config, layers, &history, &settings)?;
    let config = Document::new(media::OCI_CONFIG, config);
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: config.descriptor.clone(),
        layers: listed,
        subject: None,
        annotations: settings.annotations,
    };
    let manifest = Document::new(media::OCI_MANIFEST, go_json::to_vec_pretty(&manifest));
    Some(Assembled { config, manifest })
}

/// A layer as the manifest lists it: with OCI's media type, and without notes of engines.
fn listed(layer: &Layer) -> Option<Descriptor> {
    let kind = match layer.blob.media_type.as_str() {
        kind @ (media::OCI_LAYER | media::OCI_LAYER_GZIP | media::OCI_LAYER_ZSTD) => kind,
        media::DOCKER_LAYER_GZIP => media::OCI_LAYER_GZIP,
        _ => return None,
    };
    let is_plain = layer.blob.urls.is_empty() && layer.blob.annotations.is_empty();
    is_plain.then(|| Descriptor::new(kind, layer.blob.digest, layer.blob.size))
}

/// The history with as many entries for layers as there are layers.
fn with_all_layers(mut history: Vec<History>, layers: &[Layer]) -> Option<Vec<History>> {
    let mut told = 0;
    for entry in &mut history {
        entry.empty_layer |= told == layers.len();
        told += usize::from(!entry.empty_layer);
    }
    for layer in &layers[told..] {
        history.push(History {
            created: Some(layer.created.clone()?),
            created_by: layer.description.clone()?,
            comment: COMMENT.to_owned(),
            ..History::default()
        });
    }
    Some(history)
}

/// The history with a time at each entry: that of its layer, or of the first new one, or of the one before.
fn dated(mut history: Vec<History>, layers: &[Layer]) -> Option<Vec<History>> {
    let mut layers = layers.iter();
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer) {
        let layer = layers.next()?;
        if entry.created.is_none() {
            entry.created = Some(layer.created.clone()?);
        }
    }
    let undated = history.iter().position(|entry| entry.created.is_none());
    let after = undated.and_then(|at| history[at..].iter().find_map(|entry| entry.created.clone()));
    let mut created =
        after.or_else(|| history.iter().rev().find_map(|entry| entry.created.clone()));
    for entry in &mut history[undated.unwrap_or_default()..] {
        match &entry.created {
            Some(time) => created = Some(time.clone()),
            None => entry.created.clone_from(&created),
        }
    }
    Some(history)
}

/// Makes nothing younger than `epoch` but what is taken over from the base image.
fn clamp(history: &mut [History], base: Option<&ImageConfig>, epoch: i64) -> Option<()> {
    let latest = i128::from(epoch) * 1_000_000_000;
    let base = base.map_or(&[][..], |base| &base.history);
    let own = history.iter().zip(base).take_while(|(entry, base)| entry == base).count();
    for entry in &mut history[own..] {
        let created = entry.created.as_deref().map(go_time::to_unix_nanos);
        if created.is_none_or(|created| created.is_none_or(|created| created > latest)) {
            entry.created = Some(go_time::from_unix(epoch));
        }
    }
    Some(())
}

/// The config with what the layers decide; its fields are sorted, as the exporter leaves them.
fn config_json(
    config: &ImageConfig,
    layers: &[Layer],
    history: &[History],
    settings: &Settings<'_>,
) -> Option<Vec<u8>> {
    let diff_ids = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let rootfs = RootFs { kind: "layers".to_owned(), diff_ids: Some(diff_ids) };
    let mut fields: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut add = |name, is_there: bool, value: Vec<u8>| {
        if is_there {
            fields.insert(name, value);
        }
    };
    add("author", !config.author.is_empty(), json(&config.author));
    add("architecture", true, json(&config.architecture));
    add("os", true, json(&config.os));
    add("os.version", !config.os_version.is_empty(), json(&config.os_version));
    add("os.features", !config.os_features.is_empty(), json(&config.os_features));
    add("variant", !config.variant.is_empty(), json(&config.variant));
    add("config", true, json(&config.config));
    add("rootfs", true, json(&rootfs));
    add("history", true, json(&history));
    let created = match (&config.created, settings.epoch) {
        (Some(created), Some(epoch))
            if go_time::to_unix_nanos(created)? > i128::from(epoch) * 1_000_000_000 =>
        {
            Some(go_time::from_unix(epoch))
        }
        (Some(created), _) => Some(created.clone()),
        (None, _) => history.iter().rev().find_map(|entry| entry.created.clone()),
    };
    add("created", true, json(&created));
    if let Some(records) = &settings.inline_cache {
        add(INLINE_CACHE, true, json(records));
    }
    let fields: Vec<Vec<u8>> =
        fields.into_iter().map(|(name, value)| [&json(&name)[..], b":", &value].concat()).collect();
    Some([b"{", &fields.join(&b","[..])[..], b"}"].concat())
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    go_json::to_vec(value)
}

#[cfg(test)]
mod tests;
