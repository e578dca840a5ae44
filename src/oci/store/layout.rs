//! Images in OCI layouts, as they lie on the disk.
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::digest::Digest;
use super::super::manifest::{Descriptor, ImageManifest, Manifest, candidates};
use super::super::platform::Platform;

/// Where a layout has a blob.
#[must_use]
pub fn blob(layout: &Path, digest: Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

/// Reads the manifest of the image for `platform` below `digest` in a layout.
///
/// # Errors
///
/// When a blob cannot be read, is no manifest, or no image is for the platform.
pub fn image(layout: &Path, digest: Digest, platform: &Platform) -> io::Result<Box<ImageManifest>> {
    let parse =
        |digest: Digest| Manifest::parse(None, &read(layout, digest)?).map_err(io::Error::other);
    match parse(digest)? {
        Manifest::Image(image) => Ok(image),
        Manifest::Index(index) => {
            let chosen: Option<&Descriptor> =
                candidates(&index.manifests, platform).into_iter().next();
            let none = || io::Error::other(format!("it has no image for {platform}"));
            match parse(chosen.ok_or_else(none)?.digest)? {
                Manifest::Image(image) => Ok(image),
                Manifest::Index(_) => Err(io::Error::other("its index points to another index")),
            }
        }
    }
}

/// Reads a blob of a layout.
///
/// # Errors
///
/// When that fails.
pub fn read(layout: &Path, digest: Digest) -> io::Result<Bytes> {
    fs_err::read(blob(layout, digest)).map(Bytes::from)
}
