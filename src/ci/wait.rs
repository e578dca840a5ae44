//! Waits until the image of one commit is published.
//!
//! What counts is the commit, not the pull request: the run of an earlier commit may have ended well
//! a second ago, and its image is another one. So runs are asked for by head commit and compared
//! again here, and at the end the registry has to confirm that the image is that commit's: by its
//! key or its own tag, or by a label that names it or a commit with the very same image files.
use std::time::Duration;

use tokio::time::Instant;

use super::detect::same_files;
use super::git::Git;
use super::github::{ApiError, Client, Notices, WorkflowRun};
use super::lookup::{Expected, Presence, presence};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::registry::{self, RegistryError};

/// How often the registry is asked again for what a successful run has just pushed.
const CONFIRMATIONS: u32 = 5;
/// The longest pause between two of them.
const CONFIRMATION_PAUSE: Duration = Duration::from_secs(3);

/// Whose build is waited for, and how long.
#[derive(Clone, Debug)]
pub struct Request {
    /// The workflow's file name.
    pub workflow: String,
    /// The image, and what tells that it is the commit's.
    pub expected: Expected,
    /// The pull request; none for a branch.
    pub number: Option<u64>,
    /// How long between two looks.
    pub interval: Duration,
    /// How long in all.
    pub timeout: Duration,
    /// How long until a run must have appeared.
    pub appear: Duration,
}

/// Tells whether two commits have the same image, by the files that make it.
///
/// A commit that changes none of them may be given the image of another one instead of building the
/// same again; its label then names that other one.
#[derive(Clone, Copy, Debug)]
pub struct Sameness<'a> {
    /// The repository.
    pub git: &'a Git,
    /// The globs of the image's files.
    pub globs: &'a [String],
}

/// The image is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its digest.
    pub digest: Digest,
    /// The run that built it; none when it was there already.
    pub run: Option<String>,
}

/// An image that did not come.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum WaitError {
    /// The run failed, or somebody cancelled it.
    #[error("the build of `{image}` for commit `{revision}` ended as `{conclusion}`: {url}")]
    #[diagnostic(help("mend and push, or re-run that workflow and then this one"))]
    Failed {
        /// The image.
        image: String,
        /// The commit.
        revision: String,
        /// How the run ended.
        conclusion: String,
        /// Where to look.
        url: String,
    },
    /// No run for the commit has appeared.
    #[error("no run of `{workflow}` for commit `{revision}` has appeared within {seconds} s")]
    #[diagnostic(help("does `{workflow}` run on this event? It must not be filtered by paths"))]
    NoRun {
        /// The workflow's file name.
        workflow: String,
        /// The commit.
        revision: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The run takes longer than the time there is.
    #[error("the build for commit `{revision}` is still `{status}` after {seconds} s: {url}")]
    #[diagnostic(help("raise `--timeout`, or look at the run"))]
    TimedOut {
        /// The commit.
        revision: String,
        /// What the run is at.
        status: String,
        /// How long it was waited for.
        seconds: u64,
        /// Where to look.
        url: String,
    },
    /// The run ended well, and the image is not there.
    #[error("the build ended well ({url}), but `{image}` is not in the registry")]
    #[diagnostic(help("did the run push it? For a pull request from a fork it does not"))]
    Absent {
        /// The image.
        image: String,
        /// The run.
        url: String,
    },
    /// The run ended well, and what is there is another commit's.
    #[error("`{image}` is built from `{found}`, not from `{revision}`, though {url} ended well")]
    #[diagnostic(help(
        "another run has pushed the tag since; run this again for the newest commit"
    ))]
    Other {
        /// The image.
        image: String,
        /// The commit that it names.
        found: String,
        /// The wanted commit.
        revision: String,
        /// The run.
        url: String,
    },
    /// GitHub's API failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] ApiError),
    /// The registry failed.
    #[error("cannot look for `{image}`")]
    Registry {
        /// The image.
        image: String,
        /// Why.
        source: Box<RegistryError>,
    },
}

impl Classified for WaitError {
    fn fault(&self) -> Fault {
        match self {
            Self::Failed { .. } => Fault::Build,
            Self::Api(error) => error.fault(),
            _ => Fault::Environment,
        }
    }
}

