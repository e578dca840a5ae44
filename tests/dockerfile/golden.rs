//! Whole Dockerfiles: everything that BuildKit made of them.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use buildkit_rs_proto::pb;
use kitwright::oci::digest::Digest;
use kitwright::oci::go_json;
use kitwright::plan::dockerfile::resolver::{
    ImageQuery, ImageResolver, ResolveError, ResolvedImage,
};
use kitwright::plan::dockerfile::{CompileOptions, CompiledPlatform, compile, parse};
use kitwright::plan::llb::{Definition, Vertex};
use prost::Message as _;
use serde_json::{Value, json};

/// A case and what BuildKit made of it.
pub struct Golden {
    pub name: String,
    pub dockerfile: Vec<u8>,
    pub expected: Value,
}

/// All cases, in order.
pub fn all() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfile/golden");
    let mut folders: Vec<PathBuf> =
        fs_err::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 28, "the cases are there");
    let read = |folder: PathBuf| Golden {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        dockerfile: fs_err::read(folder.join("Dockerfile")).unwrap(),
        expected: serde_json::from_slice(&fs_err::read(folder.join("expect.json")).unwrap())
            .unwrap(),
    };
    folders.into_iter().map(read).collect()
}

/// The bytes of a vertex in an expectation.
pub fn raw(vertex: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(vertex["raw"].as_str().unwrap()).unwrap()
}

/// Answers as the stubbed registry did that the expectations were made with.
struct Registry {
    stub: String,
}

impl ImageResolver for Registry {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let configs: BTreeMap<String, Value> =
            serde_json::from_str(include_str!("../reference/configs.json")).unwrap();
        let platform = &query.platform;
        let variant = match &*platform.variant {
            "" => String::new(),
            variant => format!(",\"variant\":\"{variant}\""),
        };
        let layer = Digest::of(format!("layer:{}", query.reference).as_bytes());
        let config = configs[&self.stub]
            .to_string()
            .replace("@ARCH@", &platform.architecture)
            .replace("@OS@", &platform.os)
            .replace(",\"variant\":\"@VARIANT@\"", &variant)
            .replace("@LAYER@", &layer.to_string());
        let digest = match query.reference.rsplit_once('@') {
            Some((_, digest)) => digest.parse().unwrap(),
            None => Digest::of(query.reference.as_bytes()),
        };
        Ok(Some(ResolvedImage { reference: None, digest, config: config.into() }))
    }
}

fn compile_case(case: &Golden) -> Vec<CompiledPlatform> {
    let opts: BTreeMap<String, String> =
        serde_json::from_value(case.expected["opts"].clone()).unwrap();
    let mut options = CompileOptions::from_frontend(&opts).unwrap();
    options.build_platforms = vec!["linux/amd64".parse().unwrap()];
    case.expected["session"].as_str().unwrap().clone_into(&mut options.session_id);
    let stub = case.expected["stub"].as_str().unwrap().to_owned();
    let file = parse(&case.dockerfile, "Dockerfile").unwrap();
    compile(&file, &options, &Registry { stub }).unwrap().platforms
}

/// Metadata in the form of the expectations.
fn metadata(vertex: &Vertex) -> Value {
    let meta = vertex.metadata.to_pb();
    let mut value = json!({});
    if meta.ignore_cache {
        value["ignoreCache"] = json!(true);
    }
    if !meta.description.is_empty() {
        value["description"] = json!(meta.description);
    }
    if !meta.caps.is_empty() {
        value["caps"] = json!(meta.caps);
    }
    if let Some(group) = &meta.progress_group {
        value["progressGroup"] = json!({"id": group.id, "name": group.name});
        if group.weak {
            value["progressGroup"]["weak"] = json!(true);
        }
    }
    if let Some(resources) = &meta.linux_resources {
        value["linuxResources"] = json!({"memory": resources.memory.to_string()});
    }
    value
}

