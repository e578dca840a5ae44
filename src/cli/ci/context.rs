//! The flags that the `ci` commands share, and what they make of the job's environment.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::ci::environment::Environment;
use crate::ci::event::Event;
use crate::ci::git::Git;
use crate::ci::github::{Client, Notices};
use crate::ci::markdown::one_line;
use crate::ci::publish::{self, Format};
use crate::ci::settings::Settings;
use crate::cli::report::{Failure, StdoutError};
use crate::fault::{Classified, Fault};
use crate::oci::registry;

/// Where the event comes from and where the answer goes
#[derive(Debug, Args)]
pub(super) struct Context {
    /// The event's payload [default: `GITHUB_EVENT_PATH`]
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The event's name [default: `GITHUB_EVENT_NAME`, or told from the payload]
    #[arg(long, value_name = "NAME")]
    event_name: Option<String>,
    /// Change nothing anywhere: show what would be done
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer [default: `github` in a workflow, else `json`]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// The repository's work tree, with `kitwright.toml`
    #[arg(long, value_name = "DIR", default_value = ".")]
    work_tree: PathBuf,
    /// The image's repository [default: from `kitwright.toml`, else `ghcr.io/OWNER/REPO/ci`]
    #[arg(long, value_name = "REPOSITORY", env = "KITWRIGHT_CI_IMAGE")]
    image: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// One JSON object on stdout
    Json,
    /// Step outputs, to `GITHUB_OUTPUT` where it is set
    Github,
}

/// The flags' meaning, ready for work.
pub(super) struct Job {
    pub(super) environment: Environment,
    pub(super) settings: Settings,
    pub(super) dry_run: bool,
    pub(super) notices: Notices,
    format: Format,
    work_tree: PathBuf,
}

impl Context {
    pub(super) fn job(self) -> Result<Job, Failure> {
        let mut environment = Environment::of_process();
        if let Some(event) = &self.event {
            let path = event.to_string_lossy();
            environment = environment
                .with("GITHUB_EVENT_PATH", Some(&path))
                .with("GITHUB_EVENT_NAME", None)
                .with("GITHUB_ACTOR", None);
        }
        if let Some(name) = &self.event_name {
            environment = environment.with("GITHUB_EVENT_NAME", Some(name));
        }
        let mut settings = Settings::load(&self.work_tree)?;
        if self.image.as_ref().is_some_and(|image| !image.is_empty()) {
            settings.image = self.image;
        }
        let format = match self.format {
            Some(FormatArg::Json) => Format::Json,
            Some(FormatArg::Github) => Format::Github,
            None if environment.in_actions() && !self.dry_run => Format::Github,
            None => Format::Json,
        };
        let notices: Notices = Arc::new(|line: &str| eprintln!("kitwright: {}", one_line(line)));
        let (dry_run, work_tree) = (self.dry_run, self.work_tree);
        Ok(Job { environment, settings, dry_run, notices, format, work_tree })
    }
}

impl Job {
    pub(super) fn event(&self) -> Result<Event, Failure> {
        Ok(Event::load(&self.environment)?)
    }

    pub(super) fn git(&self) -> Git {
        Git::new(&self.work_tree, &self.environment)
    }

    pub(super) fn client(&self, repository: &str) -> Result<Client, Failure> {
        Ok(Client::new(&self.environment, repository, Arc::clone(&self.notices))?)
    }

    pub(super) fn registry(&self) -> registry::Client {
        registry::Client::new(registry::Options::from_env())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.work_tree.join(name)
    }

    /// Writes the answer where the format says.
    pub(super) fn publish(&self, report: &impl Serialize) -> Result<(), Failure> {
        let text = publish::outputs(report, self.format, &self.environment, self.dry_run)?;
        stdout(&text)
    }
}

/// Writes data to stdout.
pub(super) fn stdout(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|source| StdoutError { source }.into())
}

/// Runs a command's asynchronous part.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::from(RuntimeError { source }))?.block_on(future)
}

/// The system gives no event loop.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start the event loop")]
struct RuntimeError {
    source: std::io::Error,
}

impl Classified for RuntimeError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// Reads a length of time such as `20s`, `20m` or `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "write it as `20s`, `20m` or `1h 30m`".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".to_owned())
}
