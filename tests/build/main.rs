//! The `kitwright` program itself, with a real engine and real registries.
#[path = "../support/mod.rs"]
mod support;

mod actions;
mod addresses;
mod again;
mod ahead;
mod bench;
mod cache;
mod explain;
mod fate;
mod flight;
mod footprint;
mod history;
mod interop;
mod kit;
mod load;
mod mounts;
mod outputs;
mod prediction;
mod priority;
mod refusals;
mod reuse;
mod run;
mod steps;
