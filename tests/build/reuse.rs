//! `--reuse`: an image is found by its content key instead of built.
use serde_json::Value;

use crate::kit::{Ended, Project};
use crate::support::registry::{self, Registry};

const DOCKERFILE: &str = "FROM busybox\nCOPY used /used\nRUN --network=none cat /used > /copy\n";

fn project() -> Option<(Project, Registry)> {
    let project = Project::new(DOCKERFILE)?;
    project.write("used", "one");
    project.write("unused", "");
    Some((project, registry::start()?))
}

/// Builds with `--reuse`, where there is no engine unless `engine`.
fn build(project: &Project, name: &str, engine: bool) -> Ended {
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let builder = if engine { project.address() } else { "unix:///no/such/engine.sock" };
    project.with_env(
        &[
            "build",
            ".",
            "--progress=plain",
            "--build-context",
            &base,
            "--reuse",
            "--push",
            "-t",
            name,
            "--metadata-file",
            "meta.json",
            "--iidfile",
            "id",
            "--builder",
            builder,
        ],
        &[],
    )
}

fn digest(project: &Project) -> String {
    let metadata: Value = serde_json::from_str(&project.read("meta.json")).expect("JSON");
    metadata["containerimage.digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn unchanged_inputs_need_no_engine() {
    let Some((project, registry)) = project() else { return };
    build(&project, &registry.reference("app:one"), true).ok();
    let (built, id) = (digest(&project), project.read("id"));
    project.write("unused", "changed");
    std::fs::remove_file(project.path("meta.json")).expect("a removed file");
    let found = build(&project, &registry.reference("app:two"), false).ok();
    assert!(found.stderr.contains("reused `key-"), "{}", found.stderr);
    assert_eq!((digest(&project), project.read("id")), (built.clone(), id));
    let tagged = registry.manifest("app", "two");
    assert_eq!(crate::support::base::digest(&tagged.body), built);
    // In another repository of the registry, the same bytes.
    build(&project, &registry.reference("app:three"), false).ok();
}

#[test]
fn a_changed_file_is_built_and_keyed_anew() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    build(&project, &name, true).ok();
    let first = digest(&project);
    project.write("used", "two");
    build(&project, &name, false).fails(3, &["/no/such/engine.sock"]);
    build(&project, &name, true).ok();
    assert_ne!(digest(&project), first);
    project.write("used", "one");
    build(&project, &name, false).ok();
    assert_eq!(digest(&project), first, "the first image is still there by its key");
}

#[test]
fn a_failed_build_has_no_key() {
    let Some((project, registry)) = project() else { return };
    project.write("Dockerfile", "FROM busybox\nRUN --network=none false\n");
    let name = registry.reference("app:one");
    for _ in 0..2 {
        build(&project, &name, true).fails(1, &["no image `key-"]);
    }
}

#[test]
fn it_needs_something_to_push() {
    let Some((project, _registry)) = project() else { return };
    project.build(&["--reuse"]).fails(2, &["`--reuse` needs an image that is pushed"]);
}

#[test]
fn a_plan_names_the_key_and_what_changed_since_another() {
    let Some((project, _registry)) = project() else { return };
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let plan = |more: &[&str]| {
        let mut args = vec!["plan", ".", "--build-context", &base];
        args.extend(more);
        project.kitwright(&args).ok().stdout
    };
    let key = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("content key "));
        line.expect("a key").to_owned()
    };
    let first = plan(&[]);
    assert!(first.contains("RUN --network=none cat /used"), "{first}");
    assert_eq!(plan(&["--diff", &key(&first)]), "");
    project.write("used", "two");
    let changed = plan(&["--diff", &key(&first)]);
    let marks: Vec<_> = changed.lines().map(|line| &line[..7]).collect();
    assert_eq!(marks, ["- files", "+ files"], "{changed}");
    project
        .kitwright(&["plan", ".", "--build-context", &base, "--diff", "key-0"])
        .fails(2, &["key-0"]);
}
