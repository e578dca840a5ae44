//! `kitwright ci authorize`: may this comment have the pull request regenerated?
use clap::Args;

use super::context::{Context, Job, block_on};
use crate::ci::authorize::{self, Verdict};
use crate::ci::github::Reaction;
use crate::cli::report::Failure;
use crate::fault::Fault;

/// Decide whether a comment may have its pull request regenerated
///
/// Outputs: allowed, reason, number, sha (the only commit that is authorised), branch, comment.
/// Fails for a command that must not be obeyed; a comment that is none is `allowed=false`.
#[derive(Debug, Args)]
pub(super) struct Authorize {
    #[command(flatten)]
    context: Context,
}

/// A command that is not obeyed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("not authorised: {reason}")]
struct Denied {
    reason: String,
}

impl Authorize {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        block_on(judge(&job))
    }
}

async fn judge(job: &Job) -> Result<(), Failure> {
    let event = job.event()?;
    let client = job.client(&event.repository)?;
    let (verdict, answer) = authorize::authorize(&client, &event, &job.settings.command).await?;
    let reaction = match verdict {
        Verdict::NotACommand => None,
        Verdict::Granted => Some(Reaction::Eyes),
        Verdict::Denied => Some(Reaction::Confused),
    };
    if let (Some(reaction), false) = (reaction, job.dry_run) {
        client.react(answer.comment, reaction).await?;
    }
    job.publish(&answer)?;
    match verdict {
        Verdict::Denied => {
            let reason = answer.reason.unwrap_or_default();
            Err(Failure::new(Fault::Usage, Denied { reason }))
        }
        Verdict::Granted | Verdict::NotACommand => Ok(()),
    }
}