/// Waits for the image.
///
/// # Errors
///
/// A [`WaitError`] as soon as it is clear that the image does not come, or when time is up.
pub async fn wait(
    client: &Client,
    registry: &registry::Client,
    request: &Request,
    sameness: Sameness<'_>,
    notices: &Notices,
) -> Result<Ready, WaitError> {
    match presence(registry, &request.expected).await {
        Ok(Presence::Here(digest)) => return Ok(Ready { digest, run: None }),
        Ok(_) => {}
        Err(error) => notices(&format!("cannot ask the registry yet: {error}")),
    }
    let start = Instant::now();
    let mut said = String::new();
    let mut last: Option<WorkflowRun> = None;
    loop {
        let left = request.timeout.saturating_sub(start.elapsed());
        let revision = &request.expected.revision;
        match client.with_patience(left).workflow_runs(&request.workflow, revision).await {
            Ok(runs) => last = choose(runs, request.number).or(last),
            // What may pass is waited out: the build goes on meanwhile.
            Err(error) if passes(&error) => notices(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        if let Some(run) = &last {
            let line = describe(run);
            if line != said {
                notices(&format!("{line} after {} s", start.elapsed().as_secs()));
                said = line;
            }
            if run.status.as_deref() == Some("completed") {
                return finish(registry, request, sameness, run).await;
            }
        }
        give_up(request, last.as_ref(), start.elapsed())?;
        tokio::time::sleep(request.interval.min(request.timeout)).await;
    }
}

/// The run that decides: the newest of this commit that publishes the wanted image.
///
/// A push to a branch and the pull request from it have runs of the same commit; only the latter
/// publishes `pr-N`. Runs of a fork's commit name no pull request.
fn choose(runs: Vec<WorkflowRun>, number: Option<u64>) -> Option<WorkflowRun> {
    runs.into_iter().find(|run| {
        let of_pull_request = run.event.starts_with("pull_request");
        match number {
            None => !of_pull_request,
            Some(number) => {
                let numbers = &run.pull_requests;
                of_pull_request
                    && (numbers.is_empty() || numbers.iter().any(|other| other.number == number))
            }
        }
    })
}

fn describe(run: &WorkflowRun) -> String {
    let status = run.status.as_deref().unwrap_or("unknown");
    let attempt =
        if run.run_attempt > 1 { format!(", attempt {}", run.run_attempt) } else { String::new() };
    let conclusion = run.conclusion.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
    format!("the image build is {status}{conclusion}{attempt}: {}", run.html_url)
}

fn give_up(
    request: &Request,
    run: Option<&WorkflowRun>,
    elapsed: Duration,
) -> Result<(), WaitError> {
    let revision = request.expected.revision.clone();
    let seconds = elapsed.as_secs();
    match run {
        None if elapsed >= request.appear.min(request.timeout) => {
            let workflow = request.workflow.clone();
            Err(WaitError::NoRun { workflow, revision, seconds })
        }
        Some(run) if elapsed >= request.timeout => Err(WaitError::TimedOut {
            revision,
            status: run.status.clone().unwrap_or_default(),
            seconds,
            url: run.html_url.clone(),
        }),
        _ => Ok(()),
    }
}

async fn finish(
    registry: &registry::Client,
    request: &Request,
    sameness: Sameness<'_>,
    run: &WorkflowRun,
) -> Result<Ready, WaitError> {
    let expected = &request.expected;
    let (image, url) = (expected.image.to_string(), run.html_url.clone());
    if run.conclusion.as_deref() != Some("success") {
        let conclusion = run.conclusion.clone().unwrap_or_else(|| "unknown".to_owned());
        let revision = expected.revision.clone();
        return Err(WaitError::Failed { image, revision, conclusion, url });
    }
    let mut seen = Presence::Absent;
    for confirmation in 0..CONFIRMATIONS {
        if confirmation > 0 {
            tokio::time::sleep(request.interval.min(CONFIRMATION_PAUSE)).await;
        }
        seen = presence(registry, expected).await.map_err(|source| WaitError::Registry {
            image: image.clone(),
            source: Box::new(source),
        })?;
        if let Presence::Here(digest) = seen {
            return Ok(Ready { digest, run: Some(url) });
        }
        if let Presence::Other { digest, revision: Some(revision) } = &seen
            && same_files(sameness.git, revision, &expected.revision, sameness.globs).await
        {
            return Ok(Ready { digest: *digest, run: Some(url) });
        }
    }
    Err(match seen {
        Presence::Other { revision: found, .. } => WaitError::Other {
            image,
            found: found.unwrap_or_else(|| "an unnamed commit".to_owned()),
            revision: expected.revision.clone(),
            url,
        },
        _ => WaitError::Absent { image, url },
    })
}

/// Whether an error may be gone at the next look.
fn passes(error: &ApiError) -> bool {
    match error {
        ApiError::Transport { .. } => true,
        ApiError::Status { status, .. } => *status >= 500 || *status == 408,
        _ => false,
    }
}
