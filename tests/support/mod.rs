//! The real parts that integration tests run against, each started by the tests themselves.
//!
//! | module | gives |
//! |---|---|
//! | [`engine`] | a real `buildkitd`: one shared by the whole test binary, or an own one |
//! | [`registry`] | real `docker-registry` instances on loopback, open or with a password |
//! | [`proxy`] | a proxy to stand before a registry: delays, cuts, corrupts, counts |
//! | [`base`] | a small busybox image, as an OCI layout and pushed where asked |
//! | [`docker`] | a real Docker daemon, whose containers have no network |
//! | [`http`] | requests to a registry, to look at what a build has pushed |
//! | [`tap`] | what a client sends to an engine |
//! | [`tool`] | where the programs are, and the rule for missing ones |
//! | [`watched`] | processes that end with the test binary, however that ends |
//!
//! Whatever needs a program returns an `Option`: `let Some(engine) = engine::shared() else { return };`.
//! With a program missing the test says `skipped` on stderr; with `CI=true` it fails.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]

pub mod base;
pub mod docker;
pub mod engine;
pub mod http;
pub mod proxy;
pub mod registry;
pub mod tap;
pub mod tool;
pub mod watched;
