//! `--load`: images in Docker's, Podman's and kitwright's own image store.
use std::path::Path;
use std::process::Command;

use crate::kit::Project;
use crate::support::docker::{self, text_of, unmount};
use crate::support::tool;

const HELLO: &str = "FROM busybox\nRUN echo hello > /hello\nCMD [\"cat\", \"/hello\"]\n";

#[test]
fn docker_runs_what_was_loaded() {
    let (Some(project), Some(docker)) = (Project::new(HELLO), docker::start()) else { return };
    let load = ["--load", "-t", "app:one", "--iidfile", "id"];
    let ended = project.build_with_env(&load, &[("DOCKER_HOST", &docker.host)]).ok();
    assert!(ended.stderr.contains("loaded into docker"), "{}", ended.stderr);
    assert_eq!(docker.run(&["run", "--rm", "--network=none", "app:one"]), "hello");
    let id = docker.run(&["image", "inspect", "--format={{.Id}}", "app:one"]);
    assert_eq!(id, project.read("id"));
    // What fails leaves the tag where it was.
    project.write("Dockerfile", "FROM busybox\nRUN false\n");
    project.build_with_env(&load, &[("DOCKER_HOST", &docker.host)]).fails(1, &["RUN false"]);
    assert_eq!(docker.run(&["image", "inspect", "--format={{.Id}}", "app:one"]), id);
}

#[test]
fn docker_that_refuses_the_image_fails_the_build() {
    let Some(project) = Project::new(HELLO) else { return };
    let Some([_]) = tool::need(["docker"]) else { return };
    let nowhere = format!("unix://{}", project.path("no.sock").display());
    let load = ["--load=docker", "-t", "app:one"];
    let ended = project.build_with_env(&load, &[("DOCKER_HOST", &nowhere)]);
    ended.fails(3, &["`docker load` failed", "--output type=docker,dest=image.tar"]);
}

#[test]
fn podman_holds_what_was_loaded() {
    let (Some(project), Some([podman])) = (Project::new(HELLO), tool::need(["podman"])) else {
        return;
    };
    let storage = project.path("storage.conf");
    let place = |name: &str| project.path(name);
    let text = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n",
        place("graph"),
        place("run")
    );
    project.write("storage.conf", &text);
    let storage = storage.to_str().expect("a path");
    let env = [("CONTAINERS_STORAGE_CONF", storage), ("DOCKER_HOST", "unix:///nowhere")];
    // Without Docker's daemon it is found by itself.
    let ended = project.build_with_env(&["--load", "-t", "a.example/app:one"], &env).ok();
    assert!(ended.stderr.contains("loaded into podman"), "{}", ended.stderr);
    let ask = |args: &[&str]| {
        text_of(Command::new(&podman).env("CONTAINERS_STORAGE_CONF", storage).args(args))
    };
    // Looked at and not run: Podman wants to raise limits, which not every machine allows.
    let root = ask(&["image", "mount", "a.example/app:one"]);
    let hello = std::fs::read_to_string(Path::new(&root).join("hello"));
    ask(&["image", "unmount", "a.example/app:one"]);
    assert_eq!(hello.expect("the file that was made"), "hello\n");
    let command = ask(&["image", "inspect", "--format={{.Config.Cmd}}", "a.example/app:one"]);
    assert_eq!(command, "[cat /hello]");
    unmount(&place("graph"));
}

#[test]
fn the_own_store_holds_each_layer_once_and_gives_the_image_back() {
    // A layer of its own: one that another test has exported is compressed already.
    let dockerfile = "FROM busybox\nRUN echo the own store > /hello\n";
    let Some(project) = Project::new(dockerfile) else { return };
    let load = ["--load=store", "-t", "app:one", "--metadata-file", "meta.json"];
    let ended = project.build(&load).ok();
    assert!(ended.stderr.contains("app:one is in the image store"), "{}", ended.stderr);
    let store = project.path(".state/images");
    let blobs =
        |store: &Path| std::fs::read_dir(store.join("blobs/sha256")).expect("blobs").count();
    let before = blobs(&store);
    let metadata: serde_json::Value =
        serde_json::from_str(&project.read("meta.json")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest");
    let listed = project.kitwright(&["image", "list", "--format", "json"]).ok();
    assert!(listed.stdout.contains(digest), "{}", listed.stdout);
    let manifest: serde_json::Value =
        serde_json::from_str(&project.read(&blob(digest))).expect("JSON");
    for layer in manifest["layers"].as_array().expect("layers") {
        let layer_digest = layer["digest"].as_str().expect("a digest");
        let content = std::fs::read(project.path(&blob(layer_digest))).expect("a layer");
        assert_eq!(crate::support::base::digest(&content), layer_digest);
    }
    let made = manifest["layers"].as_array().and_then(|layers| layers.last()).expect("a layer");
    assert_eq!(made["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    // A change above brings a layer, a config and a manifest more, and no other layer again.
    project.write("Dockerfile", &format!("{dockerfile}RUN echo more > /more\n"));
    project.build(&["--load=store", "-t", "app:two"]).ok();
    assert_eq!(blobs(&store), before + 3);
    project.kitwright(&["run", "app:two", "--", "cp", "/more", "copied"]).ok();
    assert_eq!(project.read("copied"), "more\n");
}

#[test]
fn the_last_load_flag_counts() {
    let Some(project) = Project::new(HELLO) else { return };
    let ended = project.build(&["--load=store", "--load=false", "-t", "app:one"]).ok();
    assert!(!ended.stderr.contains("image store"), "{}", ended.stderr);
    assert!(!project.path(".state/images").exists());
    project.build(&["--load=store"]).fails(2, &["--tag NAME"]);
}

fn blob(digest: &str) -> String {
    format!(".state/images/blobs/{}", digest.replace(':', "/"))
}