/// Calls groups `pg0`, `pg1` and so on, as their ids are random in BuildKit.
fn name_groups(vertices: &mut [Value]) {
    let mut names: Vec<Value> = Vec::new();
    for vertex in vertices {
        let Some(group) = vertex["metadata"].get_mut("progressGroup") else { continue };
        let at = names.iter().position(|name| *name == group["id"]).unwrap_or_else(|| {
            names.push(group["id"].clone());
            names.len() - 1
        });
        group["id"] = json!(format!("pg{at}"));
    }
}

fn describe(definition: &Definition) -> Vec<Value> {
    let describe = |vertex: &Vertex| {
        json!({
            "digest": vertex.digest.to_string(),
            "raw": base64::engine::general_purpose::STANDARD.encode(&vertex.bytes),
            "metadata": metadata(vertex),
        })
    };
    let mut vertices: Vec<Value> = definition.vertices.iter().map(describe).collect();
    name_groups(&mut vertices);
    vertices
}

fn locations(definition: &Definition) -> BTreeMap<String, Vec<[i32; 5]>> {
    let place = |position: Option<pb::Position>| {
        position.map_or([0, 0], |position| [position.line, position.character])
    };
    let row = |location: &pb::Location, range: &pb::Range| {
        let ([line, character], [last, end]) = (place(range.start), place(range.end));
        [location.source_index, line, character, last, end]
    };
    let wire = definition.to_pb();
    // What is sent to an engine says the same as the values that everything here looks at.
    assert_eq!(pb::Definition::decode(&*definition.marshal()).unwrap(), wire);
    let source = wire.source.unwrap_or_default();
    let rows = |locations: &pb::Locations| {
        let all = locations.locations.iter();
        all.flat_map(|location| location.ranges.iter().map(|range| row(location, range))).collect()
    };
    assert!(source.locations.values().all(|found| !found.locations.is_empty()));
    let all = source.locations.iter();
    let rows: BTreeMap<_, Vec<_>> =
        all.map(|(digest, found)| (digest.clone(), rows(found))).collect();
    rows.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

#[test]
fn everything_equals_what_buildkit_makes() {
    for case in all() {
        let compiled = compile_case(&case);
        let results = case.expected["results"].as_array().unwrap();
        assert_eq!(compiled.len(), results.len(), "{}", case.name);
        for (ours, theirs) in compiled.iter().zip(results) {
            let name = format!("{} {}", case.name, ours.platform);
            assert_eq!(theirs["platform"], json!(ours.platform.to_string()), "{name}");
            check_definition(&name, &ours.definition, theirs);
            let config = String::from_utf8(ours.config_json()).unwrap();
            assert_eq!(config, go_json::to_string(&theirs["image_config"]), "{name}");
            let base = ours.base_config.as_ref().map(|c| String::from_utf8(c.to_json()).unwrap());
            assert_eq!(base, theirs.get("base_image_config").map(go_json::to_string), "{name}");
        }
    }
}

fn check_definition(name: &str, ours: &Definition, theirs: &Value) {
    let expected: Vec<Value> = theirs["vertices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| json!({"digest": v["digest"], "raw": v["raw"], "metadata": v["metadata"]}))
        .collect();
    let actual = describe(ours);
    for (ours, theirs) in actual.iter().zip(&expected) {
        assert_eq!(ours["raw"], theirs["raw"], "{name}: {}", theirs["metadata"]);
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(actual.len(), expected.len(), "{name}");
    let head = ours.head().map(|digest| digest.to_string()).unwrap_or_default();
    assert_eq!(theirs["head"], json!(head), "{name}");
    let expected: BTreeMap<String, Vec<[i32; 5]>> = theirs["source_locations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let ranges = serde_json::from_value(entry["ranges"].clone()).unwrap_or_default();
            (entry["digest"].as_str().unwrap().to_owned(), ranges)
        })
        // Vertices that no instruction stands for have no ranges.
        .filter(|(_, ranges): &(String, Vec<[i32; 5]>)| !ranges.is_empty())
        .collect();
    assert_eq!(locations(ours), expected, "{name}");
}
