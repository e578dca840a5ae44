//! Regeneration: who may ask, what is pushed, and what happens when the branch moves in between.
use serde_json::{Value, json};

use crate::cli::{Step, comment_event, pull_event};
use crate::github::{Fault, GitHub, REPOSITORY, pull_request};
use crate::repository::{Repository, World};

struct Scene {
    github: GitHub,
    world: World,
    work: Repository,
    sha: String,
}

/// Pull request 7 from `topic`, whose head the work tree is at; Ann may write, Bob may read.
fn scene() -> Scene {
    let world = World::new();
    let work = world.origin();
    work.commit("gen.txt", "old\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-b", "topic"]);
    let sha = work.commit("src.txt", "source\n");
    work.push("refs/heads/topic");
    let github = GitHub::start();
    github.world().repository = Some(world.path("origin.git"));
    github.pull(7, "topic", &sha, "main", &"b".repeat(40));
    for (user, permission) in [("ann", "write"), ("root", "admin"), ("bob", "read")] {
        github.world().permissions.insert(user.to_owned(), permission.to_owned());
    }
    Scene { github, world, work, sha }
}

impl Scene {
    fn step(&self, author: &str, body: &str) -> Step {
        self.step_in(&self.work, author, body)
    }

    fn step_in(&self, work: &Repository, author: &str, body: &str) -> Step {
        Step::new(&work.dir, "issue_comment", &comment_event(author, body)).at(&self.github)
    }

    fn tip(&self) -> String {
        let origin = Repository { dir: self.world.path("origin.git") };
        origin.git(&["rev-parse", "refs/heads/topic"])
    }
}

#[test]
fn writers_are_authorised_for_the_head_of_now_and_see_it() {
    let scene = scene();
    for (author, body) in [("ann", "/regen"), ("root", "/regen please\r\n")] {
        let answer = scene.step(author, body).run(&["authorize"]).json();
        assert_eq!(answer["allowed"], true);
        assert_eq!(answer["sha"], scene.sha);
        assert_eq!(answer["branch"], "topic");
        assert_eq!((&answer["number"], &answer["comment"]), (&7.into(), &55.into()));
    }
    assert_eq!(scene.github.reactions(), [(55, "eyes".to_owned())]);
}

#[test]
fn readers_strangers_and_bots_are_refused() {
    let scene = scene();
    for author in ["bob", "mallory", "dependabot[bot]"] {
        let ended = scene.step(author, "/regen").run(&["authorize", "--format", "json"]);
        assert_eq!(ended.code, 2, "{author}");
        let answer: Value = serde_json::from_str(&ended.stdout).expect("an answer");
        assert_eq!((&answer["allowed"], &answer["sha"]), (&false.into(), &Value::Null));
        assert!(ended.said().contains("not `write`"), "{}", ended.stderr);
    }
    assert_eq!(scene.github.reactions(), [(55, "confused".to_owned())]);
    assert_eq!(scene.github.seen("GET", "/pulls/7", 200), 0);
}

#[test]
fn forks_and_closed_pull_requests_are_refused() {
    let scene = scene();
    let mut fork = pull_request(7, "topic", &scene.sha, "main", &"b".repeat(40), "mallory/widgets");
    scene.github.world().pulls.insert(7, fork.clone());
    let ended = scene.step("ann", "/regen").run(&["authorize"]);
    assert_eq!(ended.code, 2);
    assert!(ended.said().contains("`mallory/widgets`"), "{}", ended.stderr);
    fork["head"]["repo"] = Value::Null;
    scene.github.world().pulls.insert(7, fork);
    let ended = scene.step("ann", "/regen").run(&["authorize"]);
    assert!(ended.said().contains("a deleted repository"), "{}", ended.stderr);
    scene.github.pull(7, "topic", &scene.sha, "main", &"b".repeat(40));
    scene.github.world().pulls.get_mut(&7).unwrap()["state"] = json!("closed");
    let ended = scene.step("ann", "/regen").run(&["authorize"]);
    assert!(ended.said().contains("is closed"), "{}", ended.stderr);
}

