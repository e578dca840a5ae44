//! The content key in CI: computed from the commit's own files, the same wherever it is asked for.
use std::process::Command;

use serde_json::Value;

use crate::cli::{Ended, Step, pull_event};
use crate::github::{GitHub, REPOSITORY, pull_request};
use crate::images;
use crate::repository::{Repository, World};
use crate::support::registry;

/// A repository whose image reads files that its settings do not name.
fn start(world: &World) -> Repository {
    let work = world.origin();
    work.write("gen.Dockerfile", "FROM scratch\nCOPY tools /tools\n");
    work.write(".dockerignore", "**/*.md\n");
    work.write("tools/list", "one\n");
    work.commit("README.md", "words\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-b", "topic"]);
    work
}

fn step(dir: &Repository, github: &GitHub, head: &str) -> Step {
    let pull = pull_request(7, "topic", head, "main", &"b".repeat(40), REPOSITORY);
    Step::new(&dir.dir, "pull_request", &pull_event(&pull)).at(github)
}

/// What `ci tags` says of the topic's tip, from a shallow clone of main.
fn tags(world: &World, work: &Repository, more: &[&str]) -> (Value, Ended) {
    let github = GitHub::start();
    work.push("refs/heads/topic");
    let head = work.git(&["rev-parse", "HEAD"]);
    let clone = world.shallow(&format!("clone-{head}-{}", more.len()), "refs/heads/main");
    let ended = step(&clone, &github, &head).run(&[&["tags"], more].concat());
    (ended.json(), ended)
}

#[test]
fn a_file_that_the_build_reads_touches_the_image_whatever_it_is_called() {
    let world = World::new();
    let work = start(&world);
    work.commit("README.md", "other words\n");
    assert_eq!(tags(&world, &work, &[]).0["touched"], false, "it is ignored");
    work.commit("src/lib.rs", "// read by no step\n");
    assert_eq!(tags(&world, &work, &[]).0["touched"], false, "no step reads it");
    work.commit("tools/notes.md", "words\n");
    assert_eq!(tags(&world, &work, &[]).0["touched"], false, "it is ignored in what a step reads");
    work.commit("tools/list", "two\n");
    let (answer, ended) = tags(&world, &work, &[]);
    assert_eq!((&answer["touched"], &answer["image"]), (&true.into(), &image(&answer, "pr-7")));
    assert!(ended.said().contains("its content key did"), "{}", ended.stderr);
    let by_path = tags(&world, &work, &["--key", "none"]).0;
    assert_eq!(by_path["touched"], false, "git alone cannot tell");
    // Back again: a key has no history.
    work.commit("tools/list", "one\n");
    assert_eq!(tags(&world, &work, &[]).0["touched"], false);
}

fn image(answer: &Value, tag: &str) -> Value {
    format!("{}:{tag}", answer["repository"].as_str().expect("a repository")).into()
}

#[test]
fn a_mode_or_a_link_that_the_build_reads_touches_the_image() {
    let world = World::new();
    let work = start(&world);
    work.git(&["update-index", "--chmod=+x", "tools/list"]);
    work.git(&["commit", "-q", "-m", "executable"]);
    assert_eq!(tags(&world, &work, &[]).0["touched"], true);
    work.git(&["reset", "-q", "--hard", "main"]);
    std::os::unix::fs::symlink("list", work.dir.join("tools/link")).expect("a link");
    work.commit_all("a link");
    assert_eq!(tags(&world, &work, &[]).0["touched"], true);
}

#[test]
fn an_ignore_file_counts_even_where_the_settings_leave_it_out() {
    let world = World::new();
    let work = start(&world);
    work.git(&["checkout", "-q", "main"]);
    work.write("tools/notes.md", "words\n");
    work.commit("kitwright.toml", "[ci]\ntouch = [\"gen.Dockerfile\"]\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-B", "topic"]);
    work.commit(".dockerignore", "");
    assert_eq!(tags(&world, &work, &[]).0["touched"], true);
}

#[test]
fn a_dockerfile_without_a_key_is_said_and_goes_by_its_files() {
    let world = World::new();
    let work = start(&world);
    work.git(&["checkout", "-q", "main"]);
    work.commit("gen.Dockerfile", "FROM scratch\nADD https://example.com/x /x\nCOPY tools /t\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-B", "topic"]);
    // Of what the ignore file leaves out git knows enough.
    work.commit("README.md", "other words\n");
    let ended = tags(&world, &work, &[]).1;
    assert!(!ended.said().contains("no content key for"), "{}", ended.stderr);
    work.commit("tools/list", "two\n");
    let (answer, ended) = tags(&world, &work, &[]);
    assert_eq!(answer["touched"], false);
    assert!(ended.said().contains("no content key for"), "{}", ended.stderr);
    assert!(ended.said().contains("`https://example.com/x` does not say"), "{}", ended.stderr);
}

