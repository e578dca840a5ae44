//! GitHub's REST API: the few endpoints that the rules need, over a client that waits when told to.
//!
//! [`transport`] sends requests: authentication, conditional requests, pagination, rate limits and
//! retries. [`retry`] is the pure part of it, which says what an answer means. This module gives the
//! endpoints names and types. Reference: <https://docs.github.com/rest>, version 2022-11-28.

use serde::Deserialize;
use serde_json::json;

use super::event::{PullRequest, PullRequestPayload};

mod connection;
pub mod error;
mod page;
pub mod retry;
pub mod transport;

pub use error::ApiError;
pub use transport::{Client, Notices};

/// A comment on an issue or pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueComment {
    /// Its id; a later comment has a higher one.
    pub id: u64,
    /// Its Markdown.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// Where people read it.
    pub url: String,
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WorkflowRun {
    /// Its id; a later run has a higher one, a re-run keeps it.
    pub id: u64,
    /// The commit it runs for.
    pub head_sha: String,
    /// The event that started it.
    pub event: String,
    /// `queued`, `in_progress`, `completed`, …
    pub status: Option<String>,
    /// How a completed run ended.
    pub conclusion: Option<String>,
    /// Where people look at it.
    pub html_url: String,
    /// Which attempt this is.
    #[serde(default = "first_attempt")]
    pub run_attempt: u64,
    /// The pull requests that the commit is the head of; none for a fork's.
    #[serde(default)]
    pub pull_requests: Vec<NumberOnly>,
}

/// A pull request of which only the number matters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NumberOnly {
    /// The number.
    pub number: u64,
}

const fn first_attempt() -> u64 {
    1
}

/// How a comment is answered at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Seen, and under way.
    Eyes,
    /// Done.
    Rocket,
    /// Not allowed, or impossible.
    Confused,
    /// Failed.
    ThumbsDown,
}

impl Reaction {
    /// GitHub's name of the reaction.
    #[must_use]
    pub const fn content(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Rocket => "rocket",
            Self::Confused => "confused",
            Self::ThumbsDown => "-1",
        }
    }
}

#[derive(Deserialize)]
struct CommentBody {
    id: u64,
    body: Option<String>,
    user: Option<Login>,
    html_url: String,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[derive(Deserialize)]
struct Permission {
    permission: String,
}

impl From<CommentBody> for IssueComment {
    fn from(comment: CommentBody) -> Self {
        Self {
            id: comment.id,
            body: comment.body.unwrap_or_default(),
            author: comment.user.map(|user| user.login).unwrap_or_default(),
            url: comment.html_url,
        }
    }
}

impl Client {
    /// Fetches a pull request: its head, base and state now.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn pull_request(&self, number: u64) -> Result<PullRequest, ApiError> {
        let path = format!("/repos/{}/pulls/{number}", self.repository());
        let payload: PullRequestPayload = self.get(&path).await?;
        PullRequest::from_payload(payload, String::new(), self.repository())
            .map_err(|field| ApiError::Field { endpoint: format!("GET {path}"), field })
    }

    /// Fetches what `user` may do in the repository: `admin`, `write`, `read` or `none`.
    ///
    /// Only a collaborator has one. Someone unknown here is a 404, which means `none`.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn permission(&self, user: &str) -> Result<String, ApiError> {
        let user = transport::segment(user);
        let path = format!("/repos/{}/collaborators/{user}/permission", self.repository());
        match self.get::<Permission>(&path).await {
            Ok(found) => Ok(found.permission),
            Err(ApiError::Status { status: 404, .. }) => Ok("none".to_owned()),
            Err(error) => Err(error),
        }
    }

    /// Fetches every comment of a pull request, oldest first.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn comments(&self, number: u64) -> Result<Vec<IssueComment>, ApiError> {
        let path = format!("/repos/{}/issues/{number}/comments?per_page=100", self.repository());
        let comments: Vec<CommentBody> = self.get_all(&path, None).await?;
        Ok(comments.into_iter().map(IssueComment::from).collect())
    }

    /// Writes a new comment on a pull request.
    ///
    /// Not repeated after a 5xx: the comment may be there. Look again before trying again.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn create_comment(&self, number: u64, body: &str) -> Result<IssueComment, ApiError> {
        let path = format!("/repos/{}/issues/{number}/comments", self.repository());
        let comment: CommentBody = self.post(&path, &json!({ "body": body })).await?;
        Ok(comment.into())
    }

    /// Replaces a comment's text.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<IssueComment, ApiError> {
        let path = format!("/repos/{}/issues/comments/{id}", self.repository());
        let comment: CommentBody = self.patch(&path, &json!({ "body": body })).await?;
        Ok(comment.into())
    }

    /// Deletes a comment; one that is gone already is fine.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn delete_comment(&self, id: u64) -> Result<(), ApiError> {
        let path = format!("/repos/{}/issues/comments/{id}", self.repository());
        match self.delete(&path).await {
            Err(ApiError::Status { status: 404, .. }) => Ok(()),
            other => other,
        }
    }

    /// Reacts to a comment; the same reaction twice is one.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn react(&self, comment: u64, reaction: Reaction) -> Result<(), ApiError> {
        let path = format!("/repos/{}/issues/comments/{comment}/reactions", self.repository());
        let body = json!({ "content": reaction.content() });
        self.post_again::<serde::de::IgnoredAny>(&path, &body).await.map(drop)
    }

    /// Fetches the runs of `workflow` for one commit, the newest first.
    ///
    /// # Errors
    ///
    /// An [`ApiError`] that names the endpoint.
    pub async fn workflow_runs(
        &self,
        workflow: &str,
        head_sha: &str,
    ) -> Result<Vec<WorkflowRun>, ApiError> {
        let path = format!(
            "/repos/{}/actions/workflows/{}/runs?head_sha={head_sha}&per_page=100",
            self.repository(),
            transport::segment(workflow)
        );
        let mut runs: Vec<WorkflowRun> = self.get_all(&path, Some("workflow_runs")).await?;
        runs.retain(|run| run.head_sha == head_sha);
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(runs)
    }
}
