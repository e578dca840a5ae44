//! `kitwright ci`: the CI logic.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Tags, detection, waiting, comments and summaries in CI
#[derive(Debug, Args)]
pub(super) struct Ci {}

impl Ci {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright ci` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
