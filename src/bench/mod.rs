//! `kitwright bench`: scenarios, runner, statistics, report.
//!
//! ```text
//! scenario  what is measured        client   how each client is told
//! refs      which caches            lab      engines and registry
//! work      what is built           actions  GitHub's cache service
//!      \      |        generated    /        forward, packages: bytes counted
//!       |     |                      |       broken: registries that do not work
//!       ┴── runner ── measure ─────┴── trace: phases, critical path
//!             |
//!          journal ── sample ── stats ── report
//! ```

pub mod actions;
pub mod broken;
pub mod client;
pub mod forward;
pub mod generated;
pub mod journal;
pub mod lab;
pub mod machine;
pub mod measure;
pub mod packages;
pub mod refs;
pub mod report;
pub mod runner;
pub mod sample;
pub mod scenario;
pub mod stats;
pub mod trace;
pub mod work;
