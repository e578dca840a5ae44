//! What the compiler uses of `oci`.

pub mod config;
pub mod digest;
pub mod go_json;
pub mod go_time;
pub mod platform;
pub mod reference;