#[test]
fn other_comments_and_edits_ask_for_nothing_and_cost_nothing() {
    let scene = scene();
    for body in ["thanks", "> /regen", "/regenerate", ""] {
        let answer = scene.step("ann", body).run(&["authorize"]).json();
        assert_eq!(answer["allowed"], false, "{body}");
    }
    let mut edited = comment_event("ann", "/regen");
    edited["action"] = json!("edited");
    let step = Step::new(&scene.work.dir, "issue_comment", &edited).at(&scene.github);
    assert_eq!(step.run(&["authorize"]).json()["allowed"], false);
    assert_eq!(scene.github.world().requests.len(), 0);
}

#[test]
fn an_api_that_does_not_answer_authorises_nobody() {
    let scene = scene();
    let fault = Fault::new("GET", "/permission", 500).header("retry-after", 0);
    scene.github.fault(fault.times(9));
    let ended = scene.step("ann", "/regen").run(&["authorize"]);
    assert_eq!(ended.code, 3);
    assert_eq!(ended.stdout, "");
}

#[test]
fn an_event_that_is_no_comment_is_a_usage_error() {
    let scene = scene();
    let pull = pull_request(7, "topic", &scene.sha, "main", &"b".repeat(40), REPOSITORY);
    let step = Step::new(&scene.work.dir, "pull_request", &pull_event(&pull)).at(&scene.github);
    for arguments in [&["authorize"][..], &["react", "--outcome", "success"]] {
        let ended = step.run(arguments);
        assert_eq!(ended.code, 2);
        assert!(ended.said().contains("is not a comment"), "{}", ended.stderr);
    }
}

#[test]
fn the_outcome_is_a_reaction() {
    let scene = scene();
    let step = scene.step("ann", "/regen");
    for outcome in ["started", "success", "failure", "cancelled"] {
        assert_eq!(step.run(&["react", "--outcome", outcome]).code, 0);
    }
    let contents: Vec<String> =
        scene.github.reactions().into_iter().map(|(_, content)| content).collect();
    assert_eq!(contents, ["eyes", "rocket", "-1"]);
}

fn push(scene: &Scene, step: &Step) -> crate::cli::Ended {
    step.run(&["push", "--onto", &scene.sha, "--branch", "topic", "--format", "json"])
}

#[test]
fn what_changed_is_pushed_onto_the_authorised_commit() {
    let scene = scene();
    scene.work.write("gen.txt", "new\n");
    scene.work.write("made/up.txt", "new\n");
    std::fs::remove_file(scene.work.dir.join("src.txt")).unwrap();
    let step = scene.step("ann", "/regen");
    let answer = push(&scene, &step).json();
    assert_eq!(answer["outcome"], "pushed");
    assert_eq!(answer["paths"], json!(["gen.txt", "made/up.txt", "src.txt"]));
    assert_eq!(answer["commit"], scene.tip());
    let origin = Repository { dir: scene.world.path("origin.git") };
    assert_eq!(origin.git(&["rev-parse", "topic^"]), scene.sha);
    assert_eq!(
        origin.git(&["log", "-1", "--format=%an %ae %s", "topic"]),
        "github-actions[bot] 41898282+github-actions[bot]@users.noreply.github.com Regenerate"
    );
}

#[test]
fn nothing_changed_is_nothing_pushed() {
    let scene = scene();
    let answer = push(&scene, &scene.step("ann", "/regen")).json();
    assert_eq!(answer["outcome"], "unchanged");
    assert_eq!(scene.tip(), scene.sha);
}

#[test]
fn a_branch_that_moved_gets_nothing_and_the_pull_request_is_told() {
    let scene = scene();
    let other = scene.world.full("other");
    other.git(&["checkout", "-q", "topic"]);
    let moved = other.commit("src.txt", "moved\n");
    other.push("refs/heads/topic");
    scene.work.write("gen.txt", "new\n");
    let ended = push(&scene, &scene.step("ann", "/regen"));
    assert_eq!(ended.code, 3);
    let answer: Value = serde_json::from_str(&ended.stdout).expect("an answer");
    assert_eq!((&answer["outcome"], &answer["now"]), (&"moved".into(), &moved.clone().into()));
    assert_eq!(scene.tip(), moved);
    let [body] = &scene.github.bodies()[..] else { panic!("one comment") };
    assert!(body.contains(&moved) && body.contains(&scene.sha), "{body}");
}

