//! The distribution client against real registries of two makes, and against what breaks between.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod command;
mod content;
mod faults;
mod graph;
mod image;
mod promote;
mod redirect;
mod second;
mod store;
mod tls;
mod token;
