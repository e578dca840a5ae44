//! BuildKit's content digest of a part of a file tree.
//!
//! Input: the files of a transfer with their digests ([`Tree::new`]) and a [`Selector`]. Output: the
//! digest that the solver computes for an input of which that part is read. The order in which names
//! and digests are fed in is that of BuildKit's `cache/contenthash`: paths sort element by element, a
//! directory's own metadata comes before its entries, and a directory of which nothing is left out
//! counts by one digest.
use std::collections::BTreeMap;
use std::ops::Bound;

use buildkit_rs_proto::pb;
use sha2::{Digest as _, Sha256};

use crate::oci::digest::Digest;
use crate::plan::pattern::{Matched, PatternError, Patterns};

mod walk;

/// As many symbolic links as BuildKit follows.
const LINK_LIMIT: usize = 255;

/// A part of an input whose content counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The path.
    pub path: String,
    /// Whether the path has wildcards.
    pub wildcard: bool,
    /// Whether a symbolic link at its end is followed.
    pub follow_links: bool,
    /// Patterns relative to the path; empty for all.
    pub include: Vec<String>,
    /// Patterns relative to the path.
    pub exclude: Vec<String>,
    /// Paths that must be there.
    pub required: Vec<String>,
}

impl Selector {
    pub(super) fn plain(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub(super) fn followed(path: &str) -> Self {
        Self { follow_links: true, ..Self::plain(path) }
    }

    pub(super) fn copied(copy: &pb::FileActionCopy) -> Self {
        Self {
            path: copy.src.clone(),
            wildcard: copy.allow_wildcard && has_wildcards(&copy.src),
            follow_links: copy.follow_symlink,
            include: copy.include_patterns.clone(),
            exclude: copy.exclude_patterns.clone(),
            required: copy.required_paths.clone(),
        }
    }

    pub(super) fn has_wildcard_or_filters(&self) -> bool {
        self.wildcard || !self.include.is_empty() || !self.exclude.is_empty()
    }
}

/// A part of a tree that has no content digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// There is no such file.
    #[error("`{0}` is not in the context")]
    Missing(String),
    /// Links lead to links without end.
    #[error("`{0}` leads through too many symbolic links")]
    Links(String),
    /// A pattern is malformed.
    #[error("a pattern of the Dockerfile cannot be matched")]
    Pattern(#[source] PatternError),
    /// Nothing is transferred at all.
    #[error("the context is empty")]
    Empty,
}

/// A file of a tree, with the digest of its metadata and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the root, with slashes and none in front.
    pub path: Vec<u8>,
    /// Metadata and content.
    pub digest: Digest,
    /// What matters here of what it is.
    pub kind: FileKind,
}

/// What matters of what a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Neither of the others.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and where it leads.
    Symlink(Vec<u8>),
    /// Another name of an earlier file.
    HardLink(Vec<u8>),
}

/// What is kept under a path. A directory has two: its header under `path/` and its whole under `path`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    File(Digest),
    Symlink(Digest, Vec<u8>),
    Header(Digest),
    Whole,
}

/// A tree of files, by paths in which slashes are zero bytes, as BuildKit sorts them.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    records: BTreeMap<Vec<u8>, Record>,
    /// Digests of whole directories.
    wholes: BTreeMap<Vec<u8>, Digest>,
}

impl Tree {
    /// A tree of `files`.
    ///
    /// # Errors
    ///
    /// [`ContentError::Empty`] when there is none: the engine then looks at a directory of its own.
    pub fn new(files: &[File]) -> Result<Self, ContentError> {
        if files.is_empty() {
            return Err(ContentError::Empty);
        }
        let mut records = BTreeMap::new();
        records.insert(Vec::new(), Record::Whole);
        // The root's own metadata does not travel.
        records.insert(vec![0], Record::Header(Digest::of(b"")));
        for file in files {
            let mut at = key(&file.path);
            let record = match &file.kind {
                FileKind::Directory => {
                    records.insert(at.clone(), Record::Whole);
                    at.push(0);
                    Record::Header(file.digest)
                }
                FileKind::Symlink(target) => Record::Symlink(file.digest, target.clone()),
                FileKind::HardLink(first) => {
                    records.get(&key(first)).cloned().unwrap_or(Record::File(file.digest))
                }
                FileKind::File => Record::File(file.digest),
            };
            records.insert(at, record);
        }
        let mut tree = Self { records, wholes: BTreeMap::new() };
        tree.digest_wholes();
        Ok(tree)
    }

    /// The digest of the parts that `selectors` name, all of the tree when there is none.
    ///
    /// # Errors
    ///
    /// A [`ContentError`] when one of them has none.
    pub fn digest(&self, selectors: &[Selector]) -> Result<Digest, ContentError> {
        let all = [Selector::default()];
        let selectors = if selectors.is_empty() { &all } else { selectors };
        let digests: Result<Vec<String>, _> =
            selectors.iter().map(|selector| Ok(self.part(selector)?.to_string())).collect();
        Ok(Digest::of(digests?.join("\0").as_bytes()))
    }

