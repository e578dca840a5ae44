//! `kitwright engine`: the private engine.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Install, start, stop and inspect the private engine
#[derive(Debug, Args)]
pub(super) struct Engine {}

impl Engine {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright engine` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
