//! The CI rules against real git repositories, a real registry and a strict stand-in of GitHub.

mod client;
mod detect;
mod github;
mod repository;
mod tags;