    /// The digest of one part.
    fn part(&self, selector: &Selector) -> Result<Digest, ContentError> {
        let path = crate::plan::dockerfile::path::join("/", &selector.path);
        if selector.has_wildcard_or_filters() {
            return self.filtered(&path, selector);
        }
        let missing = || ContentError::Missing(path.clone());
        let (at, record) = self.resolve(&key_of(&path), selector.follow_links)?;
        record.map(|record| self.digest_of(&at, record)).ok_or_else(missing)
    }

    fn digest_of(&self, at: &[u8], record: &Record) -> Digest {
        match record {
            Record::File(digest) | Record::Symlink(digest, _) | Record::Header(digest) => *digest,
            Record::Whole => self.wholes.get(at).copied().unwrap_or_else(|| Digest::of(b"")),
        }
    }

    /// Digests all directories, those inside others first.
    fn digest_wholes(&mut self) {
        let directories: Vec<Vec<u8>> = self
            .records
            .iter()
            .rev()
            .filter(|(_, record)| **record == Record::Whole)
            .map(|(at, _)| at.clone())
            .collect();
        for at in directories {
            let digest = self.digest_whole(&at);
            self.wholes.insert(at, digest);
        }
    }

    /// The digest of a directory whose subdirectories have theirs.
    fn digest_whole(&self, at: &[u8]) -> Digest {
        let mut header = at.to_vec();
        header.push(0);
        let mut hash = Sha256::new();
        let mut feed = |key: &[u8], digest: Digest| {
            hash.update(&key[at.len()..]);
            hash.update(digest.to_string());
        };
        if let Some(record) = self.records.get(&header) {
            feed(&header, self.digest_of(&header, record));
        }
        let mut from = header.clone();
        from.push(0);
        let mut next = self.first_from(&from);
        while let Some((key, record)) = next.filter(|(key, _)| key.starts_with(&header)) {
            feed(key, self.digest_of(key, record));
            next = if *record == Record::Whole {
                // Its entries are in its digest.
                let mut after = key.clone();
                after.extend([0, 0xff]);
                self.first_from(&after)
            } else {
                self.first_after(key)
            };
        }
        Digest::from_bytes(hash.finalize().into())
    }

    fn first_from(&self, key: &[u8]) -> Option<(&Vec<u8>, &Record)> {
        self.records.range::<[u8], _>((Bound::Included(key), Bound::Unbounded)).next()
    }

    fn first_after(&self, key: &[u8]) -> Option<(&Vec<u8>, &Record)> {
        self.records.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next()
    }

    /// Follows the links in a path, and one at its end if `trailing`.
    fn resolve(
        &self,
        wanted: &[u8],
        trailing: bool,
    ) -> Result<(Vec<u8>, Option<&Record>), ContentError> {
        let is_link = |record: &Record| matches!(record, Record::Symlink(..));
        if let Some(record) = self.records.get(wanted)
            && !(trailing && is_link(record))
        {
            return Ok((wanted.to_vec(), Some(record)));
        }
        let mut current: Vec<u8> = Vec::new();
        let mut record = None;
        let mut rest: Vec<Vec<u8>> = elements(wanted);
        rest.reverse();
        let mut links = 0;
        while let Some(element) = rest.pop() {
            let next = descend(&current, &element);
            record = self.records.get(&next);
            match record {
                Some(Record::Symlink(_, target)) if trailing || !rest.is_empty() => {
                    links += 1;
                    if links > LINK_LIMIT {
                        let text = String::from_utf8_lossy(wanted).replace('\0', "/");
                        return Err(ContentError::Links(text));
                    }
                    if target.starts_with(b"/") {
                        current.clear();
                    }
                    rest.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                    record = None;
                }
                _ => current = next,
            }
        }
        if record.is_none() {
            record = self.records.get(&current);
        }
        Ok((current, record))
    }
}

/// The key of a path without a slash in front.
fn key(path: &[u8]) -> Vec<u8> {
    let path: Vec<u8> = path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect();
    if path.is_empty() { path } else { [&[0][..], &path].concat() }
}

/// The key of a cleaned absolute path.
fn key_of(path: &str) -> Vec<u8> {
    key(path.trim_matches('/').as_bytes())
}

fn elements(key: &[u8]) -> Vec<Vec<u8>> {
    key.split(|byte| *byte == 0).filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The key of `element` in the directory `current`, by text alone.
fn descend(current: &[u8], element: &[u8]) -> Vec<u8> {
    match element {
        b"" | b"." => current.to_vec(),
        b".." => {
            let end = current.iter().rposition(|byte| *byte == 0).unwrap_or(0);
            current[..end].to_vec()
        }
        element => [current, &[0], element].concat(),
    }
}

fn has_wildcards(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
