//! Change detection in real repositories: merges, shallow clones, renames, a moving base.
use std::sync::{Arc, Mutex};

use kitwright::ci::detect::{Detection, Question, detect};
use kitwright::ci::environment::Environment;
use kitwright::ci::git::{Git, GitError};
use kitwright::ci::settings::Settings;

use crate::repository::{Repository, World};

struct Asked {
    answer: Result<Detection, GitError>,
    notices: Vec<String>,
}

fn ask(clone: &Repository, head: &str, base: &str, offline: bool) -> Asked {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let globs = Settings::default().touch_globs();
    let said = Arc::new(Mutex::new(Vec::new()));
    let notices: kitwright::ci::github::Notices = {
        let said = Arc::clone(&said);
        Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned()))
    };
    let git = Git::new(&clone.dir, &Environment::default());
    let question = Question { head, number: 7, base, base_sha: "", globs: &globs, offline };
    let answer = runtime.block_on(detect(&git, &question, &notices));
    let notices = said.lock().unwrap().clone();
    Asked { answer, notices }
}

/// The paths that a clone of each kind finds: all must agree.
fn paths(world: &World, head: &str, base: &str) -> Vec<String> {
    let full = ask(&world.full("full"), head, base, false).answer.expect("an answer");
    let clones = [("shallow-head", head), ("shallow-base", &format!("refs/heads/{base}")[..])];
    for (name, reference) in clones {
        let shallow = ask(&world.shallow(name, reference), head, base, false);
        let shallow = shallow.answer.expect(name);
        assert_eq!(
            (&shallow.paths, &shallow.merge_base),
            (&full.paths, &full.merge_base),
            "{name}"
        );
    }
    assert_eq!(full.touched, !full.paths.is_empty());
    full.paths
}

/// An origin whose main has some commits, with a branch `topic` checked out at its tip.
fn start(world: &World, commits: usize) -> Repository {
    let work = world.origin();
    work.commit("gen.Dockerfile", "FROM scratch\n");
    work.commit("stages/go/tools.txt", "a long enough list of tools to be a rename later\n");
    for number in 0..commits {
        work.commit("src/main.rs", &format!("{number}\n"));
    }
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-b", "topic"]);
    work
}

#[test]
fn a_regular_change_leaves_the_image_alone_and_each_image_file_touches_it() {
    let world = World::new();
    let work = start(&world, 3);
    let head = work.commit("src/lib.rs", "x");
    work.push("refs/heads/topic");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());

    let files = [
        "gen.Dockerfile",
        "gen.Dockerfile.lock",
        "gen.Dockerfile.dockerignore",
        ".dockerignore",
        "stages/node/deep/down.json",
        ".github/workflows/build-ci-image.yml",
    ];
    for file in files {
        let world = World::new();
        let work = start(&world, 1);
        let head = work.commit(file, "changed\n");
        work.push("refs/heads/topic");
        assert_eq!(paths(&world, &head, "main"), [file]);
    }
}

#[test]
fn names_that_only_look_like_the_images_do_not_touch_it() {
    let world = World::new();
    let work = start(&world, 1);
    work.write("docs/gen.Dockerfile", "x");
    work.write("old/stages/a", "x");
    work.write(".github/workflows/ci.yml", "x");
    let head = work.commit("gen.Dockerfile.md", "x");
    work.push("refs/heads/topic");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());
}

#[test]
fn what_the_base_changed_since_is_not_the_pull_requests_change() {
    let world = World::new();
    let work = start(&world, 3);
    let head = work.commit("src/lib.rs", "x");
    work.push("refs/heads/topic");
    work.git(&["checkout", "-q", "main"]);
    work.commit("gen.Dockerfile", "FROM scratch AS moved\n");
    work.push("refs/heads/main");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());
}

#[test]
fn a_base_that_the_head_has_merged_since_counts_as_the_base() {
    let world = World::new();
    let work = start(&world, 2);
    let old_base = work.git(&["rev-parse", "main"]);
    work.commit("src/lib.rs", "x");
    work.git(&["checkout", "-q", "main"]);
    work.commit("gen.Dockerfile", "FROM scratch AS moved\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "topic"]);
    work.git(&["merge", "-q", "--no-edit", "main"]);
    let head = work.git(&["rev-parse", "HEAD"]);
    work.push("refs/heads/topic");
    assert_ne!(work.git(&["diff", "--name-only", &old_base, &head, "--", "gen.Dockerfile"]), "");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());
}

#[test]
fn renames_and_deletions_count_under_the_old_name() {
    let world = World::new();
    let work = start(&world, 1);
    work.git(&["mv", "stages/go/tools.txt", "tools.txt"]);
    let head = work.commit_all("move the list away");
    work.push("refs/heads/topic");
    assert_eq!(paths(&world, &head, "main"), ["stages/go/tools.txt"]);
    work.git(&["rm", "-q", "gen.Dockerfile"]);
    let head = work.commit_all("delete the image");
    work.push("refs/heads/topic");
    let world_paths = ask(&world.full("again"), &head, "main", false).answer.unwrap().paths;
    assert_eq!(world_paths, ["gen.Dockerfile", "stages/go/tools.txt"]);
}

