//! Every file that a graph reads apart, for who asks which of them changed.
//!
//! Contents are read only where that is worth it: times stand for those of large files, and for all
//! when they are many. They are not even kept in memory then.
use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Directory, FilesError, Scope, facts, follow, line};
use crate::engine::session::filesync::listing::{Kind, Listed, list};
use crate::engine::session::filesync::scan::scan;
use crate::key::graph::Read;
use crate::key::memory::Memory;
use crate::oci::digest::Digest;

/// Content of files above this size is not read without need.
const LARGE: u64 = 1 << 20;

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every content is read, so that the digests are the same on every machine.
    Contents,
    /// As little is read as the answer allows.
    Times,
}

/// What tells a file, or many, from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The digest of path, mode and content.
    pub content: Option<Digest>,
    /// The digest of path, mode, size and modification time, where content may be missing.
    pub times: Option<Digest>,
}

/// The files of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Each {
    /// Every one by its path.
    Files(BTreeMap<String, Trace>),
    /// They are too many to name.
    Many(Trace),
}

/// Digests every file that `read` selects of `directory` apart, or all in one if there are more
/// than `most`.
///
/// # Errors
///
/// [`FilesError`] when something cannot be read.
pub fn digest_each(
    directory: &Directory,
    read: &Read,
    detail: Detail,
    most: usize,
    memory: &mut Memory,
) -> Result<Each, FilesError> {
    let scope = Scope::of(read)?;
    let mut files = Vec::new();
    let (mut count, mut times) = (0_usize, Sha256::new());
    let keeps_all = detail == Detail::Contents;
    let mut look = |file: &Listed| {
        // A folder counts through what is in it.
        if file.kind == Kind::Directory || !scope.covers(file) {
            return;
        }
        count += 1;
        glance(&mut times, file);
        if keeps_all || count <= most {
            files.push(file.clone());
        } else {
            files = Vec::new();
        }
    };
    let (root, exclude) = (&directory.root, directory.exclude.clone());
    match detail {
        Detail::Contents => list(root, follow(read), exclude)?.iter().for_each(&mut look),
        Detail::Times => scan(root, follow(read), exclude, &mut look)?,
    }
    let times = Some(Digest::from_bytes(times.finalize().into()));
    if count > most && !keeps_all {
        return Ok(Each::Many(Trace { content: None, times }));
    }
    let traces = traces(directory, &files, detail, memory)?;
    let path = |file: &Listed| String::from_utf8_lossy(&file.path).into_owned();
    let traces: BTreeMap<_, _> = files.iter().map(path).zip(traces).collect();
    if count <= most {
        return Ok(Each::Files(traces));
    }
    let mut all = Sha256::new();
    for (path, trace) in &traces {
        all.update(path.as_bytes());
        all.update(trace.content.as_ref().map_or(&[][..], |content| content.as_bytes()));
    }
    Ok(Each::Many(Trace { content: Some(Digest::from_bytes(all.finalize().into())), times }))
}

fn traces(
    directory: &Directory,
    files: &[Listed],
    detail: Detail,
    memory: &mut Memory,
) -> Result<Vec<Trace>, FilesError> {
    let is_large = |file: &Listed| file.size > LARGE;
    let is_read = |file: &&Listed| detail == Detail::Contents || !is_large(file);
    let read: Vec<&Listed> = files.iter().filter(is_read).collect();
    let facts = facts(directory, &read, memory)?;
    let mut facts = read.into_iter().zip(&facts);
    let trace = |file: &Listed| {
        let content = is_read(&file).then(|| facts.next()).flatten().map(|(file, fact)| {
            let mut hash = Sha256::new();
            line(&mut hash, file, fact);
            Digest::from_bytes(hash.finalize().into())
        });
        let times = is_large(file).then(|| {
            let mut hash = Sha256::new();
            glance(&mut hash, file);
            Digest::from_bytes(hash.finalize().into())
        });
        Trace { content, times }
    };
    Ok(files.iter().map(trace).collect())
}

/// Feeds what is known of a file without reading it into a digest.
fn glance(hash: &mut Sha256, file: &Listed) {
    let (kind, rest) = file.kind.record();
    let mut numbers = [0; 21];
    numbers[0] = kind;
    numbers[1..5].copy_from_slice(&file.mode.to_le_bytes());
    numbers[5..13].copy_from_slice(&file.size.to_le_bytes());
    numbers[13..].copy_from_slice(&file.modified.to_le_bytes());
    hash.update(numbers);
    for text in [&file.path, rest] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
}
