//! `kitwright compile`: compiles a Dockerfile without an engine.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Compile a Dockerfile to LLB without an engine
#[derive(Debug, Args)]
pub(super) struct Compile {}

impl Compile {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright compile` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
