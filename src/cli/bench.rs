//! `kitwright bench`: timings.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Measure cold, warm and incremental builds
#[derive(Debug, Args)]
pub(super) struct Bench {}

impl Bench {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright bench` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
