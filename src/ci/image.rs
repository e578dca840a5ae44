//! From an event to the image that a job uses: the way all the commands begin.
use std::time::Duration;

use super::detect::{Detection, Question, detect};
use super::event::{Event, PullRequest, Subject};
use super::git::{Git, GitError};
use super::github::{ApiError, Client, Notices};
use super::lookup::{self, Expected, Presence, key_reference, presence};
use super::report::Report;
use super::settings::{Settings, SettingsError};
use super::tags::{self, Action, Plan, TagError};
use super::wait::{self, Sameness, WaitError};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::registry::{self, RegistryError};

/// An image that cannot be named or found.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImageError {
    /// The settings are of no use.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] SettingsError),
    /// The table has no row for the event.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tags(#[from] TagError),
    /// Git does not answer.
    #[error("cannot tell whether pull request {number} touches the image")]
    #[diagnostic(help("`--touched true` or `--touched false` answers for git"))]
    Detect {
        /// The pull request.
        number: u64,
        /// Why not.
        source: GitError,
    },
    /// A tag or key breaks the grammar.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// GitHub's API failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] ApiError),
    /// The wait ended badly.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Wait(#[from] WaitError),
    /// The registry does not answer.
    #[error("cannot look for `{image}`")]
    Registry {
        /// The image.
        image: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// The base branch has no image yet.
    #[error("`{image}` does not exist")]
    #[diagnostic(help("a push to its branch publishes it: run the building workflow there once"))]
    Absent {
        /// The image.
        image: String,
    },
    /// The pull request has moved on from the commit that was asked for.
    #[error("pull request {number} is at `{head}`, not at `{wanted}`")]
    #[diagnostic(help("it was pushed to in between: start again from its new head"))]
    Moved {
        /// The pull request.
        number: u64,
        /// Where it is.
        head: String,
        /// The commit that was asked for.
        wanted: String,
    },
}

impl Classified for ImageError {
    fn fault(&self) -> Fault {
        match self {
            Self::Settings(_) | Self::Tags(_) | Self::Reference(_) | Self::Moved { .. } => {
                Fault::Usage
            }
            Self::Api(error) => error.fault(),
            Self::Wait(error) => error.fault(),
            Self::Detect { source, .. } => source.fault(),
            Self::Registry { .. } | Self::Absent { .. } => Fault::Environment,
        }
    }
}

/// What a job asks for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// Answers in git's stead whether a pull request touches the image.
    pub touched: Option<bool>,
    /// The content key of the checked-out commit, where it is known.
    pub key: Option<&'a str>,
    /// Where people look at repositories.
    pub server_url: &'a str,
    /// Whether to try things out: what cannot be reached is noted and left out.
    pub dry_run: bool,
}

/// Who is asked.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// What changed.
    pub git: &'a Git,
    /// What runs; needed for waiting alone.
    pub client: Option<&'a Client>,
    /// What is there.
    pub registry: &'a registry::Client,
    /// Who is told meanwhile.
    pub notices: &'a Notices,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two looks.
    pub interval: Duration,
    /// In all.
    pub timeout: Duration,
    /// Until a run must have appeared.
    pub appear: Duration,
}

/// An event's row of the table, with what led to it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The row.
    pub plan: Plan,
    /// The image's repository.
    pub repository: ImageReference,
    /// What git said of a pull request.
    pub detection: Option<Detection>,
    /// The digest of the key's image, when the key was asked for and found.
    pub key_digest: Option<Digest>,
}

/// Replaces a comment by the pull request that it is on, asked for at GitHub.
///
/// `number` and `sha` name another pull request and a commit that it must still be at.
///
/// # Errors
///
/// [`ImageError::Api`] when GitHub does not answer, [`ImageError::Moved`] when the head is another.
pub async fn resolve(
    mut event: Event,
    client: Option<&Client>,
    number: Option<u64>,
    sha: Option<&str>,
) -> Result<Event, ImageError> {
    let asked = match &event.subject {
        Subject::Comment(comment) => Some(number.unwrap_or(comment.number)),
        _ => number,
    };
    if let (Some(number), Some(client)) = (asked, client) {
        let pull_request: PullRequest = client.pull_request(number).await?;
        event.subject = Subject::PullRequest(pull_request);
    }
    if let (Subject::PullRequest(pull_request), Some(wanted)) = (&event.subject, sha)
        && pull_request.head.sha != wanted
    {
        let (number, head) = (pull_request.number, pull_request.head.sha.clone());
        return Err(ImageError::Moved { number, head, wanted: wanted.to_owned() });
    }
    Ok(event)
}

/// Reads the table for `event`, given what git said of a pull request; asks the registry for the key.
///
/// # Errors
///
/// An [`ImageError`] that names what could not be answered.
pub async fn decide(
    event: &Event,
    mut detection: Option<Detection>,
    sources: Sources<'_>,
    request: &Request<'_>,
) -> Result<Decision, ImageError> {
    let Sources { registry, notices, .. } = sources;
    let repository = request.settings.image_repository(&event.repository)?;
    let mut key_digest = None;
    if let Some(key) = request.key {
        let reference = key_reference(&repository, key)?;
        key_digest = look(registry, &reference, request, notices).await?;
        if let (Some(detection), None) = (&mut detection, key_digest)
            && !detection.touched
        {
            notices("no file of the image changed, but its content key did: it counts as touched");
            detection.touched = true;
        }
    }
    let touched = detection.as_ref().is_some_and(|detection| detection.touched);
    let plan = tags::plan(event, request.settings, touched)?;
    Ok(Decision { plan, repository, detection, key_digest })
}

