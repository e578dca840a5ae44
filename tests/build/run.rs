//! `kitwright run`: a command over the working tree.
use std::os::unix::fs::PermissionsExt as _;

use crate::kit::Project;
use crate::support::engine::{self, Options};

/// A project whose image `tools:1` is in the local image store.
fn project() -> Option<Project> {
    let project = Project::new("FROM busybox\nENV GREETING=hello\n")?;
    let store = project.base.layout.display().to_string();
    project.kitwright(&["image", "import", &store, "--name", "tools:1"]).ok();
    Some(project)
}

#[test]
fn changes_come_back_and_the_same_again_changes_nothing() {
    let Some(project) = project() else { return };
    project.write("old", "to be removed");
    project.write("kept", "same");
    project.write("d/changed", "before");
    let script = "rm -f old; echo same > kept.new; mv kept.new d/new; printf after > d/changed; \
                  chmod 755 d/changed; printf same > kept; test ! -e .git";
    let command = ["run", "tools:1", "--print-changes", "--", "sh", "-c", script];
    let first = project.kitwright(&command).ok();
    let mut changed: Vec<&str> = first.stdout.lines().collect();
    changed.sort_unstable();
    assert_eq!(changed, ["D old", "M d/changed", "M d/new"]);
    assert_eq!(project.read("d/changed"), "after");
    let mode = std::fs::metadata(project.path("d/changed")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(!project.path("old").exists());
    let second = project.kitwright(&command).ok();
    assert_eq!(second.stdout, "");
}

#[test]
fn a_failing_command_changes_nothing_and_exits_1() {
    let Some(project) = project() else { return };
    project.write("f", "before");
    let script = "echo after > f; echo sorry >&2; exit 3";
    let ended = project.kitwright(&["run", "tools:1", "--", "sh", "-c", script]);
    ended.fails(1, &["sorry", "exit code 3"]);
    assert_eq!(project.read("f"), "before");
}

#[test]
fn an_image_that_is_nowhere_is_an_error() {
    let Some(project) = project() else { return };
    let ended = project.kitwright(&["run", "127.0.0.1:1/no/such:1", "--", "true"]);
    ended.fails(3, &["127.0.0.1:1"]);
}

#[test]
fn an_image_that_was_half_fetched_is_used() {
    let config = "[worker.oci]\ngc = false\n".to_owned();
    let Some(engine) = engine::start(Options { config, ..Options::default() }) else { return };
    let Some(project) = project() else { return };
    let blobs = project.path(".state/images/blobs/sha256");
    let layers =
        std::fs::read_dir(&blobs).expect("blobs").map(|entry| entry.expect("an entry").path());
    let size = |path: &std::path::PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    let layer = layers.max_by_key(size).expect("a layer");
    let whole = std::fs::read(&layer).expect("a layer");
    let address = [("BUILDKIT_HOST", engine.address.as_str())];
    let command = ["run", "tools:1", "--", "sh", "-c", "echo hello >made"];
    // The engine gets half of it, and then no more.
    std::fs::remove_file(&layer).expect("a removed file");
    std::fs::write(&layer, &whole[..whole.len() / 2]).expect("a written file");
    project.with_env(&command, &address).fails(1, &["short read"]);
    std::fs::write(&layer, &whole).expect("a written file");
    project.with_env(&command, &address).ok();
    assert_eq!(project.read("made"), "hello\n");
}
