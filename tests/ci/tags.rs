//! The tag table over many events: payloads as GitHub sends them, and the row each falls under.
use kitwright::ci::environment::Environment;
use kitwright::ci::event::{Event, Subject};
use kitwright::ci::settings::Settings;
use kitwright::ci::tags::{self, Action, Rule, is_valid_tag};
use serde_json::{Value, json};

use crate::github::{REPOSITORY, pull_request};

const SHA: &str = "abc123def4567890abc123def4567890abc123de";
const BASE: &str = "0123456789012345678901234567890123456789";

/// What a row of the table gives: rule, image, action, published tags, build, comment.
type Row<'a> = (Rule, &'a str, Action, &'a [&'a str], bool, bool);

fn payload(mut fields: Value) -> Value {
    fields["repository"] = json!({ "full_name": REPOSITORY, "default_branch": "main" });
    fields["sender"] = json!({ "login": "ann" });
    fields
}

fn pull(action: &str, base: &str, head: &str) -> Value {
    let pull = pull_request(7, "topic", SHA, base, BASE, head);
    payload(json!({ "action": action, "number": 7, "pull_request": pull }))
}

fn push(reference: &str) -> Value {
    payload(json!({ "ref": reference, "before": BASE, "after": SHA, "deleted": false }))
}

fn read(name: &str, payload: &Value, actor: Option<&str>) -> Event {
    let environment = Environment::default()
        .with("GITHUB_EVENT_NAME", Some(name))
        .with("GITHUB_ACTOR", actor)
        .with("GITHUB_REF", Some("refs/heads/main"))
        .with("GITHUB_SHA", Some(SHA));
    Event::parse(&payload.to_string(), &environment).expect("an event")
}

fn check(case: &str, event: &Event, touched: bool, wanted: &Row<'_>) {
    let plan = tags::plan(event, &Settings::default(), touched).expect(case);
    let publish: Vec<&str> = plan.publish.iter().map(String::as_str).collect();
    let got: Row<'_> = (plan.rule, &plan.image, plan.action, &publish, plan.build, plan.comment);
    assert_eq!(got, *wanted, "{case}");
    for tag in plan.publish.iter().chain([&plan.image]) {
        assert!(is_valid_tag(tag), "{case}: `{tag}`");
    }
}

const REGULAR: Row<'_> = (Rule::RegularPullRequest, "latest", Action::Use, &[], false, false);
const REGULAR_V2: Row<'_> = (Rule::RegularPullRequest, "v2", Action::Use, &[], false, false);
const IMAGE: Row<'_> = (Rule::ImagePullRequest, "pr-7", Action::Wait, &["pr-7"], true, true);
const FORK: Row<'_> = (Rule::ForkPullRequest, "pr-7", Action::Build, &[], true, false);
const OTHER: Row<'_> = (Rule::Other, "latest", Action::Use, &[], false, false);

