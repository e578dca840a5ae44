//! The pure parts of kitwright, built alone: nothing else of it needs to be instrumented.
//!
//! The files are links to those of the crate itself.
#![allow(dead_code, unused_imports, missing_docs)]

pub mod attributes;
pub mod fault;
pub mod oci;
pub mod plan;
