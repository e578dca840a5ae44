//! The `kitwright` command as people and scripts see it: stdout, stderr, exit code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod command;
mod compile;
mod lock;
#[path = "../support/mod.rs"]
mod support;
mod verify;