/// A force-push back and forth ends at the same commit, which is the one that was authorised.
#[test]
fn a_branch_that_was_rewound_gets_nothing_either() {
    let scene = scene();
    let other = scene.world.full("other");
    other.git(&["checkout", "-q", "-B", "topic", "origin/main"]);
    other.push("refs/heads/topic");
    scene.work.write("gen.txt", "new\n");
    assert_eq!(push(&scene, &scene.step("ann", "/regen")).code, 3);
    assert_eq!(scene.tip(), other.git(&["rev-parse", "HEAD"]));
}

#[test]
fn a_deleted_branch_is_not_brought_back() {
    let scene = scene();
    Repository { dir: scene.world.path("origin.git") }.git(&["branch", "-q", "-D", "topic"]);
    scene.work.write("gen.txt", "new\n");
    let ended = push(&scene, &scene.step("ann", "/regen"));
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("nowhere"), "{}", ended.stderr);
}

#[test]
fn a_work_tree_at_another_commit_is_refused() {
    let scene = scene();
    scene.work.commit("x", "x");
    let ended = push(&scene, &scene.step("ann", "/regen"));
    assert_eq!(ended.code, 2);
    assert!(ended.said().contains("not at the authorised commit"), "{}", ended.stderr);
}

#[test]
fn a_shallow_clone_can_push_too() {
    let scene = scene();
    let clone = scene.world.shallow("clone", "refs/heads/topic");
    clone.write("gen.txt", "new\n");
    let answer = push(&scene, &scene.step_in(&clone, "ann", "/regen")).json();
    assert_eq!(answer["commit"], scene.tip());
}

/// What a generator leaves in `.git` must not see the token, nor send it elsewhere.
#[test]
fn a_hostile_work_tree_learns_no_token() {
    let scene = scene();
    let spy = scene.world.path("spy.txt");
    let hook = format!("#!/bin/sh\nenv >>{}\nexit 1\n", spy.display());
    for name in ["pre-push", "pre-commit", "post-commit", "reference-transaction"] {
        let path = scene.work.dir.join(".git/hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &hook).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let elsewhere = GitHub::start();
    let url = &scene.github.url;
    let instead = format!("url.{}/.insteadOf", elsewhere.url);
    for (key, value) in [
        (&instead[..], &format!("{url}/")[..]),
        ("http.proxy", &elsewhere.url),
        ("remote.origin.pushurl", &elsewhere.url),
        ("credential.helper", &format!("!env >>{}", spy.display())),
        ("core.fsmonitor", &format!("env >>{}; false", spy.display())),
    ] {
        scene.work.git(&["config", key, value]);
    }
    scene.work.write("gen.txt", "new\n");
    let answer = push(&scene, &scene.step("ann", "/regen")).json();
    assert_eq!(answer["commit"], scene.tip());
    let seen = std::fs::read_to_string(&spy).unwrap_or_default();
    assert!(!seen.contains(crate::github::TOKEN) && !seen.contains("GIT_CONFIG_VALUE"), "{seen}");
    assert_eq!(elsewhere.world().requests.len(), 0);
}

#[test]
fn a_wrong_token_and_a_dry_run_push_nothing() {
    let scene = scene();
    scene.work.write("gen.txt", "new\n");
    let mut step = scene.step("ann", "/regen");
    let arguments =
        ["push", "--onto", &scene.sha, "--branch", "topic", "--dry-run", "--format", "json"];
    assert_eq!(step.run(&arguments).json()["outcome"], "would-push");
    step.set("GITHUB_TOKEN", "ghs_wrongWRONG");
    let ended = push(&scene, &step);
    assert_eq!(ended.code, 3);
    assert!(!format!("{ended:?}").contains("WRONG"), "{ended:?}");
    assert_eq!(scene.tip(), scene.sha);
}
