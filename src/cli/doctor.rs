//! `kitwright doctor`: what this machine lacks.
use std::path::PathBuf;

use clap::Args;

use super::engine::{Format, print, run_async, state_dir};
use super::report::Failure;
use crate::engine::doctor::{self, Report, Subject, Verdict, Way};
use crate::fault::Fault;

/// Tell what this machine lacks and the command that mends it
///
/// Exits with 3 when builds can't work here as things are.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// `text` or `json`
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
        let docker_config = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or(home);
        let subject = Subject { state: state_dir()?, docker_config };
        run_async(async {
            let report = doctor::examine(&subject).await;
            match self.format {
                Format::Json => print(&format!("{}\n", as_json(&report)))?,
                Format::Text => print(&as_text(&report))?,
            }
            if report.is_good() { Ok(()) } else { Err(Failure::silent(Fault::Environment)) }
        })
    }
}

fn as_json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default()
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Good => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Bad => "BAD ",
        };
        text += &format!("{mark}  {:<22} {}\n", check.name, check.found);
        if let Some(mend) = &check.mend {
            text += &format!("{:30}-> {mend}\n", "");
        }
    }
    text += match report.way {
        Way::Root => "\nThe engine runs as root here.\n",
        Way::Rootless => "\nThe engine runs rootless here, in a user namespace.\n",
        Way::Sudo => {
            "\nThe engine can't run rootless here as things are; `sudo kitwright build` works.\n"
        }
        Way::Remote => {
            "\nThe engine can't run here as things are; name one on another machine with --builder.\n"
        }
    };
    text
}
