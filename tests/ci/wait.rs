//! Waiting for the image of one commit: real registry, real command, GitHub's stand-in.
use std::sync::Arc;

use serde_json::Value;

use crate::cli::{Ended, Step, pull_event, push_event};
use crate::github::{Fault, GitHub, REPOSITORY, pull_request, run};
use crate::images;
use crate::support::registry::{self, Registry};

const WORKFLOW: &str = "build-ci-image.yml";

struct Scene {
    github: GitHub,
    registry: Arc<Registry>,
    dir: tempfile::TempDir,
    sha: String,
}

/// Pull request 7 at commit `aaaa…`, which touches the image.
fn scene() -> Option<Scene> {
    let registry = Arc::new(registry::start()?);
    let github = GitHub::start();
    github.world().runs.insert(WORKFLOW.to_owned(), Vec::new());
    let dir = tempfile::tempdir().unwrap();
    Some(Scene { github, registry, dir, sha: "a".repeat(40) })
}

impl Scene {
    fn runs(&self, runs: Vec<Value>) {
        self.github.world().runs.insert(WORKFLOW.to_owned(), runs);
    }

    /// Changes the runs at every look; `change` is given the look's number from 1.
    fn on_look(&self, change: impl FnMut(usize, &mut Vec<Value>) + Send + 'static) {
        self.github.world().on_runs = Some(Box::new(change));
    }

    fn step(&self) -> Step {
        let pull = pull_request(7, "topic", &self.sha, "main", &"b".repeat(40), REPOSITORY);
        Step::new(self.dir.path(), "pull_request", &pull_event(&pull))
            .at(&self.github)
            .image(&self.registry)
    }

    fn wait(&self, more: &[&str]) -> Ended {
        let mut arguments = vec!["wait", "--touched", "true", "--interval", "10ms"];
        arguments.extend(more);
        self.step().run(&arguments)
    }
}

#[test]
fn the_wait_ends_with_the_run_and_names_the_images_digest() {
    let Some(scene) = scene() else { return };
    images::push(&scene.registry, "pr-7", Some(&"0".repeat(40)));
    let (registry, sha) = (Arc::clone(&scene.registry), scene.sha.clone());
    let (send, pushed) = std::sync::mpsc::channel();
    scene.on_look(move |look, runs| {
        let (status, conclusion) = match look {
            1 => return,
            2 => ("queued", None),
            3 => ("in_progress", None),
            _ => ("completed", Some("success")),
        };
        if look == 3 {
            send.send(images::push(&registry, "pr-7", Some(&sha))).unwrap();
        }
        *runs = vec![run(9, &sha, "pull_request", status, conclusion)];
    });
    let ended = scene.wait(&[]);
    let answer = ended.json();
    assert_eq!(answer["digest"], pushed.try_recv().expect("a pushed image"));
    assert_eq!(answer["action"], "use");
    let text = |name: &str| answer[name].as_str().expect(name).to_owned();
    assert_eq!(text("pinned"), format!("{}@{}", text("image"), text("digest")));
    assert_eq!(text("run"), format!("https://github.com/{REPOSITORY}/actions/runs/9"));
    for status in ["queued", "in_progress", "completed (success)", "/actions/runs/9"] {
        assert!(ended.stderr.contains(status), "{}", ended.stderr);
    }
}

#[test]
fn an_image_that_is_there_is_not_waited_for() {
    let Some(scene) = scene() else { return };
    let digest = images::push(&scene.registry, "pr-7", Some(&scene.sha));
    let answer = scene.wait(&["--appear", "50ms"]).json();
    assert_eq!((&answer["digest"], &answer["run"]), (&digest.into(), &Value::Null));
    assert_eq!(scene.github.world().looks, 0);
}

#[test]
fn an_image_with_the_content_key_is_taken_whatever_commit_it_names() {
    let Some(scene) = scene() else { return };
    let key = "c".repeat(64);
    let digest = images::push(&scene.registry, &format!("key-{key}"), Some(&"0".repeat(40)));
    let answer = scene.wait(&["--key", &format!("sha256:{key}")]).json();
    assert_eq!(answer["digest"], digest);
    assert_eq!(scene.github.world().looks, 0);
}

