//! Import planning, cache exports, and cache mounts that outlive their engine.
pub mod config;