#[test]
fn a_change_that_is_taken_back_is_none() {
    let world = World::new();
    let work = start(&world, 1);
    work.commit("gen.Dockerfile", "FROM busybox\n");
    let head = work.commit("gen.Dockerfile", "FROM scratch\n");
    work.push("refs/heads/topic");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());
}

#[test]
fn a_merge_base_far_behind_the_edge_is_found_by_deepening_and_that_is_said() {
    let world = World::new();
    let work = start(&world, 1);
    let fork_point = work.git(&["rev-parse", "HEAD"]);
    let head = work.commit("gen.Dockerfile", "FROM busybox\n");
    work.push("refs/heads/topic");
    work.git(&["checkout", "-q", "main"]);
    for number in 0..120 {
        work.git(&["commit", "-q", "--allow-empty", "-m", &format!("main {number}")]);
    }
    work.push("refs/heads/main");
    let asked = ask(&world.shallow("clone", "refs/heads/topic"), &head, "main", false);
    let answer = asked.answer.expect("an answer");
    assert_eq!(answer.paths, ["gen.Dockerfile"]);
    assert_eq!(answer.merge_base, Some(fork_point));
    assert!(answer.deepened);
    assert!(
        asked.notices.iter().any(|line| line.contains("deepening by 200")),
        "{:?}",
        asked.notices
    );
}

/// The head merges an old commit of main right at its tip, and a newer one far down its history. A
/// clone that is cut in between sees the old one alone, and would blame main's changes on the head.
#[test]
fn a_merge_base_that_is_merely_visible_is_not_trusted() {
    let world = World::new();
    let work = start(&world, 1);
    let old = work.git(&["rev-parse", "main"]);
    work.git(&["checkout", "-q", "main"]);
    work.commit("gen.Dockerfile", "FROM scratch AS newer\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-B", "topic", "main"]);
    for number in 0..100 {
        work.git(&["commit", "-q", "--allow-empty", "-m", &format!("topic {number}")]);
    }
    let tree = work.git(&["rev-parse", "HEAD^{tree}"]);
    let head = work.git(&["commit-tree", &tree, "-p", "HEAD", "-p", &old, "-m", "odd merge"]);
    work.git(&["reset", "-q", "--hard", &head]);
    work.push("refs/heads/topic");
    assert_eq!(paths(&world, &head, "main"), Vec::<String>::new());
}

#[test]
fn the_events_head_counts_even_after_a_force_push() {
    let world = World::new();
    let work = start(&world, 1);
    let touching = work.commit("gen.Dockerfile", "FROM busybox\n");
    work.push("refs/heads/topic");
    work.push("refs/pull/7/head");
    let clone = world.shallow("clone", "refs/heads/main");
    work.git(&["reset", "-q", "--hard", "main"]);
    let regular = work.commit("src/lib.rs", "x");
    work.push("refs/heads/topic");
    work.push("refs/pull/7/head");
    assert_eq!(ask(&clone, &touching, "main", false).answer.unwrap().paths, ["gen.Dockerfile"]);
    assert_eq!(ask(&clone, &regular, "main", false).answer.unwrap().paths, Vec::<String>::new());
}

#[test]
fn histories_without_a_common_commit_count_as_touching() {
    let world = World::new();
    let work = start(&world, 1);
    work.git(&["checkout", "-q", "--orphan", "other"]);
    let head = work.commit("src/lib.rs", "x");
    work.push("refs/heads/topic");
    for clone in [world.full("full"), world.shallow("shallow", "refs/heads/topic")] {
        let answer = ask(&clone, &head, "main", false).answer.expect("an answer");
        assert_eq!((answer.touched, answer.merge_base), (true, None));
    }
}

#[test]
fn without_the_origin_only_a_dry_run_goes_on_with_what_is_here() {
    let world = World::new();
    let work = start(&world, 1);
    let head = work.commit("stages/go/tools.txt", "x");
    work.push("refs/heads/topic");
    let clone = world.full("clone");
    std::fs::remove_dir_all(world.path("origin.git")).unwrap();
    let error = ask(&clone, &head, "main", false).answer.expect_err("no origin");
    assert!(error.to_string().contains("`git fetch"), "{error}");
    let asked = ask(&clone, &head, "main", true);
    assert_eq!(asked.answer.unwrap().paths, ["stages/go/tools.txt"]);
    assert!(asked.notices[0].contains("going on with what is here"), "{:?}", asked.notices);
}

#[test]
fn a_base_that_is_no_branch_name_is_refused_before_git_sees_it() {
    let world = World::new();
    let work = start(&world, 1);
    let head = work.commit("x", "x");
    for bad in ["a..b", "a:b", "--upload-pack=x y", ""] {
        let error = ask(&work, &head, bad, false).answer.expect_err(bad);
        assert!(matches!(error, GitError::Branch(_)), "{error}");
    }
}