/// Asks git whether a pull request changes any of the image's files; none for other events.
///
/// # Errors
///
/// [`ImageError::Detect`] when git does not answer.
pub async fn detection(
    event: &Event,
    sources: Sources<'_>,
    request: &Request<'_>,
) -> Result<Option<Detection>, ImageError> {
    let Sources { git, notices, .. } = sources;
    let Subject::PullRequest(pull_request) = &event.subject else { return Ok(None) };
    if let Some(touched) = request.touched {
        let (paths, merge_base) = (Vec::new(), None);
        return Ok(Some(Detection { touched, paths, merge_base, deepened: false }));
    }
    let globs = request.settings.touch_globs();
    let base = &pull_request.base.branch;
    let (branch, _) = tags::base_image(event, Some(base), request.settings)?;
    let question = Question {
        head: &pull_request.head.sha,
        number: pull_request.number,
        base: &branch,
        base_sha: if branch == *base { &pull_request.base.sha } else { "" },
        globs: &globs,
        offline: request.dry_run,
    };
    let number = pull_request.number;
    let found = detect(git, &question, notices).await;
    found.map(Some).map_err(|source| ImageError::Detect { number, source })
}

/// Completes a decision with the image's digest, waiting for it if `patience` says so.
///
/// # Errors
///
/// An [`ImageError`] when the image is not there, or does not come.
pub async fn find(
    event: &Event,
    decision: &Decision,
    sources: Sources<'_>,
    request: &Request<'_>,
    patience: Option<Patience>,
) -> Result<Report, ImageError> {
    let Sources { git, client, registry, notices } = sources;
    let Decision { plan, repository, detection, key_digest } = decision;
    let mut report =
        Report::new(event, plan.clone(), repository, detection.as_ref(), request.server_url)?;
    report.key = request.key.map(str::to_owned);
    let image = repository.with_tag(&plan.image)?;
    let digest = match (plan.action, *key_digest) {
        (Action::Build, _) => None,
        (_, Some(digest)) => Some(digest),
        (Action::Use, None) => match look(registry, &image, request, notices).await? {
            None if !request.dry_run => {
                return Err(ImageError::Absent { image: image.to_string() });
            }
            digest => digest,
        },
        (Action::Wait, None) => {
            let wanted = expected(decision, image.clone(), request)?;
            match (patience, client) {
                (Some(patience), Some(client)) if !request.dry_run => {
                    let asked = wait::Request {
                        workflow: request.settings.workflow.clone(),
                        expected: wanted,
                        number: plan.number,
                        interval: patience.interval,
                        timeout: patience.timeout,
                        appear: patience.appear,
                    };
                    let globs = request.settings.touch_globs();
                    let sameness = Sameness { git, globs: &globs };
                    let ready = wait::wait(client, registry, &asked, sameness, notices).await?;
                    report.run = ready.run;
                    Some(ready.digest)
                }
                _ => present(registry, &wanted, request, notices).await?,
            }
        }
    };
    if let Some(digest) = digest {
        report.action = Action::Use;
        report.digest = Some(digest.to_string());
        report.pinned = Some(image.with_digest(digest).to_string());
    }
    Ok(report)
}

/// What tells that the image is the plan's commit's.
fn expected(
    decision: &Decision,
    image: ImageReference,
    request: &Request<'_>,
) -> Result<Expected, ImageError> {
    let Decision { plan, repository, .. } = decision;
    let key = request.key.map(|key| key_reference(repository, key)).transpose()?;
    let commit = plan.publish.iter().find(|tag| tag.contains("-sha-"));
    let commit = commit.map(|tag| repository.with_tag(tag)).transpose()?;
    let revision = plan.revision.clone().unwrap_or_default();
    Ok(Expected { image, revision, key, commit })
}

async fn present(
    registry: &registry::Client,
    wanted: &Expected,
    request: &Request<'_>,
    notices: &Notices,
) -> Result<Option<Digest>, ImageError> {
    match presence(registry, wanted).await {
        Ok(Presence::Here(digest)) => Ok(Some(digest)),
        Ok(_) => Ok(None),
        Err(error) => unreachable_registry(&wanted.image, error, request, notices),
    }
}

async fn look(
    registry: &registry::Client,
    reference: &ImageReference,
    request: &Request<'_>,
    notices: &Notices,
) -> Result<Option<Digest>, ImageError> {
    match lookup::digest(registry, reference).await {
        Ok(digest) => Ok(digest),
        Err(error) => unreachable_registry(reference, error, request, notices),
    }
}

/// On a laptop a registry out of reach is a note: the rest of the answer still stands.
fn unreachable_registry(
    image: &ImageReference,
    error: RegistryError,
    request: &Request<'_>,
    notices: &Notices,
) -> Result<Option<Digest>, ImageError> {
    if request.dry_run {
        notices(&format!("cannot look for `{image}`: {error}"));
        return Ok(None);
    }
    Err(ImageError::Registry { image: image.to_string(), source: Box::new(error) })
}
