//! `kitwright image`: registry and local image store.
use clap::Args;

use super::report::Failure;
use crate::fault::Fault;

/// Inspect, pull, promote and list images
#[derive(Debug, Args)]
pub(super) struct Image {}

impl Image {
    pub(super) fn run(self) -> Result<(), Failure> {
        let _ = self;
        eprintln!("error: `kitwright image` does not work yet");
        Err(Failure::silent(Fault::Internal))
    }
}
