//! `kitwright engine install`: gets the engine onto this machine.
use clap::{Args, ValueEnum};

use super::super::report::Failure;
use super::{Format, print, run_async};
use crate::engine::install::{self, Options};
use crate::engine::programs::{Origin, Program};
use crate::engine::state::StateDir;

/// Install buildkitd, buildctl and an OCI runtime
///
/// Takes what is on PATH if it is new enough, else the release by its pinned digest, else builds it
/// from source through Go's module proxy. Does nothing when the engine is installed and in order.
#[derive(Debug, Args)]
pub(super) struct Install {
    /// Exactly the pinned BuildKit, whatever is on PATH
    #[arg(long)]
    pinned: bool,
    /// Only this way, instead of trying one after the other
    #[arg(long, value_enum, conflicts_with = "pinned")]
    from: Option<From>,
    /// Do not list the programs in the end
    #[arg(short, long)]
    quiet: bool,
    /// `text` or `json`
    #[arg(long, value_enum, default_value = "text", conflicts_with = "quiet")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// What is on PATH
    System,
    /// The release tarball
    Release,
    /// Go's module proxy
    Go,
}

impl Install {
    pub(super) fn run(self, state: &StateDir) -> Result<(), Failure> {
        let from = self.from.map(|from| match from {
            From::System => Origin::System,
            From::Release => Origin::Release,
            From::Go => Origin::Go,
        });
        let options = Options { pinned: self.pinned, from, notice: |line| eprintln!("{line}") };
        run_async(async {
            let programs = install::install(state, &options).await?;
            if self.format == Format::Json {
                let text = serde_json::to_string_pretty(&programs).unwrap_or_default();
                return print(&format!("{text}\n"));
            }
            for program in programs.all().filter(|_| !self.quiet) {
                let Program { path, version, origin, .. } = program;
                eprintln!("{} {version} ({origin})", path.display());
            }
            Ok(())
        })
    }
}
