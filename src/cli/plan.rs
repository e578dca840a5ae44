//! `kitwright plan`: what a build would do and why.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Show what a build would do and why
#[derive(Debug, Args)]
pub(super) struct Plan {}

impl Plan {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright plan` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
