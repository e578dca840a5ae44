//! The private engine from outside: install, start, share, stop, and what a killed process leaves.
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod death;
mod install;
mod kit;
mod parts;
mod rootless;
mod sharing;