#[test]
fn a_pull_request_that_has_moved_on_is_refused() {
    let world = World::new();
    let work = start(&world);
    let github = GitHub::start();
    let head = work.commit("tools/list", "two\n");
    work.push("refs/heads/topic");
    let clone = world.shallow("clone", "refs/heads/main");
    let asked = |sha: &str| step(&clone, &github, &head).run(&["tags", "--sha", sha]);
    assert_eq!(asked(&head).json()["revision"], head.as_str());
    let ended = asked(&"c".repeat(40));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.said().contains("pull request 7 is at"), "{}", ended.stderr);
}

/// The key that `kitwright plan` tells in a clone of an image that is pushed as `output` says, as the
/// building workflow would.
fn planned(clone: &Repository, server: &str, output: &str) -> String {
    let source = format!("org.opencontainers.image.source={server}/{REPOSITORY}");
    let output = Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .args(["plan", ".", "-f", "gen.Dockerfile", "--format=json", "--label", &source])
        .args(["--output", output])
        .args(["--label", "org.opencontainers.image.revision=of another build"])
        .current_dir(&clone.dir)
        .env("KITWRIGHT_STATE_DIR", clone.dir.with_extension("state"))
        .output()
        .expect("kitwright runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    plan["key"]["tag"].as_str().expect("a key").to_owned()
}

#[test]
fn the_wait_is_over_before_it_begins_when_the_keys_image_exists() {
    let Some(registry) = registry::start() else { return };
    let world = World::new();
    let work = start(&world);
    let github = GitHub::start();
    let head = work.commit("tools/list", "two\n");
    work.push("refs/heads/topic");
    let elsewhere = world.full_at("elsewhere", "topic");
    let key = planned(&elsewhere, &github.url, "type=registry,compression=zstd");
    assert_ne!(planned(&elsewhere, &github.url, "type=registry"), key, "it is another image");
    // What is checked out is main, as GitHub's merge of the pull request may be anything.
    let clone = world.shallow("clone", "refs/heads/main");
    let wait = |arguments: &[&str]| {
        let step = step(&clone, &github, &head).image(&registry);
        step.run(&[&["wait", "--interval", "10ms", "--appear", "30ms"], arguments].concat())
    };
    github.world().runs.insert("build-ci-image.yml".to_owned(), Vec::new());
    assert!(wait(&[]).said().contains("no run of"), "nobody has built it");
    let digest = images::push(&registry, &key, Some(&"0".repeat(40)));
    let looks = github.world().looks;
    let answer = wait(&[]).json();
    assert_eq!((&answer["digest"], &answer["key"]), (&digest.into(), &key.into()));
    assert_eq!(github.world().looks, looks, "GitHub is not asked");
    assert_eq!(wait(&["--touched", "true"]).json()["digest"], answer["digest"]);
    let without = wait(&["--touched", "true", "--key", "none"]);
    assert!(without.said().contains("no run of"), "{}", without.stderr);
}

#[test]
fn an_image_is_pushed_as_the_settings_say() {
    let world = World::new();
    let work = start(&world);
    work.commit("tools/list", "two\n");
    let outputs =
        |work: &Repository| tags(&world, work, &["--touched", "true"]).0["outputs"].clone();
    assert_eq!(outputs(&work), "type=registry,compression=zstd");
    let github = GitHub::start();
    let settings = |compression: &str| {
        let clone = world.full_at(&format!("clone-{compression}"), "topic");
        clone.write("kitwright.toml", &format!("[ci]\ncompression = \"{compression}\"\n"));
        let head = clone.git(&["rev-parse", "HEAD"]);
        step(&clone, &github, &head).run(&["tags", "--touched", "true"])
    };
    assert_eq!(settings("gzip").json()["outputs"], "type=registry");
    let wrong = settings("lzma");
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.said().contains("`lzma`") && wrong.said().contains("`zstd`"), "{}", wrong.stderr);
    work.commit("README.md", "no other image\n");
    let idle = tags(&world, &work, &["--touched", "false"]).0;
    assert!(idle["outputs"].is_null(), "nothing is pushed: {idle}");
}
