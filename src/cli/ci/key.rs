//! The content key of a commit: the one that the building workflow's build of it has.
//!
//! Every workflow must come to the same key, whatever it has checked out: most check out GitHub's merge
//! of a pull request, the building one its head. So the commit's own files are used, out of git.
use super::context::Job;
use crate::ci::commit::Commit;
use crate::ci::detect::Detection;
use crate::ci::event::{Event, Subject};
use crate::ci::git::Git;
use crate::ci::report::labels;
use crate::cli::args::SourceArgs;
use crate::cli::compilation::{self, Frontend};
use crate::cli::report::Failure;
use crate::cli::source::Source;
use crate::cli::{keys, locking};
use crate::fault::{Classified, Fault};
use crate::key::graph::GraphError;
use crate::key::memory::Memory;
use crate::output::exporter::Output;

/// Why a commit has no key.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum CommitKeyError {
    #[error("cannot make a folder for the commit's files")]
    Folder { source: std::io::Error },
    #[error("another frontend than kitwright's own compiles its Dockerfile")]
    Frontend,
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Classified for CommitKeyError {
    fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } => Fault::Environment,
            Self::Frontend | Self::Graph(_) => Fault::Usage,
        }
    }
}

/// The commit that an event is about.
pub(super) fn commit(event: &Event) -> Option<&str> {
    match &event.subject {
        Subject::PullRequest(pull_request) => Some(&pull_request.head.sha),
        Subject::Branch(branch) => Some(&branch.sha),
        Subject::Comment(_) | Subject::Nothing(_) => None,
    }
}

/// The tag of the content key of a commit's image; none, said aloud, when it cannot be computed.
pub(super) async fn of(job: &Job, git: &Git, event: &Event, sha: &str) -> Option<String> {
    match compute(job, git, event, sha).await {
        Ok(tag) => Some(tag),
        Err(failure) => {
            let short = sha.get(..12).unwrap_or(sha);
            (job.notices)(&format!("no content key for `{short}`: {}", failure.line()));
            None
        }
    }
}

/// Whether the image changes though none of its files do: whether the content keys differ.
///
/// Git is asked first: a change of files that the ignore file leaves out, as most are, changes no key.
pub(super) async fn differs(job: &Job, git: &Git, event: &Event, detection: &Detection) -> bool {
    let (Some(sha), Some(base)) = (commit(event), &detection.merge_base) else { return false };
    let may_differ = match Commit::read(git, sha, &job.settings.dockerfile).await {
        Ok(commit) => commit.may_differ(base).await,
        Err(error) => Err(error),
    };
    match may_differ {
        Ok(false) => false,
        Ok(true) => {
            // Both with the base's labels and images of this moment: only files can differ.
            let Some(ours) = of(job, git, event, sha).await else { return false };
            of(job, git, event, base).await.is_some_and(|theirs| theirs != ours)
        }
        Err(error) => {
            (job.notices)(&format!("cannot compare what builds read: {error}"));
            false
        }
    }
}

async fn compute(job: &Job, git: &Git, event: &Event, sha: &str) -> Result<String, Failure> {
    let dockerfile = &job.settings.dockerfile;
    let folder = tempfile::tempdir().map_err(|source| CommitKeyError::Folder { source })?;
    let files = folder.path().join("files");
    fs_err::create_dir(&files).map_err(|source| CommitKeyError::Folder { source })?;
    Commit::read(git, sha, dockerfile).await?.check_out(&files).await?;
    let mut arguments = SourceArgs {
        context: files.to_string_lossy().into_owned(),
        file: Some(files.join(dockerfile).to_string_lossy().into_owned()),
        label: labels(job.environment.server_url(), &event.repository, sha).into(),
        ..SourceArgs::default()
    };
    let source = Source::read(&arguments)?;
    if Frontend::choose("native", &source).0 != Frontend::Native {
        return Err(CommitKeyError::Frontend.into());
    }
    // As the building workflow does it.
    arguments.locked = locking::path(&arguments, &source)?.exists();
    let parsed = compilation::parse_source(&source)?;
    let options = compilation::options(&source, "ci")?;
    let mut images = locking::images(&arguments, &source, arguments.locked)?;
    let compiled = compilation::compile_source(&parsed, &options, &mut images).await?;
    let shaping = keys::shaping(&[Output::parse(&job.settings.output())?], &options);
    let mut memory = Memory::empty();
    let key = keys::compute(&source, &compiled, &options, &shaping, &mut memory)?;
    Ok(key.map_err(CommitKeyError::from)?.tag())
}
