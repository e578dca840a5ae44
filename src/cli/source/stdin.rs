//! A context or a Dockerfile that comes through stdin.
use std::io::Read as _;
use std::path::Path;

use super::SourceError;

pub(super) fn read_stdin() -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|source| SourceError::Stdin { source })?;
    Ok(bytes)
}

/// Whether `bytes` begin like a tar archive, plain or compressed.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
        || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || bytes.get(257..262) == Some(b"ustar")
}

pub(super) fn unpack(bytes: &[u8], into: &Path) -> std::io::Result<()> {
    let reader: Box<dyn std::io::Read + '_> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(bytes))
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::new(bytes)?)
    } else {
        Box::new(bytes)
    };
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(into)
}
