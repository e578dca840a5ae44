//! `kitwright lock`: pins base images.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Pin the digests of base images
#[derive(Debug, Args)]
pub(super) struct Lock {}

impl Lock {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright lock` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
