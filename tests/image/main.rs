//! The CI image's definition and its stand-ins, as far as they can be checked without building them.
//!
//! | module | checks |
//! |---|---|
//! | [`graph`] | what a bumped version reruns, in the graph that `gen.Dockerfile` compiles to |
//! | [`pins`] | that the pins beside each other agree, and that lock files name no registry |
//! | [`stand_ins`] | `stages/with-bases`: when stand-ins are made, kept, made again, and given on |
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop where tests may")]

mod graph;
mod pins;
mod stand_ins;

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The value of a global `ARG` of `gen.Dockerfile`.
fn version(of: &str) -> String {
    let text = fs_err::read_to_string(root().join("gen.Dockerfile")).unwrap();
    let line = format!("ARG {of}_VERSION=");
    let found = text.lines().find_map(|text| text.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("gen.Dockerfile has no `{line}`")).to_owned()
}
