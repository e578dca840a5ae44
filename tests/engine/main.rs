//! The client against a real buildkitd: transfers both ways, session services, failures, ends.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod connect;
mod export;
mod failure;
mod gateway;
mod hold;
mod lab;
mod services;
mod transfer;
