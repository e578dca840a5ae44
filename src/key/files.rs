//! Digests of exactly the files that a graph reads from a local source.
//!
//! A file counts with its path below what is read, its kind and mode, its content or where it leads,
//! and its extended attributes: all that reaches the engine but its times. Owners do not count: a
//! context's files belong to root in the engine, whoever owns them here.
//!
//! Contents are remembered from run to run ([`Memory`]), so that a context in which nothing changed
//! is not read again: not its files, and, when all of them are as they were, not even what is
//! remembered of each.
mod each;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::graph::Read;
use super::memory::{Memory, Stats, nanoseconds};
use crate::engine::session::SessionError;
use crate::engine::session::filesync::listing::{Kind, Listed, Xattrs, list};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::parallel::spread;
use crate::plan::pattern::{PatternError, Patterns};

pub use each::{Detail, Each, Trace, digest_each};

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
    let begun = nanoseconds();
    let listed = list(&directory.root, follow(read), directory.exclude.clone())?;
    let scope = Scope::of(read)?;
    let chosen: Vec<&Listed> = listed.iter().filter(|file| scope.covers(file)).collect();
    let question = question(directory, read);
    let stats = Stats::of(&chosen, begun);
    if let Some(digest) = memory.recall_all(question, &stats) {
        return Ok(digest);
    }
    let facts = facts(directory, &chosen, memory)?;
    let mut hash = Sha256::new();
    for (file, fact) in chosen.iter().zip(&facts) {
        line(&mut hash, file, fact);
    }
    let digest = Digest::from_bytes(hash.finalize().into());
    memory.note_all(question, stats, digest);
    Ok(digest)
}

/// The paths that a transfer of `read` alone would follow.
fn follow(read: &Read) -> Vec<String> {
    let path = read.path.trim_matches('/');
    if path.is_empty() { Vec::new() } else { vec![path.to_owned()] }
}

/// What is asked: the same question about the same files has the same answer.
fn question(directory: &Directory, read: &Read) -> Digest {
    let mut hash = Sha256::new();
    let mut text = |text: &[u8]| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    text(directory.root.as_os_str().as_bytes());
    text(read.path.as_bytes());
    for list in [&directory.exclude, &read.include, &read.exclude] {
        text(&(list.len() as u64).to_be_bytes());
        list.iter().for_each(|pattern| text(pattern.as_bytes()));
    }
    Digest::from_bytes(hash.finalize().into())
}

/// What only reading a file tells.
struct Fact {
    /// The digest of a regular file's content.
    content: Option<Digest>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the content was read now.
    is_new: bool,
}

/// Feeds one file into the digest. Every field ends with a zero byte, which no path contains.
fn line(hash: &mut Sha256, file: &Listed, fact: &Fact) {
    let mode = format!("{:o}", file.mode);
    let (kind, value): (&str, Vec<u8>) = match &file.kind {
        Kind::Regular => {
            ("file", fact.content.map(|digest| digest.to_string()).unwrap_or_default().into())
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
    for (name, value) in &fact.xattrs {
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

/// Files in a row that one thread reads: enough that taking the next ones costs nothing.
const BATCH: usize = 64;

/// What must be read of each of `files`, from the memory where that knows it.
fn facts(
    directory: &Directory,
    files: &[&Listed],
    memory: &mut Memory,
) -> Result<Vec<Fact>, FilesError> {
    memory.load(&directory.root);
    let known = &*memory;
    let facts = spread(
        files.len().div_ceil(BATCH),
        1,
        || Reader::new(directory),
        |reader, batch| {
            let files = &files[batch * BATCH..files.len().min((batch + 1) * BATCH)];
            files.iter().map(|file| reader.fact(file, known)).collect::<Result<Vec<_>, _>>()
        },
    )?;
    let facts: Vec<Fact> = facts.into_iter().flatten().collect();
    let with_content = || files.iter().zip(&facts).filter(|(_, fact)| fact.content.is_some());
    memory.count_hits(with_content().filter(|(_, fact)| !fact.is_new).count());
    let new = with_content().filter(|(_, fact)| fact.is_new);
    memory.note(&directory.root, new.filter_map(|(file, fact)| Some((*file, fact.content?))));
    Ok(facts)
}

/// What one thread reads files with.
struct Reader<'a> {
    directory: &'a Directory,
    xattrs: Xattrs,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(directory: &'a Directory) -> Self {
        Self { directory, xattrs: Xattrs::new(&directory.root), buffer: vec![0; 256 << 10] }
    }

    fn fact(&mut self, file: &Listed, memory: &Memory) -> Result<Fact, FilesError> {
        let path = || self.directory.root.join(OsStr::from_bytes(&file.path));
        let failed = |source| FilesError::Content { path: path(), source };
        let xattrs = self.xattrs.read(&file.path).map_err(|error| failed(error.into()))?.to_vec();
        if file.kind != Kind::Regular {
            return Ok(Fact { content: None, xattrs, is_new: false });
        }
        let known = memory.recall(&self.directory.root, file);
        let is_new = known.is_none();
        let content = match known {
            Some(digest) => digest,
            None => content(&path(), &mut self.buffer).map_err(failed)?,
        };
        Ok(Fact { content: Some(content), xattrs, is_new })
    }
}

fn content(path: &std::path::Path, buffer: &mut [u8]) -> std::io::Result<Digest> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    let mut hash = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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
