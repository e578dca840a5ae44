//! GitHub's event: the job's environment and the payload file, as the one thing the rules ask about.
//!
//! A payload has dozens of shapes and three meanings for us: a pull request at some head, a branch
//! at some commit, or nothing that has an image of its own. What a payload leaves out (a comment has
//! no head commit) stays out here, so that nobody can mistake the default branch's commit, which is
//! what `GITHUB_SHA` holds then, for the pull request's.
use std::path::PathBuf;

use crate::fault::{Classified, Fault};

mod payload;

pub(crate) use payload::PullRequestPayload;

/// An event that started a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's name, such as `pull_request`.
    pub name: String,
    /// `owner/name` of the repository that the run belongs to.
    pub repository: String,
    /// The repository's default branch, where the payload says it.
    pub default_branch: Option<String>,
    /// Who caused the event.
    pub actor: Option<String>,
    /// What the event is about.
    pub subject: Subject,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A pull request at a known head.
    PullRequest(PullRequest),
    /// A comment on a pull request; the head is to be asked for.
    Comment(Comment),
    /// A branch at a commit: a push, a manual or scheduled run, a merge queue's entry.
    Branch(Branch),
    /// Nothing that has an image of its own, and why.
    Nothing(&'static str),
}

/// A pull request at one head commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// What happened to it (`opened`, `synchronize`, `closed`, …); empty when asked for.
    pub action: String,
    /// Whether it can still be merged.
    pub open: bool,
    /// The proposed commit and where it lives.
    pub head: Head,
    /// The branch it is to be merged into.
    pub base: Base,
    /// Who opened it.
    pub author: Option<String>,
}

/// The head of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The proposed commit.
    pub sha: String,
    /// The branch that it is the tip of.
    pub branch: String,
    /// `owner/name` of the head's repository; none when the fork was deleted.
    pub repository: Option<String>,
}

/// The base of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The branch.
    pub branch: String,
    /// Its tip when the event was made; it may have moved on.
    pub sha: String,
    /// `owner/name` of the repository.
    pub repository: String,
}

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The comment's id, which a reaction goes to.
    pub id: u64,
    /// What was written.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// The pull request's number.
    pub number: u64,
    /// Whether the comment is new; an edit or a deletion is no request.
    pub created: bool,
}

/// A branch at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The branch's name without `refs/heads/`.
    pub name: String,
    /// The commit.
    pub sha: String,
}

/// An event that cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EventError {
    /// Neither the environment nor a flag says where the payload is.
    #[error("no event: `GITHUB_EVENT_PATH` is not set")]
    #[diagnostic(help("outside GitHub Actions, pass the payload with `--event FILE`"))]
    NoPayload,
    /// The payload file cannot be read.
    #[error("cannot read the event payload `{}`", path.display())]
    Read {
        /// The payload file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The payload is not JSON, or a field has the wrong type.
    #[error("cannot parse the event payload `{}`", path.display())]
    Parse {
        /// The payload file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The payload gives no hint what event it is of.
    #[error("the event's name is neither in `GITHUB_EVENT_NAME` nor to be told from its payload")]
    #[diagnostic(help("pass `--event-name NAME`, such as `--event-name pull_request`"))]
    NoName,
    /// A field that the rules need is missing or wrong.
    #[error("the payload of `{event}` has no usable `{field}`")]
    #[diagnostic(help("{help}"))]
    Field {
        /// The event's name.
        event: String,
        /// The field.
        field: &'static str,
        /// Where else it can come from.
        help: &'static str,
    },
}

impl Classified for EventError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Event {
    /// Whether the run's token may push images and write comments.
    ///
    /// GitHub hands a read-only token and no secrets to a pull request from a fork, and to
    /// Dependabot's. What such a run built must not become an image that others run either.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        match &self.subject {
            Subject::PullRequest(pull_request) => {
                let dependabot = self.actor.as_deref() == Some("dependabot[bot]");
                let read_only = dependabot && self.name == "pull_request";
                !pull_request.is_fork() && !read_only
            }
            Subject::Branch(_) => true,
            Subject::Comment(_) | Subject::Nothing(_) => false,
        }
    }
}

impl PullRequest {
    /// Whether the head lives in another repository than the base, or nowhere any more.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        let same = |head: &String| head.eq_ignore_ascii_case(&self.base.repository);
        !self.head.repository.as_ref().is_some_and(same)
    }
}

/// Whether `text` is a full commit id that names a commit (all zeros names none).
#[must_use]
pub fn is_commit(text: &str) -> bool {
    let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    matches!(text.len(), 40 | 64) && hex && text.bytes().any(|byte| byte != b'0')
}
