//! Kitwright builds OCI images from Dockerfiles with BuildKit, without a Docker daemon.
//!
//! Data flows downwards through the crate:
//!
//! ```text
//! argv + env + kitwright.toml
//!    | cli        flags -> a validated build request
//!    v
//!  plan           pure: Dockerfile text -> stages -> LLB state -> Definition (bytes, digests)
//!    v
//!  key            resolved LLB + context digests -> content key; a hit needs no engine
//!    v
//!  cache          probe cache refs, keep their order, choose imports and exports
//!    v
//!  engine         address -> channel, or a private buildkitd; session, solve, status
//!    v
//!  output         exporters, metadata, progress, timeline
//!    v
//!  ci             GitHub: tags, change detection, waiting, comments
//! ```
//!
//! [`oci`] holds what all of them share: digests, references, platforms, image configs, and the
//! registry client. `plan` is pure: it does no I/O, knows no async runtime and asks for base images
//! through a trait. `plan` never imports `engine`, `oci::registry`, `ci` or `cli`; `engine` never
//! imports `cli`, `output` or `ci`. `tests/layering.rs` holds these walls.

pub mod attributes;
pub mod bench;
pub mod cache;
pub mod ci;
pub mod cli;
pub mod engine;
pub mod fault;
pub mod key;
pub mod oci;
pub mod output;
pub mod parallel;
pub mod plan;
