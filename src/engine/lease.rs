//! The words that clients and the supervisor of the private engine exchange.
//!
//! Both sides write one JSON object a line over a unix socket. A client sends one [`Request`]; the
//! supervisor answers with one or more [`Reply`]. An open connection whose request was `Lease` is a
//! lease: its end, by whatever cause, gives the lease back.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::asks::Asks;

/// Raised when older programs could not follow.
pub(crate) const PROTOCOL: u32 = 1;

/// What a client wants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The client's [`PROTOCOL`].
    pub protocol: u32,
    /// What it wants.
    pub wish: Wish,
}

/// The things a client may want.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// A running engine for as long as the connection lasts.
    Lease(Asks),
    /// The same, and that it goes on running afterwards.
    Keep(Asks),
    /// That it no longer goes on running by itself; the connection then ends with the engine.
    Stop,
    /// How it is.
    Status,
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The engine runs.
    Ready(Running),
    /// The engine did not start, or has died.
    Failed {
        /// What happened.
        message: String,
        /// The last lines of its log.
        log: String,
    },
    /// The engine runs with another configuration; the connection ends with the engine.
    Differs {
        /// What the client asks for and the engine lacks.
        lacks: String,
        /// Whether it goes on running by itself, so that waiting for its end makes no sense.
        kept: bool,
    },
    /// How the engine is.
    Status(Status),
    /// The stop was noted; so many builds still use the engine.
    Stopping {
        /// The number of leases.
        leases: usize,
    },
    /// The engine has stopped; nothing follows.
    Stopped,
    /// Client and supervisor are of different versions of kitwright.
    Protocol {
        /// The supervisor's.
        protocol: u32,
    },
}

/// A running engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Where it listens: `unix:///…/buildkitd.sock`.
    pub address: String,
    /// The process id of the daemon, or of what runs it in a user namespace.
    pub pid: u32,
    /// The program that runs.
    pub buildkitd: PathBuf,
    /// How long it took from its start to its readiness, in milliseconds.
    pub boot_ms: u64,
    /// Whether it runs in a user namespace, without root's rights.
    pub rootless: bool,
}

/// How the private engine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The engine, once it is ready.
    pub running: Option<Running>,
    /// Whether it goes on running when no build uses it.
    pub kept: bool,
    /// How many clients use it.
    pub leases: usize,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// What it was started with.
    pub asks: Asks,
}
