//! Tests of putting images together. That the bytes are an engine's is tested beside one.
use super::*;
use crate::oci::manifest::Manifest;

const OLD: &str = "2024-01-01T00:00:00Z";
const NEW: &str = "2026-01-01T00:00:00.5Z";

fn layer(content: &str) -> Layer {
    Layer {
        blob: Descriptor::new(media::OCI_LAYER_GZIP, Digest::of(content.as_bytes()), 5),
        diff_id: Digest::of(content.as_bytes()),
        created: Some(NEW.to_owned()),
        description: Some(format!("made {content}")),
    }
}

fn step(created: Option<&str>, empty_layer: bool) -> History {
    History { created: created.map(str::to_owned), empty_layer, ..History::default() }
}

fn config(history: &[History]) -> ImageConfig {
    ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        history: history.to_vec(),
        ..ImageConfig::default()
    }
}

fn assembled(history: &[History], layers: &[Layer], settings: Settings<'_>) -> ImageConfig {
    let image = assemble(&config(history), layers, settings).unwrap();
    ImageConfig::parse(&image.config.bytes).unwrap()
}

fn times(config: &ImageConfig) -> Vec<&str> {
    config.history.iter().map(|entry| entry.created.as_deref().unwrap_or("none")).collect()
}

#[test]
fn settings_get_the_time_of_the_first_new_layer_and_then_of_the_one_before() {
    let history = [step(Some(OLD), false), step(None, true), step(None, false), step(None, true)];
    let made = assembled(&history, &[layer("a"), layer("b")], Settings::default());
    // A layer that has a time keeps it, whatever the cache says.
    assert_eq!(times(&made), [OLD, NEW, NEW, NEW]);
    assert_eq!(made.created.as_deref(), Some(NEW));
}

#[test]
fn layers_that_the_history_lacks_are_added_and_too_many_entries_made_no_layer() {
    let made = assembled(&[step(Some(OLD), false)], &[layer("a"), layer("b")], Settings::default());
    let added = &made.history[1];
    assert_eq!((added.created_by.as_str(), added.comment.as_str()), ("made b", COMMENT));
    let history = [step(Some(OLD), false), step(Some(OLD), false)];
    let made = assembled(&history, &[layer("a")], Settings::default());
    assert!(made.history[1].empty_layer && !made.history[0].empty_layer);
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let refused = |history: &[History], layer: Layer| {
        assert_eq!(assemble(&config(history), &[layer], Settings::default()), None);
    };
    let undated = Layer { created: None, ..layer("a") };
    refused(&[step(None, false)], undated.clone());
    refused(&[], undated.clone());
    assert!(
        assemble(&config(&[step(Some(OLD), false)]), &[undated], Settings::default()).is_some()
    );
    let mut lazy = layer("a");
    lazy.blob.annotations.insert("containerd.io/snapshot/stargz/toc.digest".into(), "x".into());
    refused(&[step(Some(OLD), false)], lazy);
    let mut foreign = layer("a");
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        .clone_into(&mut foreign.blob.media_type);
    refused(&[step(Some(OLD), false)], foreign);
    assert_eq!(assemble(&config(&[]), &[], Settings::default()), None);
    assert_eq!(assemble(&ImageConfig::default(), &[layer("a")], Settings::default()), None);
}

#[test]
fn nothing_is_younger_than_the_epoch_but_what_the_base_image_brought() {
    let base = config(&[step(Some(NEW), false)]);
    let settings =
        Settings { base: Some(&base), epoch: Some(1_000_000_000), ..Settings::default() };
    let history = [step(Some(NEW), false), step(None, false), step(None, true)];
    let made = assembled(&history, &[layer("a"), layer("b")], settings);
    let epoch = "2001-09-09T01:46:40Z";
    assert_eq!(times(&made), [NEW, epoch, epoch]);
    let later = Settings { epoch: Some(4_000_000_000), ..Settings::default() };
    assert_eq!(times(&assembled(&history, &[layer("a"), layer("b")], later)), [NEW, NEW, NEW]);
}

#[test]
fn the_manifest_names_layers_without_notes_and_with_ocis_types() {
    let mut docker = layer("a");
    media::DOCKER_LAYER_GZIP.clone_into(&mut docker.blob.media_type);
    let settings = Settings { inline_cache: Some("W10=".to_owned()), ..Settings::default() };
    let image = assemble(&config(&[step(Some(OLD), false)]), &[docker], settings).unwrap();
    let manifest = String::from_utf8(image.manifest.bytes.clone()).unwrap();
    assert!(manifest.starts_with("{\n  \"schemaVersion\": 2,\n  \"mediaType\""), "{manifest}");
    let Ok(Manifest::Image(parsed)) = Manifest::parse(None, &image.manifest.bytes) else {
        panic!()
    };
    assert_eq!(parsed.layers[0].media_type, media::OCI_LAYER_GZIP);
    assert_eq!(parsed.config, image.config.descriptor);
    assert_eq!(image.manifest.descriptor.digest, Digest::of(&image.manifest.bytes));
    let config = String::from_utf8(image.config.bytes).unwrap();
    assert!(config.contains(r#","moby.buildkit.cache.v0":"W10=","os":"linux""#), "{config}");
}
