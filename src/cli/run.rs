//! `kitwright run`: runs a command in an image over the working tree.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Run a command in an image over the working tree
#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright run` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
