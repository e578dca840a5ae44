//! What GitHub writes into a payload, and the event that it means.
use std::path::PathBuf;

use serde::Deserialize;

use super::{Base, Branch, Comment, Event, EventError, Head, PullRequest, Subject, is_commit};
use crate::ci::environment::Environment;

/// The parts of any payload that the rules read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    action: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    after: Option<String>,
    before: Option<String>,
    deleted: bool,
    repository: Option<Repository>,
    sender: Option<User>,
    pull_request: Option<PullRequestPayload>,
    issue: Option<IssuePayload>,
    comment: Option<CommentPayload>,
    merge_group: Option<MergeGroupPayload>,
    workflow_run: Option<WorkflowRunPayload>,
    release: Option<serde::de::IgnoredAny>,
    schedule: Option<serde::de::IgnoredAny>,
    workflow: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
    default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
}

/// A pull request as payloads and the REST API both write it.
#[derive(Debug, Deserialize)]
pub(crate) struct PullRequestPayload {
    number: u64,
    #[serde(default)]
    state: Option<String>,
    head: EndPayload,
    base: EndPayload,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct EndPayload {
    sha: String,
    #[serde(rename = "ref")]
    branch: String,
    /// Null when the repository is gone; without `full_name` inside `workflow_run`.
    #[serde(default)]
    repo: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct IssuePayload {
    number: u64,
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct CommentPayload {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct MergeGroupPayload {
    head_sha: String,
    head_ref: String,
}

#[derive(Debug, Deserialize)]
struct WorkflowRunPayload {
    head_sha: String,
    head_branch: Option<String>,
    event: String,
    head_repository: Option<Repository>,
    #[serde(default)]
    pull_requests: Vec<PullRequestPayload>,
}

impl Event {
    /// Reads the event from the payload file that `environment` names.
    ///
    /// # Errors
    ///
    /// An [`EventError`] that names the file or the field.
    pub fn load(environment: &Environment) -> Result<Self, EventError> {
        let path = environment.event_path().ok_or(EventError::NoPayload)?;
        let text = fs_err::read(&path)
            .map_err(|source| EventError::Read { path: path.clone(), source })?;
        let payload =
            serde_json::from_slice(&text).map_err(|source| EventError::Parse { path, source })?;
        Self::from_payload(payload, environment)
    }

    /// Reads the event from a payload's text; the environment fills what the payload leaves out.
    ///
    /// # Errors
    ///
    /// An [`EventError`] that names the field.
    pub fn parse(payload: &str, environment: &Environment) -> Result<Self, EventError> {
        let payload = serde_json::from_str(payload)
            .map_err(|source| EventError::Parse { path: PathBuf::from("event"), source })?;
        Self::from_payload(payload, environment)
    }

    fn from_payload(payload: Payload, environment: &Environment) -> Result<Self, EventError> {
        let told = environment.event_name().map(str::to_owned);
        let name = told.or_else(|| guess_name(&payload).map(str::to_owned));
        let name = name.ok_or(EventError::NoName)?;
        let told = payload.repository.as_ref().map(|repository| repository.full_name.clone());
        let repository = told
            .or_else(|| environment.repository().map(str::to_owned))
            .filter(|repository| repository.split('/').filter(|part| !part.is_empty()).count() == 2)
            .ok_or_else(|| field(&name, "repository.full_name", "set `GITHUB_REPOSITORY`"))?;
        let default_branch = payload.repository.as_ref().and_then(|it| it.default_branch.clone());
        let actor = environment.get("GITHUB_ACTOR").map(str::to_owned);
        let actor = actor.or_else(|| payload.sender.as_ref().map(|sender| sender.login.clone()));
        let subject = subject(&name, payload, &repository, environment)?;
        Ok(Self { name, repository, default_branch, actor, subject })
    }
}

impl PullRequest {
    pub(crate) fn from_payload(
        payload: PullRequestPayload,
        action: String,
        repository: &str,
    ) -> Result<Self, &'static str> {
        let full_name = |end: &EndPayload| {
            let name = end.repo.as_ref()?.get("full_name")?.as_str()?;
            Some(name.to_owned())
        };
        let head_repository = full_name(&payload.head);
        let base_repository = full_name(&payload.base).unwrap_or_else(|| repository.to_owned());
        if !is_commit(&payload.head.sha) {
            return Err("pull_request.head.sha");
        }
        if payload.base.branch.is_empty() {
            return Err("pull_request.base.ref");
        }
        Ok(Self {
            number: payload.number,
            action,
            open: payload.state.as_deref() != Some("closed"),
            head: Head {
                sha: payload.head.sha,
                branch: payload.head.branch,
                repository: head_repository,
            },
            base: Base {
                branch: payload.base.branch,
                sha: payload.base.sha,
                repository: base_repository,
            },
            author: payload.user.map(|user| user.login),
        })
    }
}

fn guess_name(payload: &Payload) -> Option<&'static str> {
    if payload.comment.is_some() && payload.issue.is_some() {
        Some("issue_comment")
    } else if payload.pull_request.is_some() {
        Some("pull_request")
    } else if payload.merge_group.is_some() {
        Some("merge_group")
    } else if payload.workflow_run.is_some() {
        Some("workflow_run")
    } else if payload.release.is_some() {
        Some("release")
    } else if payload.before.is_some() && payload.after.is_some() {
        Some("push")
    } else if payload.schedule.is_some() {
        Some("schedule")
    } else if payload.workflow.is_some() && payload.reference.is_some() {
        Some("workflow_dispatch")
    } else {
        None
    }
}

fn subject(
    name: &str,
    payload: Payload,
    repository: &str,
    environment: &Environment,
) -> Result<Subject, EventError> {
    if let Some(pull_request) = payload.pull_request {
        return PullRequest::from_payload(pull_request, payload.action, repository)
            .map(Subject::PullRequest)
            .map_err(|what| field(name, what, "the payload is not one of GitHub's"));
    }
    match name {
        "issue_comment" => comment(name, payload),
        "merge_group" => {
            let group = payload.merge_group;
            let group = group.ok_or_else(|| field(name, "merge_group", "pass GitHub's payload"))?;
            Ok(branch_at(&group.head_ref, group.head_sha))
        }
        "workflow_run" => workflow_run(name, payload.workflow_run, repository),
        "release" => Ok(Subject::Nothing("a release has no image of its own")),
        "push" if payload.deleted => Ok(Subject::Nothing("the branch was deleted")),
        _ => branch(name, &payload, environment),
    }
}

fn comment(name: &str, payload: Payload) -> Result<Subject, EventError> {
    let help = "pass the payload of a comment that GitHub sent";
    let issue = payload.issue.ok_or_else(|| field(name, "issue", help))?;
    if issue.pull_request.is_none() {
        return Ok(Subject::Nothing("the comment is on an issue, not on a pull request"));
    }
    let comment = payload.comment.ok_or_else(|| field(name, "comment", help))?;
    let author = comment.user.ok_or_else(|| field(name, "comment.user", help))?;
    Ok(Subject::Comment(Comment {
        id: comment.id,
        body: comment.body.unwrap_or_default(),
        author: author.login,
        number: issue.number,
        created: payload.action == "created",
    }))
}

/// A run that follows another run is about what that one was about.
fn workflow_run(
    name: &str,
    run: Option<WorkflowRunPayload>,
    repository: &str,
) -> Result<Subject, EventError> {
    let run = run.ok_or_else(|| field(name, "workflow_run", "pass GitHub's payload"))?;
    if !run.event.starts_with("pull_request") {
        let branch = run.head_branch.ok_or_else(|| field(name, "head_branch", "none"))?;
        return Ok(branch_at(&branch, run.head_sha));
    }
    let Some(mut pull_request) = run.pull_requests.into_iter().next() else {
        return Ok(Subject::Nothing(
            "the run was of a fork's pull request, which it does not name",
        ));
    };
    pull_request.head.sha = run.head_sha;
    let head = run.head_repository.map(|repository| repository.full_name);
    let mut pull_request = PullRequest::from_payload(pull_request, String::new(), repository)
        .map_err(|what| field(name, what, "the payload is not one of GitHub's"))?;
    pull_request.head.repository = head;
    Ok(Subject::PullRequest(pull_request))
}

fn branch(name: &str, payload: &Payload, environment: &Environment) -> Result<Subject, EventError> {
    let reference = payload.reference.as_deref().or_else(|| environment.get("GITHUB_REF"));
    let reference = reference.ok_or_else(|| field(name, "ref", "set `GITHUB_REF`"))?;
    if reference.starts_with("refs/tags/") {
        return Ok(Subject::Nothing("a git tag has no image of its own"));
    }
    let sha = payload.after.as_deref().or_else(|| environment.get("GITHUB_SHA"));
    let sha = sha.filter(|sha| is_commit(sha));
    let sha = sha.ok_or_else(|| field(name, "after", "set `GITHUB_SHA` to the commit"))?;
    Ok(branch_at(reference, sha.to_owned()))
}

fn branch_at(reference: &str, sha: String) -> Subject {
    let name = reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned();
    Subject::Branch(Branch { name, sha })
}

fn field(event: &str, field: &'static str, help: &'static str) -> EventError {
    EventError::Field { event: event.to_owned(), field, help }
}
