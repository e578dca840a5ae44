//! The second make of registry: go-containerregistry's, built once by the Go that is installed.
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::support::registry::{self, Registry};
use crate::support::tool;

/// Starts it, or says that the test is skipped because there is no Go.
pub fn start() -> Option<Registry> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || tool::build_with_go("second-registry", "tests/registry/second", ".");
    let program = PROGRAM.get_or_init(build).as_ref()?;
    Some(registry::start_other(program))
}

/// One running registry of each make, with its name for messages.
pub fn each() -> Vec<(&'static str, Registry)> {
    let both = [("docker-registry", registry::start()), ("go-containerregistry", start())];
    both.into_iter().filter_map(|(name, registry)| Some((name, registry?))).collect()
}
