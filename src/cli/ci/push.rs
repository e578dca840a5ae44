//! `kitwright ci push`: commits and pushes what a generation changed.
use clap::Args;

use super::context::{Context, Job, block_on};
use crate::ci::event::Subject;
use crate::ci::push::{self, Outcome};
use crate::cli::report::Failure;
use crate::fault::Fault;

/// Commit what changed in the work tree and push it onto the authorised commit
///
/// Outputs: outcome (unchanged, pushed, moved), commit, paths. Pushes nothing when the branch has
/// moved since: says so on the pull request, and fails.
#[derive(Debug, Args)]
pub(super) struct Push {
    #[command(flatten)]
    context: Context,
    /// The commit that was authorised
    #[arg(long, value_name = "COMMIT")]
    onto: String,
    /// The branch to push to
    #[arg(long, value_name = "BRANCH")]
    branch: String,
    /// The commit's message
    #[arg(long, value_name = "TEXT", default_value = "Regenerate")]
    message: String,
}

/// The branch is elsewhere.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("branch `{branch}` has moved from `{onto}` to {now} since it was authorised")]
#[diagnostic(help("nothing was pushed; ask again to regenerate the new head"))]
struct Moved {
    branch: String,
    onto: String,
    now: String,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        block_on(push(&job, &self.onto, &self.branch, &self.message))
    }
}

async fn push(job: &Job, onto: &str, branch: &str, message: &str) -> Result<(), Failure> {
    let event = job.event()?;
    let repository = &event.repository;
    let request = push::Request { repository, branch, onto, message, dry_run: job.dry_run };
    let outcome = push::push(&job.git(), &job.environment, &request).await?;
    job.publish(&outcome)?;
    match outcome {
        Outcome::Unchanged => (job.notices)("the generation changed nothing"),
        Outcome::Pushed { commit, paths } => {
            (job.notices)(&format!("pushed `{commit}` with {} changed files", paths.len()));
        }
        Outcome::WouldPush { commit, paths } => {
            (job.notices)(&format!("would push `{commit}`: {} changed files", paths.len()));
        }
        Outcome::Moved { now } => {
            let now = now.map_or_else(|| "nowhere".to_owned(), |now| format!("`{now}`"));
            if let Subject::Comment(comment) = &event.subject {
                let text = format!(
                    "The branch moved from `{onto}` to {now} while it was regenerated, so nothing \
                     was pushed. Comment `{}` again to regenerate the new head.",
                    job.settings.command
                );
                let client = job.client(repository)?;
                client.create_comment(comment.number, &text).await?;
            }
            let (branch, onto) = (branch.to_owned(), onto.to_owned());
            return Err(Failure::new(Fault::Environment, Moved { branch, onto, now }));
        }
    }
    Ok(())
}
