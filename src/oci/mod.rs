//! OCI vocabulary shared by the whole crate, the registry client and the image layout store.

pub mod credentials;
pub mod digest;
pub mod platform;
pub mod reference;
mod secret;
