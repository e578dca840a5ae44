//! Import planning, cache exports, and cache mounts that outlive their engine.
pub mod config;
pub mod hierarchy;
pub mod mounts;
pub mod probe;
