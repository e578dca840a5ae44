//! Reading, writing and choosing.
use super::*;

const CONFIG: &str = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;

fn entry(os: &str, architecture: &str, variant: &str) -> Descriptor {
    let text = format!("{os}/{architecture}/{variant}");
    let platform = Platform {
        os: os.into(),
        architecture: architecture.into(),
        variant: variant.into(),
        ..Platform::default()
    };
    let descriptor = Descriptor::of(media::OCI_MANIFEST, text.as_bytes());
    Descriptor { platform: Some(platform), ..descriptor }
}

fn chosen(entries: &[Descriptor], wanted: &str) -> Vec<String> {
    let wanted: Platform = wanted.parse().unwrap();
    let names = candidates(entries, &wanted).into_iter().map(|entry| {
        entry.platform.as_ref().map_or("none".to_owned(), |platform| {
            format!("{}/{}", platform.architecture, platform.variant)
        })
    });
    names.collect()
}

#[test]
fn writes_what_it_read_byte_for_byte() {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{CONFIG},"layers":[{CONFIG}],"annotations":{{"a":"1","b":"2"}}}}"#,
        media::OCI_MANIFEST
    );
    let Manifest::Image(image) = Manifest::parse(None, text.as_bytes()).unwrap() else { panic!() };
    assert_eq!(serde_json::to_string(&image).unwrap(), text);
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{CONFIG}]}}"#,
        media::DOCKER_LIST
    );
    let Manifest::Index(index) = Manifest::parse(None, text.as_bytes()).unwrap() else { panic!() };
    assert_eq!(serde_json::to_string(&index).unwrap(), text);
}

#[test]
fn reads_the_nulls_and_missing_types_of_other_writers() {
    let text =
        format!(r#"{{"schemaVersion":2,"config":{CONFIG},"layers":null,"annotations":null}}"#);
    let manifest = Manifest::parse(Some("application/json"), text.as_bytes()).unwrap();
    assert_eq!(manifest.media_type(), media::OCI_MANIFEST);
    let manifest = Manifest::parse(None, br#"{"schemaVersion":2,"manifests":null}"#);
    // `null` is no list, so nothing tells what this is.
    assert!(matches!(manifest, Err(ManifestError::MediaType(_))));
}

#[test]
fn refuses_what_can_be_read_in_two_ways_and_what_is_too_old() {
    let both = format!(r#"{{"schemaVersion":2,"config":{CONFIG},"layers":[],"manifests":[]}}"#);
    assert!(matches!(Manifest::parse(None, both.as_bytes()), Err(ManifestError::Ambiguous)));
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media::OCI_INDEX);
    let error = Manifest::parse(Some(media::OCI_MANIFEST), index.as_bytes()).unwrap_err();
    assert!(matches!(error, ManifestError::Contradiction { .. }), "{error}");
    let old = br#"{"schemaVersion":1,"fsLayers":[]}"#;
    let error = Manifest::parse(None, old).unwrap_err();
    assert_eq!(
        error.to_string(),
        "manifests of type `Docker image manifest schema 1` are not supported"
    );
    let error = Manifest::parse(None, b"<html>").unwrap_err();
    assert!(matches!(error, ManifestError::Json { .. }), "{error}");
}

#[test]
fn the_platform_itself_goes_before_what_it_can_run_too() {
    let entries = [
        entry("linux", "386", ""),
        entry("linux", "arm", "v6"),
        entry("linux", "arm", "v7"),
        entry("linux", "amd64", ""),
        entry("windows", "amd64", ""),
        entry("linux", "arm64", "v8"),
    ];
    assert_eq!(chosen(&entries, "linux/amd64"), ["amd64/", "386/"]);
    assert_eq!(chosen(&entries, "linux/arm64"), ["arm64/v8", "arm/v7", "arm/v6"]);
    assert_eq!(chosen(&entries, "linux/arm"), ["arm/v7", "arm/v6"]);
    assert_eq!(chosen(&entries, "linux/arm/v6"), ["arm/v6"]);
    assert_eq!(chosen(&entries, "linux/386"), ["386/"]);
    assert!(chosen(&entries, "linux/riscv64").is_empty());
}

#[test]
fn higher_cpu_levels_take_the_highest_level_they_run() {
    let entries = [
        entry("linux", "amd64", ""),
        entry("linux", "amd64", "v3"),
        entry("linux", "amd64", "v2"),
        entry("linux", "arm64", ""),
        entry("linux", "arm64", "v8.2"),
        entry("linux", "arm64", "v9"),
    ];
    assert_eq!(chosen(&entries, "linux/amd64/v4"), ["amd64/v3", "amd64/v2", "amd64/"]);
    assert_eq!(chosen(&entries, "linux/amd64"), ["amd64/"]);
    assert_eq!(chosen(&entries, "linux/arm64/v9"), ["arm64/v9", "arm64/v8.2", "arm64/"]);
    assert_eq!(chosen(&entries, "linux/arm64/v8.1"), ["arm64/"]);
}

#[test]
fn attestations_are_no_images_and_entries_without_platform_come_last() {
    let mut attestation = entry("linux", "amd64", "");
    attestation.annotations.insert(ATTESTATION_TYPE.into(), "attestation-manifest".into());
    let nameless = Descriptor::of(media::OCI_MANIFEST, b"?");
    let entries =
        [attestation, entry("unknown", "unknown", ""), nameless, entry("linux", "amd64", "")];
    assert_eq!(chosen(&entries, "linux/amd64"), ["amd64/", "none"]);
}
