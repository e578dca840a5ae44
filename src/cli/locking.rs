//! Lock files on disk, and the images that a command may look up.
use std::path::{Path, PathBuf};

use super::args::SourceArgs;
use super::compilation;
use super::images::Images;
use super::report::Failure;
use super::source::Source;
use crate::fault::{Classified, Fault};
use crate::plan::lock::{LockError, LockFile};

/// A lock file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum LockFileError {
    /// Nobody can tell where it is.
    #[error("the Dockerfile has no place of its own, so its lock file has none either")]
    #[diagnostic(help("name the lock file with `--lock FILE`"))]
    NoPlace,
    /// It cannot be read.
    #[error("cannot read lock file `{}`", path.display())]
    #[diagnostic(help("write it with `kitwright lock`"))]
    Read { path: PathBuf, source: std::io::Error },
    /// It cannot be written.
    #[error("cannot write lock file `{}`", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// Its text is wrong.
    #[error("cannot use lock file `{}`", path.display())]
    #[diagnostic(help("write it again with `kitwright lock`"))]
    Text { path: PathBuf, source: LockError },
}

impl Classified for LockFileError {
    fn fault(&self) -> Fault {
        match self {
            Self::Write { .. } => Fault::Environment,
            _ => Fault::Usage,
        }
    }
}

/// The lock file of the command: the flag's, or the one beside the Dockerfile.
///
/// # Errors
///
/// [`LockFileError::NoPlace`] for a Dockerfile from stdin or a remote context.
pub(super) fn path(args: &SourceArgs, source: &Source) -> Result<PathBuf, LockFileError> {
    if let Some(path) = &args.lock {
        return Ok(path.clone());
    }
    let dockerfile = source.dockerfile.path.as_ref().ok_or(LockFileError::NoPlace)?;
    let mut name = dockerfile.clone().into_os_string();
    name.push(".lock");
    Ok(name.into())
}

/// Reads the lock file at `path`.
///
/// # Errors
///
/// [`LockFileError`] when it is not there or not a lock file.
pub(super) fn read(path: &Path) -> Result<LockFile, LockFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| LockFileError::Read { path: path.to_owned(), source })?;
    LockFile::parse(&text).map_err(|source| LockFileError::Text { path: path.to_owned(), source })
}

/// What the command may look images up in: with a lock file that alone, else registries.
///
/// # Errors
///
/// A mirror flag or a lock file that cannot be used.
pub(super) fn images(
    args: &SourceArgs,
    source: &Source,
    is_locked: bool,
) -> Result<Images, Failure> {
    let registry = compilation::registry(&args.registry_mirror)?;
    let images = Images::new(registry, source.layouts.clone());
    match is_locked {
        true => Ok(images.locked(read(&path(args, source)?)?)),
        false => Ok(images),
    }
}
