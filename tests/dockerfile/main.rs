//! The compiler held against definitions that BuildKit itself made, byte by byte.
//!
//! `golden/NAME/` holds a Dockerfile, the options given with it, and everything that BuildKit's
//! frontend made of them: the bytes of every op, metadata, source locations and the image config.
//! `cases/` and `corpus/` hold many more, which the test binary `reference` reads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;
mod marshal;