#[test]
fn the_run_of_an_earlier_commit_never_counts() {
    let Some(scene) = scene() else { return };
    let old = "0".repeat(40);
    images::push(&scene.registry, "pr-7", Some(&old));
    scene.runs(vec![run(8, &old, "pull_request", "completed", Some("success"))]);
    let ended = scene.wait(&["--appear", "50ms"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.said().contains("no run of `build-ci-image.yml` for commit"), "{}", ended.stderr);
}

#[test]
fn a_run_that_fails_or_is_cancelled_ends_the_wait_at_once() {
    let Some(scene) = scene() else { return };
    let ends = ["failure", "cancelled", "timed_out", "startup_failure", "skipped", "stale"];
    for conclusion in ends {
        let sha = &scene.sha;
        scene.github.world().looks = 0;
        scene.runs(vec![run(9, sha, "pull_request", "completed", Some(conclusion))]);
        let ended = scene.wait(&[]);
        assert_eq!(ended.code, 1, "{conclusion}: {}", ended.stderr);
        let said = ended.said();
        assert!(said.contains(&format!("ended as `{conclusion}`")), "{said}");
        assert!(said.contains("/actions/runs/9"), "{said}");
        assert_eq!(scene.github.world().looks, 1);
    }
}

#[test]
fn the_newest_run_of_the_commit_decides_and_a_rerun_is_followed() {
    let Some(scene) = scene() else { return };
    images::push(&scene.registry, "pr-7", Some(&"0".repeat(40)));
    let sha = scene.sha.clone();
    scene.on_look(move |look, runs| {
        let mut again = run(9, &sha, "pull_request", "in_progress", None);
        again["run_attempt"] = 2.into();
        if look > 2 {
            again["status"] = "completed".into();
            again["conclusion"] = "failure".into();
        }
        *runs = vec![run(5, &sha, "pull_request", "completed", Some("success")), again];
    });
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("attempt 2"), "{}", ended.stderr);
    assert_eq!(scene.github.world().looks, 3);
}

#[test]
fn runs_that_publish_another_image_of_the_commit_do_not_count() {
    let Some(scene) = scene() else { return };
    let mut elsewhere = run(8, &scene.sha, "pull_request", "completed", Some("failure"));
    elsewhere["pull_requests"] = serde_json::json!([{ "number": 8 }]);
    let of_push = run(9, &scene.sha, "push", "completed", Some("failure"));
    scene.runs(vec![elsewhere, of_push]);
    let ended = scene.wait(&["--appear", "50ms"]);
    assert!(ended.said().contains("no run of"), "{}", ended.stderr);
}

#[test]
fn a_good_run_without_the_commits_image_is_an_error() {
    let Some(scene) = scene() else { return };
    scene.runs(vec![run(9, &scene.sha, "pull_request", "completed", Some("success"))]);
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("is not in the registry"), "{}", ended.stderr);
    images::push(&scene.registry, "pr-7", Some(&"0".repeat(40)));
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("is built from `000000"), "{}", ended.stderr);
    images::push(&scene.registry, "pr-7", None);
    assert!(scene.wait(&[]).said().contains("an unnamed commit"));
}

#[test]
fn time_runs_out_with_the_runs_address() {
    let Some(scene) = scene() else { return };
    scene.runs(vec![run(9, &scene.sha, "pull_request", "queued", None)]);
    let ended = scene.wait(&["--timeout", "50ms"]);
    assert_eq!(ended.code, 3);
    let said = ended.said();
    assert!(said.contains("still `queued`") && said.contains("/actions/runs/9"), "{said}");
}

#[test]
fn failures_and_limits_of_the_api_do_not_end_the_wait() {
    let Some(scene) = scene() else { return };
    scene.github.fault(Fault::new("GET", "/runs", 502).header("retry-after", 0).times(6));
    scene.github.fault(
        Fault::new("GET", "/runs", 403)
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", 1),
    );
    scene.runs(vec![run(9, &scene.sha, "pull_request", "completed", Some("failure"))]);
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(scene.github.seen("GET", "/runs", 200), 1);
}

#[test]
fn a_limit_longer_than_the_wait_and_a_missing_workflow_end_it() {
    let Some(scene) = scene() else { return };
    scene.github.fault(Fault::new("GET", "/runs", 429).header("retry-after", 3600));
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("for another 3600 s"), "{}", ended.stderr);
    scene.github.world().runs.clear();
    let ended = scene.wait(&[]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("404"), "{}", ended.stderr);
}

#[test]
fn polling_is_conditional() {
    let Some(scene) = scene() else { return };
    let sha = scene.sha.clone();
    scene.on_look(move |look, runs| {
        let (status, conclusion) =
            if look < 5 { ("queued", None) } else { ("completed", Some("failure")) };
        *runs = vec![run(9, &sha, "pull_request", status, conclusion)];
    });
    assert_eq!(scene.wait(&[]).code, 1);
    assert_eq!(scene.github.seen("GET", "/runs", 304), 3);
}

