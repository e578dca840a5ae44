//! What can go wrong with the local image store.
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::manifest::ManifestError;
use crate::oci::registry::RegistryError;

/// An error of the image store.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("`{}` is not a valid image layout", path.display())]
    #[diagnostic(help("remove the folder to begin with an empty store"))]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A manifest cannot be read.
    #[error("cannot use the manifest `{digest}` in `{}`", path.display())]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// The store or archive.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// Content is not what its name says.
    #[error("blob `{expected}` of `{}` has digest `{found}`", path.display())]
    Digest {
        /// The store or archive.
        path: PathBuf,
        /// The name.
        expected: Digest,
        /// The content's digest.
        found: Digest,
    },
    /// Something that an image names is not there.
    #[error("`{}` lacks blob `{digest}`", path.display())]
    Missing {
        /// The store or archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// The image is not in the store.
    #[error("`{0}` is not in the local image store")]
    #[diagnostic(help("see `kitwright image list`, or pull it with `kitwright image pull {0}`"))]
    NoImage(String),
    /// An archive is none that can be imported.
    #[error("`{}` is not an OCI image layout: {reason}", path.display())]
    NotALayout {
        /// The file or folder.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The image cannot be written in the archive's format.
    #[error("cannot write `{image}` as a Docker archive: {reason}")]
    NotDocker {
        /// The image.
        image: String,
        /// Why not.
        reason: String,
    },
    /// The registry failed.
    #[error("cannot pull `{reference}`")]
    Registry {
        /// The image.
        reference: String,
        /// What failed.
        #[diagnostic_source]
        source: RegistryError,
    },
}

impl Classified for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Registry { source, .. } => source.fault(),
            Self::NoImage(_) | Self::NotALayout { .. } | Self::NotDocker { .. } => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
