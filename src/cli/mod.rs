//! The command line: the clap tree, one file per subcommand, error reports and exit codes.
use std::process::ExitCode;

/// Runs the command line and returns the process's exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
