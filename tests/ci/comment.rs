//! The one comment on a pull request: created, updated, never doubled, never for forks.
use kitwright::ci::comment::{self, Content, MARKER, Outcome};
use kitwright::ci::record::{Record, Step as BuildStep};
use serde_json::json;

use crate::cli::{Step, pull_event};
use crate::client::Asker;
use crate::github::{Comment, Fault, GitHub, REPOSITORY, pull_request};
use crate::images;
use crate::repository::World;
use crate::support::registry;

const BOT: &str = "github-actions[bot]";

fn content(run: u64, seconds: i64) -> Content {
    let started = jiff::Timestamp::UNIX_EPOCH;
    let step = BuildStep {
        digest: "sha256:1".to_owned(),
        name: "[go 2/2] RUN go version".to_owned(),
        started: Some(started),
        completed: Some(started + jiff::SignedDuration::from_secs(seconds)),
        cached: false,
        error: None,
        cause: None,
    };
    Content {
        image: "ghcr.io/acme/widgets/ci:pr-7".to_owned(),
        revision: "a".repeat(40),
        record: Record { steps: vec![step], warnings: Vec::new() },
        try_it: "make gen".to_owned(),
        run: (run, 1),
        ..Content::default()
    }
}

fn say(github: &GitHub, author: &str, body: &str) {
    let id = 1 + github.world().comments.len() as u64;
    let (author, body) = (author.to_owned(), body.to_owned());
    github.world().comments.insert(id, Comment { number: 7, author, body });
}

#[test]
fn the_first_build_creates_and_the_next_updates_in_place_with_both_times() {
    let github = GitHub::start();
    github.world().page = 2;
    for text in ["a", "b", "c"] {
        say(&github, "ann", text);
    }
    let asker = Asker::new(&github);
    let upsert = |run, seconds| {
        asker
            .ask(comment::upsert(&asker.client, 7, BOT, &content(run, seconds)))
            .expect("a comment")
    };
    let (outcome, first) = upsert(10, 90);
    assert_eq!(outcome, Outcome::Created);
    let (outcome, second) = upsert(11, 7);
    assert_eq!((outcome, second.id), (Outcome::Updated, first.id));
    assert_eq!(github.bodies().len(), 4);
    assert!(second.body.contains("| 7.0 s | 1 min 30 s |"), "{}", second.body);
}

#[test]
fn an_overtaken_run_leaves_the_newer_text() {
    let github = GitHub::start();
    let asker = Asker::new(&github);
    asker.ask(comment::upsert(&asker.client, 7, BOT, &content(11, 7))).expect("a comment");
    let before = github.bodies();
    let late = asker.ask(comment::upsert(&asker.client, 7, BOT, &content(10, 90)));
    assert_eq!(late.expect("an outcome").0, Outcome::Superseded);
    assert_eq!(github.bodies(), before);
}

#[test]
fn a_quotation_by_somebody_else_is_not_ours() {
    let github = GitHub::start();
    say(&github, "mallory", &format!("{MARKER}\nnice comment"));
    say(&github, BOT, &format!("see {MARKER}"));
    let asker = Asker::new(&github);
    let done = asker.ask(comment::upsert(&asker.client, 7, BOT, &content(10, 1)));
    assert_eq!(done.expect("an outcome").0, Outcome::Created);
    assert_eq!(github.bodies().len(), 3);
    assert_eq!(github.bodies()[0], format!("{MARKER}\nnice comment"));
}

#[test]
fn concurrent_runs_end_with_one_comment_and_the_newest_text() {
    for lag in 0..4 {
        let github = GitHub::start();
        github.world().lag = lag;
        let asker = Asker::new(&github);
        let (old, new) = (content(10, 90), content(11, 7));
        let both = async {
            let old = comment::upsert(&asker.client, 7, BOT, &old);
            let new = comment::upsert(&asker.client, 7, BOT, &new);
            tokio::join!(old, new)
        };
        let (old, new) = asker.ask(both);
        assert!(old.is_ok() && new.is_ok(), "lag {lag}: {old:?} {new:?}");
        // A list that lags can hide one of the two for now; the next build sees both.
        let next = asker.ask(comment::upsert(&asker.client, 7, BOT, &content(12, 5)));
        let (_, comment) = next.expect("an outcome");
        assert_eq!(github.bodies(), std::slice::from_ref(&comment.body), "lag {lag}");
        assert!(comment.body.contains("| 5.0 s | 7.0 s |"), "lag {lag}: {}", comment.body);
    }
}