#[test]
fn pull_requests() {
    let here = REPOSITORY;
    let fork = "mallory/widgets";
    let rows: &[(&str, &str, &str, &str, bool, Row<'_>)] = &[
        ("pull_request", "opened", "main", here, false, REGULAR),
        ("pull_request", "opened", "main", here, true, IMAGE),
        ("pull_request", "opened", "master", here, false, REGULAR),
        ("pull_request", "opened", "v2", here, false, REGULAR_V2),
        ("pull_request", "opened", "v2", here, true, IMAGE),
        ("pull_request", "synchronize", "main", here, false, REGULAR),
        ("pull_request", "synchronize", "v2", here, true, IMAGE),
        ("pull_request", "reopened", "main", here, true, IMAGE),
        ("pull_request", "edited", "v2", here, true, IMAGE),
        ("pull_request", "ready_for_review", "main", here, true, IMAGE),
        ("pull_request", "labeled", "main", here, true, IMAGE),
        ("pull_request", "closed", "main", here, true, REGULAR),
        ("pull_request", "closed", "v2", here, false, REGULAR_V2),
        // A branch without an image of its own: the default branch's stands in.
        ("pull_request", "opened", "feature/base", here, false, REGULAR),
        ("pull_request", "opened", "feature/base", here, true, IMAGE),
        // The letters' case of a repository's name means nothing.
        ("pull_request", "opened", "main", "ACME/Widgets", true, IMAGE),
        // A fork uses the base's image, or what it builds itself under a name of its own.
        ("pull_request", "opened", "main", fork, false, REGULAR),
        ("pull_request", "opened", "main", fork, true, FORK),
        ("pull_request", "synchronize", "v2", fork, false, REGULAR_V2),
        ("pull_request", "synchronize", "v2", fork, true, FORK),
        ("pull_request", "closed", "main", fork, true, REGULAR),
        // With the base's secrets at hand a fork publishes as little.
        ("pull_request_target", "opened", "main", fork, true, FORK),
        ("pull_request_target", "opened", "main", fork, false, REGULAR),
        ("pull_request_target", "opened", "main", here, true, IMAGE),
        ("pull_request_review", "submitted", "main", here, true, IMAGE),
        ("pull_request_review", "submitted", "main", fork, true, FORK),
        ("pull_request_review_comment", "created", "v2", here, false, REGULAR_V2),
        // The fork is gone.
        ("pull_request", "synchronize", "main", "", true, FORK),
    ];
    for (name, action, base, head, touched, wanted) in rows {
        let mut payload = pull(action, base, head);
        if head.is_empty() {
            payload["pull_request"]["head"]["repo"] = Value::Null;
        }
        let case = format!("{name} {action} onto {base} from `{head}`, touched {touched}");
        check(&case, &read(name, &payload, None), *touched, wanted);
    }
}

#[test]
fn dependabot_has_a_read_only_token_for_pull_requests_alone() {
    let event = pull("opened", "main", REPOSITORY);
    let dependabot = Some("dependabot[bot]");
    check("its own", &read("pull_request", &event, dependabot), true, &FORK);
    check("untouched", &read("pull_request", &event, dependabot), false, &REGULAR);
    check("target", &read("pull_request_target", &event, dependabot), true, &IMAGE);
}

#[test]
fn branches() {
    let long = format!("refs/heads/{}", "x".repeat(200));
    let long_tag = format!("{}-{}-sha-abc123d", "x".repeat(107), "aa20c23e");
    let rows: &[(&str, Rule, &[&str])] = &[
        ("refs/heads/main", Rule::MovingBranch, &["latest", "main-sha-abc123d"]),
        ("refs/heads/master", Rule::MovingBranch, &["latest", "master-sha-abc123d"]),
        ("refs/heads/v2", Rule::MovingBranch, &["v2", "v2-sha-abc123d"]),
        ("refs/heads/v3", Rule::Branch, &["v3-sha-abc123d"]),
        ("refs/heads/topic", Rule::Branch, &["topic-sha-abc123d"]),
        ("refs/heads/feature/login", Rule::Branch, &["feature-login-sha-abc123d"]),
        ("refs/heads/a/b/c", Rule::Branch, &["a-b-c-sha-abc123d"]),
        ("refs/heads/V2", Rule::Branch, &["V2-sha-abc123d"]),
        ("refs/heads/JIRA-12_Fix.it", Rule::Branch, &["JIRA-12_Fix.it-sha-abc123d"]),
        ("refs/heads/pr-7", Rule::Branch, &["pr-7-sha-abc123d"]),
        ("refs/heads/latest", Rule::Branch, &["latest-sha-abc123d"]),
        ("refs/heads/key-00", Rule::Branch, &["key-00-sha-abc123d"]),
        ("refs/heads/refs/heads/v2", Rule::Branch, &["refs-heads-v2-sha-abc123d"]),
        ("refs/heads/dependabot/npm/x", Rule::Branch, &["dependabot-npm-x-sha-abc123d"]),
        ("refs/heads/fix-\u{e9}", Rule::Branch, &["fix-1974d6a2-sha-abc123d"]),
        ("refs/heads/fix-\u{e8}", Rule::Branch, &["fix-60e08277-sha-abc123d"]),
        ("refs/heads/\u{529f}\u{80fd}", Rule::Branch, &["25f5ce57-sha-abc123d"]),
        ("refs/heads/_x", Rule::Branch, &["_x-sha-abc123d"]),
        ("refs/heads/-x", Rule::Branch, &["x-a4209624-sha-abc123d"]),
        ("refs/heads/a b", Rule::Branch, &["a-b-c8687a08-sha-abc123d"]),
        (&long, Rule::Branch, &[&long_tag]),
    ];
    for (reference, rule, publish) in rows {
        let wanted = (*rule, publish[0], Action::Wait, *publish, true, false);
        check(reference, &read("push", &push(reference), None), false, &wanted);
        // A manual run of a branch is like a push to it.
        let mut manual = push(reference);
        manual["workflow"] = json!(".github/workflows/build-ci-image.yml");
        manual.as_object_mut().unwrap().remove("after");
        check(reference, &read("workflow_dispatch", &manual, None), false, &wanted);
    }
}

#[test]
fn other_events() {
    let main: Row<'_> =
        (Rule::MovingBranch, "latest", Action::Wait, &["latest", "main-sha-abc123d"], true, false);
    check(
        "schedule",
        &read("schedule", &payload(json!({ "schedule": "0 0 * * *" })), None),
        false,
        &main,
    );
    check("tag", &read("push", &push("refs/tags/v2"), None), false, &OTHER);
    let mut deleted = push("refs/heads/topic");
    deleted["deleted"] = json!(true);
    deleted["after"] = json!("0".repeat(40));
    check("deleted", &read("push", &deleted, None), false, &OTHER);
    let release = payload(json!({ "action": "published", "release": { "tag_name": "v1" } }));
    check("release", &read("release", &release, None), false, &OTHER);
    let issue = payload(json!({
        "action": "created", "issue": { "number": 3 },
        "comment": { "id": 1, "body": "/regen", "user": { "login": "ann" } },
    }));
    check("comment on an issue", &read("issue_comment", &issue, None), false, &OTHER);
    let group = payload(json!({ "action": "checks_requested", "merge_group": {
        "head_sha": SHA, "head_ref": "refs/heads/gh-readonly-queue/main/pr-7-0123",
        "base_sha": BASE, "base_ref": "refs/heads/main",
    }}));
    let tag = "gh-readonly-queue-main-pr-7-0123-sha-abc123d";
    let queue: Row<'_> = (Rule::Branch, tag, Action::Wait, &[tag], true, false);
    check("merge queue", &read("merge_group", &group, None), false, &queue);
}

#[test]
fn a_run_after_a_run_is_about_the_same() {
    let run = |event: &str, pulls: Value, head: &str| {
        payload(json!({ "action": "completed", "workflow_run": {
            "head_sha": SHA, "head_branch": "v2", "event": event,
            "head_repository": { "full_name": head }, "pull_requests": pulls,
        }}))
    };
    let pulls = json!([pull_request(7, "topic", BASE, "v2", BASE, "")]);
    let of = |payload: &Value| read("workflow_run", payload, None);
    let v2: Row<'_> =
        (Rule::MovingBranch, "v2", Action::Wait, &["v2", "v2-sha-abc123d"], true, false);
    check("of a push", &of(&run("push", json!([]), REPOSITORY)), false, &v2);
    let event = of(&run("pull_request", pulls.clone(), REPOSITORY));
    check("of a pull request", &event, true, &IMAGE);
    let Subject::PullRequest(pull_request) = &event.subject else { panic!("a pull request") };
    assert_eq!(pull_request.head.sha, SHA, "the run's commit, not the head of now");
    check("of a fork", &of(&run("pull_request", pulls, "mallory/widgets")), true, &FORK);
    check("of a fork", &of(&run("pull_request", json!([]), "mallory/widgets")), true, &OTHER);
}

#[test]
fn a_comment_has_no_commit_and_is_not_given_one() {
    let comment = payload(json!({
        "action": "created", "issue": { "number": 7, "pull_request": {} },
        "comment": { "id": 1, "body": "/regen", "user": { "login": "ann" } },
    }));
    let event = read("issue_comment", &comment, None);
    let error = tags::plan(&event, &Settings::default(), true).expect_err("no commit");
    assert_eq!(error, tags::TagError::Unresolved(7));
    assert!(!event.may_publish());
}

#[test]
fn payloads_without_what_the_rules_need_are_refused_by_name() {
    let environment = Environment::default();
    let error = |payload: Value| {
        Event::parse(&payload.to_string(), &environment).expect_err("a refusal").to_string()
    };
    assert!(error(json!({})).contains("event's name"));
    assert!(
        error(json!({ "before": BASE, "after": SHA, "ref": "refs/heads/x" }))
            .contains("repository.full_name")
    );
    let mut short = pull("opened", "main", REPOSITORY);
    short["pull_request"]["head"]["sha"] = json!("abc123");
    assert!(error(short).contains("`pull_request.head.sha`"));
    let mut zero = push("refs/heads/x");
    zero["after"] = json!("0".repeat(40));
    assert!(error(zero).contains("`after`"));
    assert!(Event::parse("{", &environment).is_err());
}

#[test]
fn the_names_of_events_are_told_from_their_payloads() {
    let environment = Environment::default();
    let name =
        |payload: &Value| Event::parse(&payload.to_string(), &environment).expect("an event").name;
    assert_eq!(name(&pull("opened", "main", REPOSITORY)), "pull_request");
    assert_eq!(name(&push("refs/heads/x")), "push");
    let comment = payload(json!({
        "action": "created", "issue": { "number": 7, "pull_request": {} },
        "comment": { "id": 1, "body": "/regen", "user": { "login": "ann" } },
    }));
    assert_eq!(name(&comment), "issue_comment");
}

#[test]
fn settings_rename_tags_and_lengthen_commits() {
    let text = "[ci]\nshort-sha = 12\n[ci.branches]\ndevelop = \"edge\"\n";
    let settings = Settings::parse(text, std::path::Path::new("kitwright.toml")).unwrap();
    let event = read("push", &push("refs/heads/develop"), None);
    let plan = tags::plan(&event, &settings, false).unwrap();
    assert_eq!(plan.publish, ["edge", "develop-sha-abc123def456"]);
    let event = read("pull_request", &pull("opened", "main", REPOSITORY), None);
    let error = tags::plan(&event, &settings, false).expect_err("main has no image");
    assert!(error.to_string().contains("branch `main`"), "{error}");
}

/// The file that others copy says what holds without it.
#[test]
fn the_documented_defaults_are_the_defaults() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adopt/kitwright.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let documented = Settings::parse(&text, &path).expect("settings");
    let defaults = Settings::default();
    assert_eq!(documented.touch_globs(), defaults.touch_globs());
    let image = Some("ghcr.io/owner/repo/ci".to_owned());
    assert_eq!(documented, Settings { image, touch: documented.touch.clone(), ..defaults });
}
