//! `kitwright doctor`: what this machine lacks.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Tell what this machine lacks and the command that mends it
#[derive(Debug, Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright doctor` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
