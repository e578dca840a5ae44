//! What a change of `gen.Dockerfile` reruns: the digests of its ops tell.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;
use kitwright::oci::digest::Digest;
use kitwright::plan::dockerfile::{
    self, CompileError, CompileOptions, KnownImages, ResolvedImage, compile,
};

/// A config like those of the official images. An image without layers would count as `scratch`.
const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]},
    "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;

/// The commands of the image, by digest, with the names they are shown under.
fn commands(text: &str) -> BTreeMap<String, String> {
    let file = dockerfile::parse(text.as_bytes(), "gen.Dockerfile").unwrap();
    let options = CompileOptions {
        build_platforms: vec!["linux/amd64".parse().unwrap()],
        ..CompileOptions::default()
    };
    let mut images = KnownImages::new();
    let compiled = loop {
        match compile(&file, &options, &images) {
            Ok(compiled) => break compiled,
            Err(CompileError::Unresolved(queries)) => {
                for query in &queries {
                    let digest = Digest::of(query.reference.as_bytes());
                    let config = CONFIG.into();
                    images.insert(query, Ok(ResolvedImage { reference: None, digest, config }));
                }
            }
            Err(error) => panic!("gen.Dockerfile does not compile: {error}"),
        }
    };
    let definition = &compiled.platforms[0].definition;
    let metadata = definition.to_pb().metadata;
    let is_command = |vertex: &&kitwright::plan::llb::Vertex| {
        matches!(vertex.op().op, Some(pb::op::Op::Exec(_)))
    };
    let name = |digest: &str| metadata[digest].description["llb.customname"].clone();
    let vertices = definition.vertices.iter().filter(is_command);
    vertices.map(|vertex| vertex.digest.to_string()).map(|d| (d.clone(), name(&d))).collect()
}

/// The stages whose commands run again when `from` becomes `to`; the last stage has a number.
fn reruns(from: &str, to: &str) -> BTreeSet<String> {
    let text = fs_err::read_to_string(crate::root().join("gen.Dockerfile")).unwrap();
    assert!(text.contains(from), "gen.Dockerfile has no `{from}`");
    let (before, after) = (commands(&text), commands(&text.replace(from, to)));
    let new = after.into_iter().filter(|(digest, _)| !before.contains_key(digest));
    // `[go 2/2] RUN …`
    new.map(|(_, name)| name[1..].split([' ', ']']).next().unwrap().to_owned()).collect()
}

#[track_caller]
fn bumping_reruns(argument: &str, stages: &[&str]) {
    let current = format!("ARG {argument}_VERSION={}", crate::version(argument));
    let bumped = format!("ARG {argument}_VERSION=99.0.0");
    let expected: BTreeSet<String> = stages.iter().map(|&stage| stage.to_owned()).collect();
    assert_eq!(reruns(&current, &bumped), expected);
}

#[test]
fn every_stage_has_commands_of_its_own() {
    let text = fs_err::read_to_string(crate::root().join("gen.Dockerfile")).unwrap();
    let names: Vec<String> = commands(&text).into_values().collect();
    for stage in ["go", "node", "python", "rust", "debian", "stage-9"] {
        let prefix = format!("[{stage} ");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "no {prefix}…] in {names:?}");
    }
}

#[test]
fn bumping_go_reruns_its_stage() {
    bumping_reruns("GO", &["go", "stage-9"]);
}

#[test]
fn bumping_node_reruns_its_stage() {
    bumping_reruns("NODE", &["node", "stage-9"]);
}

#[test]
fn bumping_python_reruns_its_stage() {
    bumping_reruns("PYTHON", &["python", "stage-9"]);
}

#[test]
fn bumping_buf_reruns_nothing_but_the_list_of_versions() {
    bumping_reruns("BUF", &["stage-9"]);
}

#[test]
fn bumping_rust_reruns_its_stage() {
    bumping_reruns("RUST", &["rust", "stage-9"]);
}

/// What a step reads is its key: a stage that mounted another's list would rerun with it.
#[test]
fn a_stage_reads_its_own_lists_only() {
    let text = fs_err::read_to_string(crate::root().join("gen.Dockerfile")).unwrap();
    let mut stage = String::new();
    let mut read = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines() {
        if let Some((_, name)) = line.strip_prefix("FROM ").and_then(|from| from.split_once(" AS "))
        {
            stage = name.to_owned();
        } else if line.starts_with("FROM ") {
            stage = "final".to_owned();
        }
        for source in line.split("source=stages/").skip(1) {
            let folder = source.split(['/', ',']).next().unwrap();
            read.entry(stage.clone()).or_default().insert(folder.to_owned());
        }
    }
    for (stage, folders) in read {
        let own = if stage == "final" { "versions" } else { stage.as_str() };
        assert_eq!(folders, BTreeSet::from([own.to_owned()]), "stage `{stage}`");
    }
}
