//! Tests of reading cache configs.
use super::*;
use crate::oci::manifest::media;

fn layer(content: &str, size: u64) -> Descriptor {
    Descriptor::new(media::OCI_LAYER_GZIP, Digest::of(content.as_bytes()), size)
}

fn parse(text: &str, layers: &[Descriptor]) -> Result<CacheConfig, ConfigError> {
    let mut text = text.to_owned();
    for name in ["a", "b", "c"] {
        text = text.replace(&format!("<{name}>"), &Digest::of(name.as_bytes()).to_string());
    }
    CacheConfig::parse(text.as_bytes(), layers)
}

/// A source, a step on it with two layers, and a step of which only the key was kept.
const CONFIG: &str = r#"{
    "layers": [{"blob": "<a>", "parent": -1}, {"blob": "<b>"}],
    "records": [
        {"digest": "<a>"},
        {"digest": "<b>", "inputs": [[{"link": 0}]],
         "layers": [{"layer": 1, "createdAt": "2024-01-01T00:00:00.5Z"}]},
        {"digest": "<c>", "inputs": [[{"link": 0, "selector": "<a>"}, {"link": 1}], [{"link": 1}]]}
    ]
}"#;

#[test]
fn resolves_layers_with_their_parents_and_links_with_their_selectors() {
    let layers = [layer("a", 10), layer("b", 20)];
    let config = parse(CONFIG, &layers).unwrap();
    assert_eq!(config.layers, layers);
    assert_eq!(config.size(), 30);
    let created_at = 1_704_067_200_500_000_000;
    assert_eq!(config.records[1].results, [Stored { layers: vec![0, 1], created_at }]);
    let selector = Digest::of(b"a").to_string();
    let plain = |record| Link { record, selector: String::new() };
    let inputs = vec![vec![Link { record: 0, selector }, plain(1)], vec![plain(1)]];
    assert_eq!((&config.records[2].inputs, config.records[2].results.len()), (&inputs, 0));
}

#[test]
fn a_result_whose_layer_the_manifest_lacks_does_not_count() {
    let config = parse(CONFIG, &[layer("b", 20)]).unwrap();
    assert_eq!(config.records[1].results, []);
    assert_eq!(config.records.len(), 3);
}

#[test]
fn a_config_can_describe_its_layers_itself() {
    let text = r#"{"layers": [{"blob": "<a>", "parent": -1,
                     "annotations": {"mediaType": "x", "size": 7, "createdAt": "2024-01-01T00:00:00Z"}}],
                   "records": [{"digest": "<a>", "layers": [{"layer": 0, "createdAt": "2024-01-01T00:00:00Z"}]}]}"#;
    let config = parse(text, &[]).unwrap();
    assert_eq!((config.records[0].results.len(), config.size()), (1, 7));
}