#[test]
fn a_branch_is_verified_by_the_tag_of_its_commit() {
    let Some(scene) = scene() else { return };
    let step = Step::new(scene.dir.path(), "push", &push_event("v2", &scene.sha))
        .at(&scene.github)
        .image(&scene.registry);
    // `v2` is there, and is the commit's before. A pull request's run of this commit is no matter.
    images::push(&scene.registry, "v2", Some(&"0".repeat(40)));
    scene.runs(vec![run(9, &scene.sha, "pull_request", "completed", Some("failure"))]);
    let arguments = ["wait", "--interval", "10ms", "--appear", "30ms"];
    let ended = step.run(&arguments);
    assert!(ended.said().contains("no run of"), "{}", ended.stderr);
    let digest = images::push(&scene.registry, "v2-sha-aaaaaaa", Some("promoted"));
    let answer = step.run(&arguments).json();
    assert_eq!(answer["digest"], digest);
    assert!(answer["pinned"].as_str().unwrap().ends_with(&format!("ci:v2@{digest}")));
}

#[test]
fn a_regular_pull_request_asks_the_registry_once_and_github_never() {
    let Some(registry) = registry::start() else { return };
    let proxy = crate::support::proxy::start(&registry.host);
    let github = GitHub::start();
    let digest = images::push(&registry, "latest", None);
    let dir = tempfile::tempdir().unwrap();
    let pull = pull_request(7, "topic", &"a".repeat(40), "main", &"b".repeat(40), REPOSITORY);
    let mut step = Step::new(dir.path(), "pull_request", &pull_event(&pull)).at(&github);
    step.set("KITWRIGHT_CI_IMAGE", &format!("{}/{}", proxy.host, crate::cli::IMAGE));
    let answer = step.run(&["image", "--wait", "--touched", "false"]).json();
    assert_eq!(answer["digest"], digest);
    assert_eq!(proxy.requests().len(), 1, "{:?}", proxy.requests());
    assert_eq!(github.world().requests.len(), 0);
}

#[test]
fn a_base_without_an_image_is_an_error_that_says_what_to_do() {
    let Some(scene) = scene() else { return };
    let ended = scene.step().run(&["image", "--touched", "false"]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("ci:latest` does not exist"), "{}", ended.stderr);
    let dry = scene.step().run(&["image", "--touched", "false", "--dry-run"]).json();
    assert_eq!(dry["digest"], Value::Null);
}

#[test]
fn a_key_that_nobody_built_counts_as_touching() {
    let Some(scene) = scene() else { return };
    images::push(&scene.registry, "latest", None);
    let key = "d".repeat(64);
    let answer = scene.step().run(&["tags", "--touched", "false", "--key", &key]).json();
    assert_eq!((&answer["rule"], &answer["touched"]), (&"image-pull-request".into(), &true.into()));
    let digest = images::push(&scene.registry, &format!("key-{key}"), None);
    let answer = scene.step().run(&["image", "--touched", "false", "--key", &key]).json();
    assert_eq!(
        (&answer["rule"], &answer["digest"]),
        (&"regular-pull-request".into(), &digest.into())
    );
}

/// A commit that changes no image file is given the image of the one before, which its label names.
#[test]
fn an_image_of_another_commit_counts_after_the_commits_own_run_if_no_image_file_differs() {
    let Some(scene) = scene() else { return };
    let world = crate::repository::World::new();
    let work = world.origin();
    let before = work.commit("gen.Dockerfile", "FROM scratch\n");
    let same = work.commit("README.md", "words\n");
    let other = work.commit("stages/go/tools.txt", "more\n");
    work.push("refs/heads/topic");
    let clone = world.shallow("clone", "refs/heads/topic");
    let scene = Scene { sha: same, ..scene };
    let good = |sha: &str| vec![run(9, sha, "pull_request", "completed", Some("success"))];
    let wait = |scene: &Scene| {
        let mut step = scene.step();
        step.dir.clone_from(&clone.dir);
        step.run(&["wait", "--touched", "true", "--interval", "10ms", "--appear", "30ms"])
    };
    let digest = images::push(&scene.registry, "pr-7", Some(&before));
    assert!(wait(&scene).said().contains("no run of"), "its own run has to end first");
    scene.runs(good(&scene.sha));
    assert_eq!(wait(&scene).json()["digest"], digest);
    let scene = Scene { sha: other, ..scene };
    scene.runs(good(&scene.sha));
    let ended = wait(&scene);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains(&format!("is built from `{before}`")), "{}", ended.stderr);
}
