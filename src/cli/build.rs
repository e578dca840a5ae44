//! `kitwright build`: builds an image.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Build an image from a Dockerfile
#[derive(Debug, Args)]
pub(super) struct Build {}

impl Build {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright build` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