#[test]
fn what_several_configs_hold_is_one_config() {
    let described = |name: &str, parent: &str| {
        format!(
            r#"{{"blob": "<{name}>"{parent}, "annotations": {{"mediaType": "{name}", "size": 1,
                 "diffID": "<{name}>", "createdAt": "2024-01-01T00:00:00Z"}}}}"#
        )
    };
    let text = |name: &str, chains: &str| {
        let (a, b) = (described("a", r#", "parent": -1"#), described(name, ""));
        let text = format!(
            r#"{{"layers": [{a}, {b}], "records": [{{"digest": "<a>"}},
               {{"digest": "<{name}>", "inputs": [[{{"link": 0, "selector": "<a>"}}]], {chains}}}]}}"#
        );
        ["a", "b", "c"].iter().fold(text, |text, name| {
            text.replace(&format!("<{name}>"), &Digest::of(name.as_bytes()).to_string())
        })
    };
    let first = text("b", r#""layers": [{"layer": 1, "createdAt": "2024-01-01T00:00:00Z"}]"#);
    let second = text("c", r#""chains": [{"layers": [1]}]"#);
    let both = CacheConfig::append(&[&first, &second]).unwrap();
    let both = CacheConfig::parse(&both, &[]).unwrap();
    let parsed = |text: &str| CacheConfig::parse(text.as_bytes(), &[]).unwrap();
    assert_eq!(both, CacheConfig::join([parsed(&first), parsed(&second)]));
    assert_eq!(both.records[3].results[0].layers, [3]);
    let annotations = &both.layers[3].annotations;
    assert_eq!(annotations[UNCOMPRESSED], Digest::of(b"c").to_string());
    assert_eq!(annotations["buildkit/createdat"], "2024-01-01T00:00:00Z");
}

#[test]
fn refuses_what_the_engine_refuses() {
    let records = |records: &str| format!(r#"{{"records": [{records}]}}"#);
    let layers = |layers: &str, top: u8| {
        format!(
            r#"{{"layers": [{layers}], "records": [{{"digest": "<a>", "layers": [{{"layer": {top}}}]}}]}}"#
        )
    };
    for (text, expected) in [
        ("{".to_owned(), "not valid JSON"),
        (records(r#"{"digest": "md5:1"}"#), "not valid JSON"),
        (
            records(r#"{"digest": "<a>", "inputs": [[{"link": 5}]]}"#),
            "record 0 of the cache config links to record 5",
        ),
        (records(r#"{"digest": "<a>", "inputs": [[{"link": -1}]]}"#), "links to record -1"),
        (records(r#"{"digest": "<a>", "inputs": [[]]}"#), "no link for its input 0"),
        (records(r#"{"digest": "<a>", "inputs": [null]}"#), "no link for its input 0"),
        (
            records(r#"{"digest": "<a>", "inputs": [[{"link": 0}]]}"#),
            "`records[0]` of the cache config leads back",
        ),
        (
            records(
                r#"{"digest": "<a>", "inputs": [[{"link": 1}]]}, {"digest": "<b>", "inputs": [[{"link": 0}]]}"#,
            ),
            "leads back to itself",
        ),
        (
            records(r#"{"digest": "<a>", "layers": [{"layer": 0}]}"#),
            "`records[0]` of the cache config names layer 0",
        ),
        (records(r#"{"digest": "<a>", "chains": [{"layers": [3]}]}"#), "names layer 3"),
        (layers(r#"{"blob": "<a>"}"#, 0), "`layers[0]` of the cache config leads back"),
        (
            layers(r#"{"blob": "<a>", "parent": 9}"#, 0),
            "`layers[0]` of the cache config names layer 9",
        ),
        (
            layers(r#"{"blob": "<a>", "parent": -1}"#, 0)
                .replace(r#""layer": 0"#, r#""layer": 0, "createdAt": "today""#),
            "`today`, which is not RFC 3339",
        ),
    ] {
        let error = parse(&text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

fn image_manifest(layers: Vec<Descriptor>) -> ImageManifest {
    let manifest = serde_json::json!({
        "schemaVersion": 2, "layers": layers,
        "config": Descriptor::of(media::OCI_CONFIG, b"{}"),
    });
    serde_json::from_value(manifest).unwrap()
}

fn image_config(diff_ids: usize, cache: Option<&str>) -> Vec<u8> {
    let ids = vec![Digest::of(b"x"); diff_ids];
    let cache = cache.map(|text| base64::engine::general_purpose::STANDARD.encode(text));
    let config = serde_json::json!({"rootfs": {"diff_ids": ids}, "moby.buildkit.cache.v0": cache});
    serde_json::to_vec(&config).unwrap()
}

#[test]
fn inline_records_speak_of_the_images_layers() {
    let manifest = image_manifest(vec![layer("a", 10), layer("b", 20)]);
    let digest = Digest::of(b"r");
    let records = format!(
        r#"[{{"digest": "{digest}", "layers": [{{"layer": 1, "createdAt": "2024-01-01T00:00:00Z"}}],
             "chains": [{{"layers": [1], "createdAt": "0001-01-01T00:00:00Z"}}]}}]"#
    );
    let config =
        CacheConfig::from_image(&image_config(2, Some(&records)), &manifest).unwrap().unwrap();
    let layers: Vec<_> = config.records[0].results.iter().map(|r| r.layers.clone()).collect();
    assert_eq!(layers, [vec![0, 1], vec![1]]);

    assert_eq!(CacheConfig::from_image(&image_config(2, None), &manifest).unwrap(), None);
    let error = CacheConfig::from_image(&image_config(1, Some(&records)), &manifest).unwrap_err();
    assert!(error.to_string().contains("names 1 layers and the manifest 2"), "{error}");
    let broken = br#"{"moby.buildkit.cache.v0": "%%"}"#;
    assert!(matches!(
        CacheConfig::from_image(broken, &image_manifest(Vec::new())),
        Err(ConfigError::Base64 { .. })
    ));
}

#[test]
fn joined_configs_keep_their_links_and_layers() {
    let one = parse(CONFIG, &[layer("a", 10), layer("b", 20)]).unwrap();
    let both = CacheConfig::join([one.clone(), one.clone()]);
    assert_eq!(both.records[..3], one.records);
    assert_eq!(both.records[4].results[0].layers, [2, 3]);
    assert_eq!(both.records[5].inputs[0][1].record, 4);
    assert_eq!(both.size(), 30);
}

#[test]
fn finds_the_config_of_each_kind_of_manifest() {
    let mut image = image_manifest(vec![layer("a", 1)]);
    let is_image = |location| matches!(location, Location::Image(_));
    assert!(is_image(Location::of(Manifest::Image(Box::new(image.clone())))));
    image.config.media_type = MEDIA_TYPE.to_owned();
    let expected =
        Location::Config { config: Box::new(image.config.clone()), layers: vec![layer("a", 1)] };
    assert_eq!(Location::of(Manifest::Image(Box::new(image.clone()))), expected);
    let index =
        |manifests| Manifest::Index(Box::new(crate::oci::manifest::ImageIndex::new(manifests)));
    assert_eq!(Location::of(index(vec![layer("a", 1), image.config])), expected);
    assert_eq!(Location::of(index(vec![layer("a", 1)])), Location::Images(vec![layer("a", 1)]));
}

#[test]
fn a_layer_says_what_it_contains_and_when_it_was_made() {
    let text = r#"{"layers": [{"blob": "<a>", "parent": -1, "annotations": {"mediaType": "x",
                     "diffID": "<b>", "size": 7, "createdAt": "2024-01-01T00:00:00Z"}}],
                   "records": [{"digest": "<a>", "layers": [{"layer": 0}]}]}"#;
    let config = parse(text, &[]).unwrap();
    let notes = &config.layers[0].annotations;
    assert_eq!(notes[UNCOMPRESSED], Digest::of(b"b").to_string());
    assert_eq!(notes[CREATED_AT], "2024-01-01T00:00:00Z");
}

#[test]
fn an_images_history_says_when_its_layers_were_made() {
    let image = r#"{"rootfs": {"diff_ids": ["x"]}, "moby.buildkit.cache.v0": "W10=", "history": [
        {"created": "2023-01-01T00:00:00Z", "empty_layer": true},
        {"created": "2024-01-01T00:00:00Z", "created_by": "RUN a"}]}"#;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: layer("config", 1),
        layers: vec![layer("a", 1)],
        subject: None,
        annotations: std::collections::BTreeMap::default(),
    };
    let config = CacheConfig::from_image(image.as_bytes(), &manifest).unwrap().unwrap();
    let notes = &config.layers[0].annotations;
    assert_eq!(
        (notes[CREATED_AT].as_str(), notes[DESCRIPTION].as_str()),
        ("2024-01-01T00:00:00Z", "RUN a")
    );
}
