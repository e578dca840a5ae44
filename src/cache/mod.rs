//! Import planning, cache exports, and cache mounts that outlive their engine.
pub mod config;
pub mod contexts;
pub mod explain;
pub mod faults;
pub mod github;
pub mod hierarchy;
pub mod importing;
pub mod inline;
pub mod keys;
pub mod mounts;
pub mod predict;
pub mod probe;
pub mod rest;
pub mod watch;
