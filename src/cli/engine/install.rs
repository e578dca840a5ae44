//! `kitwright engine install`: gets the engine onto this machine.
use clap::Args;

use super::super::report::Failure;
use crate::engine::programs::Programs;
use crate::engine::state::StateDir;

/// Install buildkitd, buildctl and an OCI runtime
#[derive(Debug, Args)]
pub(super) struct Install {}

impl Install {
    pub(super) fn run(self, state: &StateDir) -> Result<(), Failure> {
        let Self {} = self;
        Programs::find(state)?;
        Ok(())
    }
}
