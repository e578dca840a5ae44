//! The second make of registry: go-containerregistry's, built once by the Go that is installed.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::registry::{self, Registry};
use crate::support::tool;

/// Starts it, or says that the test is skipped because there is no Go.
pub fn start() -> Option<Registry> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let [go] = tool::need(["go"])?;
    let program = PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second-registry");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/second");
        let mut build = Command::new(go);
        build.args(["build", "-o"]).arg(&program).arg(".").current_dir(folder);
        let status = build.status().expect("go can be started");
        assert!(status.success(), "the second registry does not build");
        program
    });
    Some(registry::start_other(program))
}

/// One running registry of each make, with its name for messages.
pub fn each() -> Vec<(&'static str, Registry)> {
    let both = [("docker-registry", registry::start()), ("go-containerregistry", start())];
    both.into_iter().filter_map(|(name, registry)| Some((name, registry?))).collect()
}
