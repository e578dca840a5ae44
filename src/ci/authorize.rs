//! Decides whether a comment may have the pull request regenerated.
//!
//! Regeneration runs the pull request's code and pushes what it made. So the author of the comment
//! must be able to push anyway, the head must live in this repository (the job's token cannot push
//! to a fork, and a stranger's code must not run beside it), and the commit is named once, here:
//! everything after works on that commit, and pushes only while it still is the head.
use serde::Serialize;

use super::event::{Comment, Event, PullRequest, Subject};
use super::github::{ApiError, Client};
use crate::fault::{Classified, Fault};

/// What may be done about a comment. Field names are output names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Authorization {
    /// Whether to go ahead.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The pull request.
    pub number: u64,
    /// The commit to regenerate; nothing else is authorised.
    pub sha: Option<String>,
    /// The branch to push to.
    pub branch: Option<String>,
    /// The comment that asked.
    pub comment: u64,
    /// Who asked.
    pub author: String,
}

/// The outcome for a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The comment asks for nothing.
    NotACommand,
    /// It asks, and must not be given.
    Denied,
    /// It asks, and may be given.
    Granted,
}

/// A comment that cannot be judged.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AuthorizeError {
    /// The event is no comment.
    #[error("`{event}` is not a comment on a pull request, so there is nothing to authorise")]
    #[diagnostic(help("run this in a workflow with `on: issue_comment`"))]
    NotAComment {
        /// The event's name.
        event: String,
    },
    /// GitHub's API failed; nobody is authorised by accident.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] ApiError),
}

impl Classified for AuthorizeError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotAComment { .. } => Fault::Usage,
            Self::Api(error) => error.fault(),
        }
    }
}

/// Judges the event's comment.
///
/// # Errors
///
/// [`AuthorizeError`] when the event is no comment, or GitHub does not answer.
pub async fn authorize(
    client: &Client,
    event: &Event,
    command: &str,
) -> Result<(Verdict, Authorization), AuthorizeError> {
    let Subject::Comment(comment) = &event.subject else {
        return Err(AuthorizeError::NotAComment { event: event.name.clone() });
    };
    let answer = Authorization {
        allowed: false,
        reason: None,
        number: comment.number,
        sha: None,
        branch: None,
        comment: comment.id,
        author: comment.author.clone(),
    };
    if !comment.created || !is_command(&comment.body, command) {
        let reason = Some(format!("the comment does not begin with `{command}`"));
        return Ok((Verdict::NotACommand, Authorization { reason, ..answer }));
    }
    let (reason, pull_request) = match judge(client, comment).await? {
        Ok(pull_request) => (None, Some(pull_request)),
        Err(reason) => (Some(reason), None),
    };
    let Some(pull_request) = pull_request else {
        return Ok((Verdict::Denied, Authorization { reason, ..answer }));
    };
    let (sha, branch) = (Some(pull_request.head.sha), Some(pull_request.head.branch));
    Ok((Verdict::Granted, Authorization { allowed: true, sha, branch, ..answer }))
}

/// The pull request, or the reason why not.
async fn judge(
    client: &Client,
    comment: &Comment,
) -> Result<Result<PullRequest, String>, ApiError> {
    let author = &comment.author;
    let permission = client.permission(author).await?;
    if !matches!(permission.as_str(), "admin" | "maintain" | "write") {
        return Ok(Err(format!("`{author}` has the permission `{permission}`, not `write`")));
    }
    let pull_request = client.pull_request(comment.number).await?;
    if !pull_request.open {
        return Ok(Err("the pull request is closed".to_owned()));
    }
    if pull_request.is_fork() {
        let head = pull_request.head.repository.as_deref().unwrap_or("a deleted repository");
        return Ok(Err(format!(
            "the head is in `{head}`, where this workflow cannot push: generate there and push"
        )));
    }
    Ok(Ok(pull_request))
}

/// Whether a comment's first word is the command. A quotation or a longer word is not.
#[must_use]
pub fn is_command(body: &str, command: &str) -> bool {
    body.split_whitespace().next() == Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_commands() {
        for yes in ["/regen", " /regen\r\n", "/regen please", "/regen\nthanks"] {
            assert!(is_command(yes, "/regen"), "{yes:?}");
        }
        for no in ["", "/regenerate", "> /regen", "please /regen", "`/regen`", "/REGEN", "/regen!"]
        {
            assert!(!is_command(no, "/regen"), "{no:?}");
        }
    }
}
