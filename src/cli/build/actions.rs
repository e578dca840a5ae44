//! What GitHub Actions shows of a build: notes on the Dockerfile's lines, and the job's page.
//!
//! Only in a job, as `GITHUB_ACTIONS` says. Notes are workflow commands between the lines of progress;
//! the page gets the image and a chart of when each step ran.
use std::path::Path;

use super::Built;
use super::result::image_digest;
use crate::ci::environment::Environment;
use crate::ci::publish::{Annotation, summary as publish};
use crate::ci::record::{Metadata, Record};
use crate::ci::summary::render;
use crate::cli::report::Failure;
use crate::cli::source::Source;
use crate::output::progress::Shown;
use crate::plan::dockerfile::lint::Warning;

/// The job that the build runs in.
pub(super) struct Actions {
    environment: Environment,
    /// The Dockerfile, from the top of the repository.
    file: String,
}

impl Actions {
    /// The job, if there is one.
    pub(super) fn find(source: &Source) -> Option<Self> {
        let environment = Environment::of_process();
        let in_job = environment.get("GITHUB_ACTIONS") == Some("true");
        let path = source.dockerfile.path.as_deref()?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let top = environment.get("GITHUB_WORKSPACE").map(Path::new);
        let within = top.and_then(|top| absolute.strip_prefix(top).ok()).unwrap_or(path);
        let file = within.to_string_lossy().trim_start_matches("./").to_owned();
        in_job.then_some(Self { environment, file })
    }

    /// A note for each finding about the Dockerfile.
    pub(super) fn warnings(&self, warnings: &[Warning]) -> Vec<String> {
        let note = |warning: &Warning| Annotation {
            error: false,
            file: self.file.clone(),
            lines: Some((warning.lines.start, warning.lines.end)),
            title: warning.rule().name().to_owned(),
            message: format!("{}\nhelp: {}", warning.finding, warning.finding.fix()),
        };
        warnings.iter().map(|warning| note(warning).command()).collect()
    }

    /// Notes the line that broke the build, and fills the job's page.
    pub(super) fn end(&self, outcome: &Result<Built, Failure>, shown: Option<&Shown>) {
        if let Err(failure) = outcome
            && let Some(lines) = failure.lines()
        {
            let note = Annotation {
                error: true,
                file: self.file.clone(),
                lines: Some(lines),
                title: "The image does not build".to_owned(),
                message: failure.line(),
            };
            eprintln!("{}", note.command());
        }
        let Some(record) = shown.map(record) else { return };
        let metadata = outcome.as_ref().ok().map(|built| {
            let response = &built.result.exporter_response;
            let name = response.get("image.name").cloned();
            Metadata { digest: image_digest(response).map(str::to_owned), name }
        });
        let page = render(&record, metadata.as_ref());
        // The runner makes the file; outside of it the page has no reader.
        if self.environment.get("GITHUB_STEP_SUMMARY").is_some()
            && let Err(error) = publish(&page, &self.environment, false)
        {
            eprintln!("note: {}", Failure::from(error).line());
        }
    }
}

fn record(shown: &Shown) -> Record {
    let timeline = shown.timeline().render(Path::new("timeline.json"));
    Record::parse(&timeline).unwrap_or_default()
}
