//! OCI vocabulary shared by the whole crate, the registry client and the image layout store.

pub mod assembly;
pub mod compression;
pub mod config;
pub mod credentials;
pub mod digest;
pub mod go_json;
pub mod go_time;
pub mod manifest;
pub mod platform;
pub mod promote;
pub mod reference;
pub mod registry;
pub mod secret;
pub mod store;
pub mod transfer;
