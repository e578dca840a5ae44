//! BuildKit daemons: addresses, connections, sessions, solves, and private engines.
//!
//! A build goes through four of these modules: [`address`] reads where the daemon is,
//! [`connect`] opens the one connection, [`session`] holds what the daemon may ask of the client,
//! and [`solve`] runs the build and passes on the [`status`] events.

pub mod address;
pub mod asks;
mod call;
pub mod client;
mod config;
pub mod connect;
mod cork;
mod daemon;
mod dial;
pub mod doctor;
pub mod failure;
pub mod gateway;
pub mod hold;
pub mod host_ca;
mod http;
pub mod identity;
pub mod install;
mod lease;
pub mod open_session;
pub mod private;
pub mod programs;
pub mod session;
pub mod solve;
pub mod state;
pub mod status;
pub mod supervisor;
mod targets;
mod tls;
pub mod unsynced;
