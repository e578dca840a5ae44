//! `kitwright compile` with what needs no base image.
use serde_json::Value;

use crate::command::Folder;

const DOCKERFILE: &str = "FROM scratch AS files\nCOPY a /a\nFROM scratch\nCOPY --link --from=files /a /b\n\
                          WORKDIR /w\nCMD [\"run\"]\n";

fn folder() -> Folder {
    Folder::with(&[("Dockerfile", DOCKERFILE), ("a", "")])
}

#[test]
fn digests_are_one_a_line_and_the_result_is_last() {
    let folder = folder();
    let digests = folder.run(&["compile", "."]).ok();
    let json: Value =
        serde_json::from_str(&folder.run(&["compile", "--format", "json", "."]).ok()).unwrap();
    let vertices = json["platforms"][0]["vertices"].as_array().unwrap();
    let listed: Vec<&str> = vertices.iter().map(|v| v["digest"].as_str().unwrap()).collect();
    assert_eq!(digests.lines().collect::<Vec<_>>(), listed);
    assert_eq!(listed.len(), 5);
    assert_eq!(vertices[4]["kind"], "terminal");
    assert_eq!(vertices[4]["op"]["inputs"][0]["digest"], listed[3]);
    assert_eq!(vertices[3]["lines"][0]["start"], 5);
}

#[test]
fn the_session_decides_digests_and_the_folder_does_not() {
    let (one, other) = (folder(), folder());
    let digests = one.run(&["compile", "."]).ok();
    assert_eq!(digests, other.run(&["compile"]).ok());
    assert_eq!(digests, one.run(&["compile", "--session", "kitwright", "."]).ok());
    let renamed = one.run(&["compile", "--session", "mine", "."]).ok();
    assert!(renamed.lines().zip(digests.lines()).all(|(a, b)| a != b), "{renamed}");
}

#[test]
fn other_formats_print_the_same_graph() {
    use buildkit_rs_proto::pb;
    use prost::Message as _;
    let folder = folder();
    let dot = folder.run(&["compile", "--format", "dot", "."]).ok();
    assert_eq!(dot.matches(" -> ").count(), 3, "{dot}");
    assert!(folder.run(&["compile", "--format", "mermaid"]).ok().starts_with("flowchart TD\n"));
    assert!(folder.run(&["compile", "--format", "svg"]).ok().starts_with("<svg "));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .args(["compile", "--format", "pb"])
        .arg(folder.path("."))
        .output()
        .unwrap();
    let definition = pb::Definition::decode(&*output.stdout).unwrap();
    assert_eq!(definition.def.len(), 5);
    assert_eq!(definition.metadata.len(), 5);
}

#[test]
fn the_image_config_is_one_line_a_platform() {
    let folder = folder();
    let configs =
        folder.run(&["compile", "--image-config", "--platform", "linux/amd64,linux/arm/v7"]).ok();
    let configs: Vec<Value> =
        configs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(configs[0]["architecture"], "amd64");
    assert_eq!(configs[1]["variant"], "v7");
    assert_eq!(configs[1]["config"]["WorkingDir"], "/w");
    let error = folder.run(&["compile", "--format", "pb", "--platform", "linux/386,linux/amd64"]);
    assert!(error.fails_with(2).contains("there are 2 target platforms"));
}

#[test]
fn errors_name_the_line_and_what_may_be_meant() {
    for (dockerfile, args, expected) in [
        ("FROM scratch\nCOPPY a b\n", vec![], "did you mean"),
        ("FROM scratch AS build\n", vec!["--target", "biuld"], "did you mean build?"),
        ("FROM scratch\nCOPY --from=7 a b\n", vec![], "invalid stage index 7"),
        ("FROM scratch\nCOPY --chmod=9 a b\n", vec![], "invalid chmod parameter"),
    ] {
        let folder = Folder::with(&[("Dockerfile", dockerfile)]);
        let run = folder.run(&[vec!["compile"], args].concat());
        let error = run.fails_with(2);
        assert!(error.contains(expected), "{error}");
    }
    let folder = Folder::with(&[("Dockerfile", "FROM scratch\nEXPOSE 80/icmp\n")]);
    let error = folder.run(&["compile"]).fails_with(2);
    assert!(error.contains("Dockerfile:2") && error.contains("EXPOSE 80/icmp"), "{error}");
}

#[test]
fn a_dockerfile_that_is_not_there_is_an_error() {
    let error = Folder::with(&[]).run(&["compile"]).fails_with(2);
    assert!(error.contains("Dockerfile"), "{error}");
}
