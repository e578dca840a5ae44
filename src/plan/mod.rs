//! The pure compiler: Dockerfile text in, LLB out.
//!
//! Nothing below this module does I/O or knows an async runtime: the files it needs are handed in
//! as bytes, and configs of base images are asked for through a trait.

pub mod dockerfile;
pub mod llb;
pub mod lock;
pub mod pattern;