#[test]
fn two_runs_that_both_create_agree_on_the_older_comment() {
    let github = GitHub::start();
    let asker = Asker::new(&github);
    // The other run's comment appears right after ours, as if both had looked at the same time.
    let theirs = comment::render(&content(9, 90), None);
    github.world().comments.insert(5, Comment { number: 8, author: BOT.into(), body: theirs });
    github.world().lag = 0;
    let (outcome, _) =
        asker.ask(comment::upsert(&asker.client, 7, BOT, &content(10, 1))).expect("an outcome");
    assert_eq!(outcome, Outcome::Created);
    let mut world = github.world();
    world.comments.get_mut(&5).expect("theirs").number = 7;
    drop(world);
    let (outcome, comment) =
        asker.ask(comment::upsert(&asker.client, 7, BOT, &content(10, 1))).expect("an outcome");
    assert_eq!((outcome, comment.id), (Outcome::Updated, 5));
    assert_eq!(github.bodies(), [comment.body]);
}

/// A repository in which pull request 7 changes `gen.Dockerfile`.
fn touching(world: &World) -> (std::path::PathBuf, String) {
    let work = world.origin();
    work.commit("gen.Dockerfile", "FROM scratch\n");
    work.push("refs/heads/main");
    work.git(&["checkout", "-q", "-b", "topic"]);
    let sha = work.commit("gen.Dockerfile", "FROM busybox\n");
    work.push("refs/pull/7/head");
    (work.dir, sha)
}

#[test]
fn the_command_comments_on_a_touching_pull_request_with_size_and_digest() {
    let Some(registry) = registry::start() else { return };
    let github = GitHub::start();
    let world = World::new();
    let (dir, sha) = touching(&world);
    let digest = images::push(&registry, "pr-7", Some(&sha));
    let pull = pull_request(7, "topic", &sha, "main", &"b".repeat(40), REPOSITORY);
    let step = Step::new(&dir, "pull_request", &pull_event(&pull)).image(&registry);
    // The origin is a folder, so git needs no token; only the API is the stand-in's.
    let mut step = step.at(&github);
    step.set("GITHUB_SERVER_URL", "https://github.com");
    let timeline = step.path("timeline.json");
    let steps = json!({ "version": 1, "steps": [{
        "digest": "sha256:1", "name": "[gen 1/1] RUN true", "started": "2026-01-01T00:00:00Z",
        "completed": "2026-01-01T00:00:03Z", "cached": false, "cause": "line 1 changed",
    }]});
    std::fs::write(&timeline, steps.to_string()).unwrap();
    let timeline = timeline.to_string_lossy();
    let answer = step.run(&["comment", "--timeline", &timeline]).json();
    assert_eq!(answer["outcome"], "created");
    let [body] = &github.bodies()[..] else { panic!("one comment") };
    let image = registry.reference("acme/widgets/ci:pr-7");
    for part in [
        &format!("`{image}`"),
        &format!("`{digest}`"),
        "- `gen.Dockerfile`",
        "| `[gen 1/1] RUN true` | 3.0 s | – | `line 1 changed` |",
        "[run](https://github.com/acme/widgets/actions/runs/500)",
        &format!("make docker-pull gen DOCKER_CI_IMAGE={image}"),
    ] {
        assert!(body.contains(part), "`{part}` in {body}");
    }
    let dry = step.run(&["comment", "--timeline", &timeline, "--dry-run"]);
    assert!(dry.stdout.starts_with(MARKER), "{dry:?}");
    assert_eq!(github.seen("POST", "/comments", 201), 1);
}

#[test]
fn forks_and_regular_pull_requests_get_no_comment() {
    let Some(registry) = registry::start() else { return };
    let github = GitHub::start();
    let world = World::new();
    let (dir, sha) = touching(&world);
    let base = world.full("other").git(&["rev-parse", "origin/main"]);
    let cases = [("mallory/widgets", &sha), (REPOSITORY, &base)];
    for (head, sha) in cases {
        let pull = pull_request(7, "topic", sha, "main", &base, head);
        let mut step =
            Step::new(&dir, "pull_request", &pull_event(&pull)).at(&github).image(&registry);
        step.set("GITHUB_SERVER_URL", "https://github.com");
        let ended = step.run(&["comment"]);
        assert_eq!(ended.json()["outcome"], serde_json::Value::Null, "{head}");
        assert!(ended.stderr.contains("no comment"), "{}", ended.stderr);
    }
    assert_eq!(github.world().requests.len(), 0);
}

#[test]
fn a_job_without_the_permission_is_told_which() {
    let Some(registry) = registry::start() else { return };
    let github = GitHub::start();
    let world = World::new();
    let (dir, sha) = touching(&world);
    let message = "Resource not accessible by integration";
    github.fault(Fault::new("POST", "/comments", 403).message(message));
    let pull = pull_request(7, "topic", &sha, "main", &"b".repeat(40), REPOSITORY);
    let mut step = Step::new(&dir, "pull_request", &pull_event(&pull)).at(&github).image(&registry);
    step.set("GITHUB_SERVER_URL", "https://github.com");
    let ended = step.run(&["comment"]);
    assert_eq!(ended.code, 3);
    assert!(ended.said().contains("permissions:"), "{}", ended.stderr);
}
