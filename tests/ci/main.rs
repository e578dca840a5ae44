//! The CI rules against real git repositories, a real registry and a strict stand-in of GitHub.

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod client;
mod comment;
mod detect;
mod github;
mod images;
mod regenerate;
mod repository;
mod tags;
mod wait;
mod workflow_files;
mod workflows;
