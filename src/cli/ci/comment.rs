//! `kitwright ci comment`: tells the pull request about its image.
use std::path::PathBuf;

use clap::Args;

use super::context::{Context, Job, block_on, stdout};
use crate::ci::comment::{self, Content};
use crate::ci::detect::Detection;
use crate::ci::event::{Event, PullRequest, Subject};
use crate::ci::image::{self, Request, Sources};
use crate::ci::lookup;
use crate::ci::record::{Metadata, Record};
use crate::cli::report::Failure;

/// Write or update the one comment about the image on the pull request
///
/// Does nothing for a pull request that leaves the image alone, and never comments for a fork.
#[derive(Debug, Args)]
pub(super) struct Comment {
    #[command(flatten)]
    context: Context,
    /// The build's metadata file
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// The build's timeline, or its `rawjson` progress
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Answer {
    outcome: Option<comment::Outcome>,
    url: Option<String>,
}

impl Comment {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let metadata = self.metadata.as_deref().map(Metadata::load).transpose()?;
        let record = self.timeline.as_deref().map(Record::load).transpose()?;
        block_on(speak(&job, metadata.unwrap_or_default(), record.unwrap_or_default()))
    }
}

async fn speak(job: &Job, metadata: Metadata, record: Record) -> Result<(), Failure> {
    let event = job.event()?;
    let Subject::PullRequest(pull_request) = &event.subject else {
        (job.notices)("no pull request, no comment");
        return job.publish(&Answer { outcome: None, url: None });
    };
    let request = Request {
        settings: &job.settings,
        touched: None,
        key: None,
        server_url: job.environment.server_url(),
        dry_run: job.dry_run,
    };
    let (git, registry) = (job.git(), job.registry());
    let sources = Sources { git: &git, client: None, registry: &registry, notices: &job.notices };
    let detection = super::image::detection(job, &event, sources, &request, true).await?;
    let decision = image::decide(&event, detection, sources, &request).await?;
    if !decision.plan.comment {
        (job.notices)("the image of this pull request is not published: no comment");
        return job.publish(&Answer { outcome: None, url: None });
    }
    let image = decision.repository.with_tag(&decision.plan.image)?;
    let found = match lookup::inspect(&registry, &image).await {
        Ok(found) => found,
        Err(error) => {
            (job.notices)(&format!("cannot look at `{image}`: {error}"));
            None
        }
    };
    let digest = metadata.digest.or_else(|| found.as_ref().map(|found| found.digest.to_string()));
    let content = Content {
        digest,
        size: found.map(|found| found.size),
        record,
        ..content(job, &event, pull_request, &image.to_string(), decision.detection)
    };
    if job.dry_run {
        return stdout(&comment::render(&content, None));
    }
    let client = job.client(&event.repository)?;
    let author = &job.settings.comment_author;
    let (outcome, comment) =
        comment::upsert(&client, pull_request.number, author, &content).await?;
    job.publish(&Answer { outcome: Some(outcome), url: Some(comment.url) })
}

fn content(
    job: &Job,
    event: &Event,
    pull_request: &PullRequest,
    image: &str,
    detection: Option<Detection>,
) -> Content {
    let environment = &job.environment;
    let run_url = environment
        .run_id()
        .map(|run| format!("{}/{}/actions/runs/{run}", environment.server_url(), event.repository));
    Content {
        image: image.to_owned(),
        revision: pull_request.head.sha.clone(),
        paths: detection.map(|detection| detection.paths).unwrap_or_default(),
        run_url,
        try_it: job.settings.try_it.replace("{image}", image),
        run: (environment.run_id().unwrap_or(0), environment.run_attempt().unwrap_or(1)),
        ..Content::default()
    }
}
