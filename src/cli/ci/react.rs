//! `kitwright ci react`: answers a comment at a glance.
use clap::{Args, ValueEnum};

use super::context::{Context, block_on};
use crate::ci::event::{Event, Subject};
use crate::ci::github::Reaction;
use crate::cli::report::Failure;
use crate::fault::{Classified, Fault};

/// React to the event's comment with how the job went
#[derive(Debug, Args)]
pub(super) struct React {
    #[command(flatten)]
    context: Context,
    /// How it went, as `job.status` says it
    #[arg(long, value_enum)]
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// Under way
    Started,
    /// Done
    Success,
    /// Failed
    Failure,
    /// Stopped
    Cancelled,
}

/// The event is no comment.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{event}` is not a comment on a pull request, so there is nothing to react to")]
struct NotAComment {
    event: String,
}

impl Classified for NotAComment {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl React {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let Event { subject, repository, name: event, .. } = job.event()?;
        let Subject::Comment(comment) = subject else {
            return Err(NotAComment { event }.into());
        };
        let reaction = match self.outcome {
            Outcome::Started => Reaction::Eyes,
            Outcome::Success => Reaction::Rocket,
            Outcome::Failure | Outcome::Cancelled => Reaction::ThumbsDown,
        };
        if job.dry_run {
            (job.notices)(&format!("would react with `{}`", reaction.content()));
            return Ok(());
        }
        let client = job.client(&repository)?;
        block_on(async { Ok(client.react(comment.id, reaction).await?) })
    }
}
