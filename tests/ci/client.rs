//! GitHub's client against the stand-in: pages, conditions, limits, failures, and the token.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kitwright::ci::environment::Environment;
use kitwright::ci::github::{ApiError, Client, Reaction};

use crate::github::{Comment, Fault, GitHub, REPOSITORY, TOKEN, run};

pub struct Asker {
    pub client: Client,
    pub notices: Arc<Mutex<Vec<String>>>,
    runtime: tokio::runtime::Runtime,
}

impl Asker {
    pub fn new(github: &GitHub) -> Self {
        Self::with_token(github, TOKEN)
    }

    fn with_token(github: &GitHub, token: &str) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&notices);
        let environment = Environment::default()
            .with("GITHUB_API_URL", Some(&github.url))
            .with("GITHUB_TOKEN", Some(token));
        let notice = Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned()));
        let client = Client::new(&environment, REPOSITORY, notice).expect("a client");
        let client = client.with_pause(Duration::from_millis(1));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { client, notices, runtime }
    }

    pub fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }
}

fn comment(number: u64, author: &str, body: &str) -> Comment {
    Comment { number, author: author.to_owned(), body: body.to_owned() }
}

#[test]
fn a_list_is_followed_page_by_page_and_asked_again_for_free() {
    let github = GitHub::start();
    github.world().page = 2;
    for id in 1..=5 {
        github.world().comments.insert(id, comment(7, "ann", &format!("comment {id}")));
    }
    github.world().comments.insert(6, comment(8, "ann", "elsewhere"));
    let asker = Asker::new(&github);
    for _ in 0..2 {
        let comments = asker.ask(asker.client.comments(7)).expect("comments");
        let ids: Vec<u64> = comments.iter().map(|comment| comment.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
    }
    assert_eq!(github.seen("GET", "/comments", 200), 3);
    assert_eq!(github.seen("GET", "/comments", 304), 3, "the second time nothing has changed");
    github.world().comments.insert(9, comment(7, "ann", "new"));
    assert_eq!(asker.ask(asker.client.comments(7)).expect("comments").len(), 6);
}

#[test]
fn a_link_to_another_server_is_not_followed_with_the_token() {
    let github = GitHub::start();
    let other = GitHub::start();
    let link = format!("<{}/repos/{REPOSITORY}/issues/7/comments>; rel=\"next\"", other.url);
    let mut fault = Fault::new("GET", "/comments", 200).header("link", link);
    fault.body = serde_json::json!([]);
    github.fault(fault);
    let asker = Asker::new(&github);
    let error = asker.ask(asker.client.comments(7)).expect_err("a foreign link");
    assert!(matches!(error, ApiError::ForeignLink { .. }), "{error}");
    assert_eq!(other.world().requests.len(), 0);
}

#[test]
fn a_redirect_to_another_server_is_not_followed_and_one_on_this_is() {
    let github = GitHub::start();
    let other = GitHub::start();
    github.pull(7, "topic", &"a".repeat(40), "main", &"b".repeat(40));
    let asker = Asker::new(&github);
    let away = format!("{}/repos/{REPOSITORY}/pulls/7", other.url);
    github.fault(Fault::new("GET", "/pulls/7", 307).header("location", away));
    let error = asker.ask(asker.client.pull_request(7)).expect_err("a redirect away");
    assert!(matches!(error, ApiError::Status { status: 307, .. }), "{error}");
    assert_eq!(other.world().requests.len(), 0);
    let here = format!("{}/repos/{REPOSITORY}/pulls/7?", github.url);
    github.fault(Fault::new("GET", "/pulls/7", 301).header("location", here));
    assert_eq!(asker.ask(asker.client.pull_request(7)).expect("a pull request").number, 7);
}

#[test]
fn limits_are_waited_out_as_told_and_then_the_answer_counts() {
    let github = GitHub::start();
    github.world().permissions.insert("ann".to_owned(), "write".to_owned());
    github.fault(
        Fault::new("GET", "/permission", 403)
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", 1)
            .message("API rate limit exceeded for installation ID 1."),
    );
    github.fault(Fault::new("GET", "/permission", 429).header("retry-after", 0));
    let asker = Asker::new(&github);
    assert_eq!(asker.ask(asker.client.permission("ann")).expect("a permission"), "write");
    let notices = asker.notices.lock().unwrap().join("\n");
    assert!(notices.contains("rate limit") && notices.contains("asking again in"), "{notices}");
    assert_eq!(github.seen("GET", "/permission", 200), 1);
}

#[test]
fn a_limit_that_outlasts_the_patience_says_how_long() {
    let github = GitHub::start();
    github.fault(Fault::new("GET", "/permission", 429).header("retry-after", 3000).times(9));
    let asker = Asker::new(&github);
    let error = asker.ask(asker.client.permission("ann")).expect_err("a limit");
    assert!(matches!(error, ApiError::RateLimited { seconds: 3000, .. }), "{error}");
    assert_eq!(github.seen("GET", "/permission", 429), 1);
}

#[test]
fn a_403_about_permissions_is_not_waited_for() {
    let github = GitHub::start();
    let message = "Resource not accessible by integration";
    let fault = Fault::new("POST", "/reactions", 403).header("x-ratelimit-remaining", 4999);
    github.fault(fault.message(message));
    let asker = Asker::new(&github);
    let error = asker.ask(asker.client.react(5, Reaction::Eyes)).expect_err("a refusal");
    assert!(matches!(&error, ApiError::Forbidden { .. }), "{error}");
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(github.seen("POST", "/reactions", 403), 1);
}

#[test]
fn failing_servers_are_asked_again_but_not_forever() {
    let github = GitHub::start();
    github.pull(7, "topic", &"a".repeat(40), "main", &"b".repeat(40));
    github.fault(Fault::new("GET", "/pulls/7", 502).times(3));
    let asker = Asker::new(&github);
    assert!(asker.ask(asker.client.pull_request(7)).is_ok());
    github.fault(Fault::new("GET", "/pulls/7", 503).times(9));
    let error = asker.ask(asker.client.pull_request(7)).expect_err("a broken server");
    assert!(matches!(error, ApiError::Status { status: 503, .. }), "{error}");
    assert_eq!(github.seen("GET", "/pulls/7", 503), 5);
}

#[test]
fn a_comment_is_not_written_twice_for_a_server_that_failed_once() {
    let github = GitHub::start();
    github.fault(Fault::new("POST", "/comments", 502));
    let asker = Asker::new(&github);
    assert!(asker.ask(asker.client.create_comment(7, "hello")).is_err());
    assert_eq!(github.seen("POST", "/comments", 502), 1);
    assert_eq!(github.bodies(), Vec::<String>::new());
}

#[test]
fn no_error_shows_the_token() {
    let github = GitHub::start();
    let asker = Asker::with_token(&github, "ghs_wrongWRONG");
    let error = asker.ask(asker.client.pull_request(7)).expect_err("a wrong token");
    assert!(matches!(error, ApiError::Unauthorized { .. }), "{error}");
    let text = format!("{error} {error:?} {:?}", asker.client);
    assert!(!text.contains("WRONG"), "{text}");
}

#[test]
fn runs_of_other_commits_are_left_out_whatever_the_server_gives() {
    let github = GitHub::start();
    let (mine, other) = ("a".repeat(40), "b".repeat(40));
    let runs = vec![
        run(3, &other, "pull_request", "completed", Some("success")),
        run(1, &mine, "pull_request", "completed", Some("failure")),
        run(2, &mine, "push", "queued", None),
    ];
    github.world().runs.insert("build ci.yml".to_owned(), runs.clone());
    github.world().runs.insert("build%20ci.yml".to_owned(), runs);
    let asker = Asker::new(&github);
    let runs = asker.ask(asker.client.workflow_runs("build ci.yml", &mine)).expect("runs");
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn an_answer_that_is_no_json_is_an_error_that_names_the_endpoint() {
    let github = GitHub::start();
    let mut fault = Fault::new("GET", "/pulls/7", 200);
    fault.body = serde_json::json!("<html>");
    github.fault(fault);
    let asker = Asker::new(&github);
    let error = asker.ask(asker.client.pull_request(7)).expect_err("no pull request");
    assert!(error.to_string().contains("GET /repos/acme/widgets/pulls/7"), "{error}");
}
