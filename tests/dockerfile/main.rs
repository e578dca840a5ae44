//! The compiler held against what BuildKit itself makes of Dockerfiles.
//!
//! `golden/NAME/` holds a Dockerfile, the options given with it, and everything that BuildKit's
//! frontend made of them: the bytes of every op, metadata, source locations and the image config.
//! `cases/` and `corpus/` hold many more with the digests alone; see `case.rs` for their files.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../reference/case.rs"]
mod case;
mod cases;
mod golden;
mod marshal;
#[path = "../reference/outcome.rs"]
mod outcome;
#[path = "../reference/stub.rs"]
mod stub;
