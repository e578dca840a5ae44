//! `kitwright ci summary`: the job's page and the notes on Dockerfile lines.
use std::path::PathBuf;

use clap::Args;

use super::context::{Context, stdout};
use crate::ci::publish;
use crate::ci::record::{Metadata, Record};
use crate::ci::summary;
use crate::cli::report::Failure;

/// Write the job's summary: the image, the build's timeline, notes on Dockerfile lines
#[derive(Debug, Args)]
pub(super) struct Summary {
    #[command(flatten)]
    context: Context,
    /// The build's timeline, or its `rawjson` progress
    #[arg(long, value_name = "FILE")]
    timeline: PathBuf,
    /// The build's metadata file; a build that failed has none
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// The Dockerfile that was built [default: from `kitwright.toml`, else `gen.Dockerfile`]
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

impl Summary {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let record = Record::load(&self.timeline)?;
        let metadata = self.metadata.filter(|path| path.exists());
        let metadata = metadata.as_deref().map(Metadata::load).transpose()?;
        let file = self.file.unwrap_or_else(|| job.settings.dockerfile.clone());
        let dockerfile = fs_err::read_to_string(job.path(&file)).unwrap_or_default();
        for annotation in summary::annotations(&record, &file, &dockerfile) {
            // A workflow command: the runner reads both streams, and stdout is for data.
            eprintln!("{}", annotation.command());
        }
        let text = summary::render(&record, metadata.as_ref());
        stdout(&publish::summary(&text, &job.environment, job.dry_run)?)
    }
}
