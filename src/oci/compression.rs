//! How the layers of images and caches are compressed.
use serde::{Deserialize, Serialize};

/// A compression that engines write without further settings and every registry stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    Uncompressed,
    /// What BuildKit does unless told otherwise, and every runtime reads.
    Gzip,
    /// Zstandard: packed in a fraction of the time; read by Docker since 23.0, containerd since 1.5
    /// and Podman since 1.8.
    Zstd,
}

impl Compression {
    /// The value of the attribute `compression` of BuildKit's exporters and caches.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
