//! Digests of exactly the files that a graph reads from a local source.
//!
//! A file counts with its path below what is read, its kind and mode, its content or where it leads,
//! and its extended attributes: all that reaches the engine but its times. Owners do not count: a
//! context's files belong to root in the engine, whoever owns them here.
//!
//! Contents are remembered from run to run ([`Memory`]), so that a context in which nothing changed
//! is not read again.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::graph::Read;
use super::memory::Memory;
use crate::engine::session::SessionError;
use crate::engine::session::filesync::listing::{Kind, Listed, list};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::plan::pattern::{PatternError, Patterns};

/// Files that cannot be digested.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FilesError {
    /// A directory cannot be listed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    List(#[from] SessionError),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A pattern of an instruction is malformed.
    #[error("cannot match a pattern of the Dockerfile")]
    Pattern {
        /// The pattern.
        source: PatternError,
    },
    /// The graph reads a source that is no directory of this build.
    #[error("the build reads the local source `{0}`, which is not part of it")]
    Unknown(String),
}

impl Classified for FilesError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// A directory that a build offers, and the patterns of what it leaves out.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Where it is.
    pub root: PathBuf,
    /// Patterns as in `.dockerignore`.
    pub exclude: Vec<String>,
}

/// Digests what `read` selects of `directory`.
///
/// # Errors
///
/// [`FilesError`] when something cannot be read.
pub fn digest(
    directory: &Directory,
    read: &Read,
    memory: &mut Memory,
) -> Result<Digest, FilesError> {
    let path = read.path.trim_matches('/');
    let follow = if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    let listed = list(&directory.root, follow, directory.exclude.clone())?;
    let scope = Scope::of(read)?;
    let chosen: Vec<&Listed> = listed.iter().filter(|file| scope.covers(file)).collect();
    let contents = contents(directory, &chosen, memory)?;
    let mut hash = Sha256::new();
    for (file, content) in chosen.iter().zip(contents) {
        line(&mut hash, file, content);
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// Feeds one file into the digest. Every field ends with a zero byte, which no path contains.
fn line(hash: &mut Sha256, file: &Listed, content: Option<Digest>) {
    let mode = format!("{:o}", file.mode);
    let (kind, value): (&str, Vec<u8>) = match &file.kind {
        Kind::Regular => {
            ("file", content.map(|digest| digest.to_string()).unwrap_or_default().into())
        }
        Kind::HardLink(first) => ("hardlink", first.clone()),
        Kind::Directory => ("directory", Vec::new()),
        Kind::Symlink(target) => ("symlink", target.clone()),
        Kind::Special(major, minor) => ("special", format!("{major}:{minor}").into()),
    };
    for field in [file.path.as_slice(), kind.as_bytes(), mode.as_bytes(), &value] {
        hash.update(field);
        hash.update([0]);
    }
    for (name, value) in &file.xattrs {
        hash.update(name);
        hash.update([0]);
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    hash.update(b"\n");
}

/// The patterns of one read, relative to the path that is read.
struct Scope {
    /// Path elements to take off before matching.
    depth: usize,
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Scope {
    fn of(read: &Read) -> Result<Self, FilesError> {
        let patterns = |texts: &[String]| {
            let parsed = Patterns::parse(texts).map_err(|source| FilesError::Pattern { source })?;
            Ok::<_, FilesError>((!texts.is_empty()).then_some(parsed))
        };
        Ok(Self {
            depth: read.path.split('/').filter(|element| !element.is_empty()).count(),
            include: patterns(&read.include)?,
            exclude: patterns(&read.exclude)?,
        })
    }

    fn covers(&self, file: &Listed) -> bool {
        if self.include.is_none() && self.exclude.is_none() {
            return true;
        }
        let mut rest = file.path.as_slice();
        for _ in 0..self.depth {
            rest = match rest.iter().position(|byte| *byte == b'/') {
                Some(at) => &rest[at + 1..],
                // It is what is read itself, or a directory above.
                None => return true,
            };
        }
        // Directories are made as they are needed: they count through what is in them.
        let included = self.include.as_ref().is_none_or(|patterns| patterns.matches(rest));
        included && !self.exclude.as_ref().is_some_and(|patterns| patterns.matches(rest))
    }
}

/// Threads that read files.
const READERS: usize = 4;

/// The digests of the regular files among `files`.
fn contents(
    directory: &Directory,
    files: &[&Listed],
    memory: &mut Memory,
) -> Result<Vec<Option<Digest>>, FilesError> {
    let mut digests: Vec<Option<Digest>> = vec![None; files.len()];
    let mut unread = Vec::new();
    for (at, file) in files.iter().enumerate().filter(|(_, file)| file.kind == Kind::Regular) {
        match memory.recall(&directory.root, file) {
            Some(digest) => digests[at] = Some(digest),
            None => unread.push(at),
        }
    }
    let share = unread.len().div_ceil(READERS).max(1);
    let read = |part: &[usize]| -> Result<Vec<(usize, Digest)>, FilesError> {
        part.iter().map(|at| Ok((*at, file_digest(&directory.root, files[*at])?))).collect()
    };
    let found: Vec<(usize, Digest)> = std::thread::scope(|scope| {
        let readers: Vec<_> =
            unread.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
        let mut found = Vec::with_capacity(unread.len());
        for reader in readers {
            match reader.join() {
                Ok(part) => found.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, FilesError>(found)
    })?;
    for (at, digest) in found {
        memory.note(&directory.root, files[at], digest);
        digests[at] = Some(digest);
    }
    Ok(digests)
}

fn file_digest(root: &Path, file: &Listed) -> Result<Digest, FilesError> {
    let path = root.join(OsStr::from_bytes(&file.path));
    let failed = |source| FilesError::Content { path: path.clone(), source };
    let mut from = std::fs::File::open(&path).map_err(failed)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut from, &mut hash).map_err(failed)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// Digests every read, by the directories of the build.
///
/// # Errors
///
/// [`FilesError`] for a source that is not offered, and what [`digest`] answers.
pub fn digest_all<'r>(
    directories: &BTreeMap<String, Directory>,
    reads: impl IntoIterator<Item = &'r Read>,
    memory: &mut Memory,
) -> Result<Vec<(&'r Read, Digest)>, FilesError> {
    let mut digests = Vec::new();
    for read in reads {
        let unknown = || FilesError::Unknown(read.source.clone());
        let directory = directories.get(&read.source).ok_or_else(unknown)?;
        digests.push((read, digest(directory, read, memory)?));
    }
    Ok(digests)
}

#[cfg(test)]
mod tests;
