//! Caches: which are read and written, and what happens when they break.
mod assembling;
mod exports;
mod faults;
pub(crate) mod gha;
mod holding;
pub(crate) mod kit;
mod local;
mod packing;
mod parts;
mod requests;
mod table;
