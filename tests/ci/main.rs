//! The CI rules against real git repositories, a real registry and a strict stand-in of GitHub.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod adopt;
mod cli;
mod client;
mod comment;
mod detect;
mod github;
mod images;
mod key;
mod regenerate;
mod repository;
mod tags;
mod wait;
mod workflow_files;
mod workflows;
