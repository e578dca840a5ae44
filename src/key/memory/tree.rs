//! What is known of the files below one directory: as it was read from disk, and what is new.
//!
//! Nothing is made of what was read but a list of where each file begins in it: a directory may have
//! a hundred thousand files, and most of what is known of them is only looked at.
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{Result, Write};

use super::number;

/// The first bytes of a file: its format.
const FORMAT: &[u8; 8] = b"kwfiles3";
/// How many files are kept: beyond that, the half that was read longest ago is forgotten.
const KEPT: usize = 400_000;
/// Bytes of a [`Known`] on disk.
const RECORD: usize = 72;

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) changed: i64,
    /// When it was read.
    pub(super) noted: i64,
    pub(super) digest: [u8; 32],
}

/// The files below a directory, by their paths.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// [`FORMAT`], and for each file the length of its path, the path, and a [`Known`]; in order.
    bytes: Vec<u8>,
    /// Where each file begins in it.
    begins: Vec<u32>,
    /// What was noted since.
    new: BTreeMap<Vec<u8>, Known>,
}

impl Tree {
    /// Takes what [`write`](Self::write) has written; anything else is nothing.
    pub(super) fn read(bytes: Vec<u8>) -> Self {
        match begins(&bytes) {
            Some(begins) => Self { bytes, begins, new: BTreeMap::new() },
            None => Self::default(),
        }
    }

    /// What is known of the file at `path`.
    pub(super) fn get(&self, path: &[u8]) -> Option<Known> {
        if let Some(new) = self.new.get(path) {
            return Some(*new);
        }
        let found = self.begins.binary_search_by(|begin| path_at(&self.bytes, *begin).cmp(path));
        found.ok().map(|at| self.known(at))
    }

    pub(super) fn insert(&mut self, path: &[u8], known: Known) {
        self.new.insert(path.to_vec(), known);
    }

    /// Whether anything was noted since it was read.
    pub(super) fn has_news(&self) -> bool {
        !self.new.is_empty()
    }

    /// Makes every note `nanoseconds` later than the change of its file.
    #[cfg(test)]
    pub(super) fn age(&mut self, nanoseconds: i64) {
        for known in self.new.values_mut() {
            known.noted = known.changed + nanoseconds;
        }
    }

    /// Writes what was read and what is new, in order.
    pub(super) fn write(&self, to: &mut dyn Write) -> Result<()> {
        to.write_all(FORMAT)?;
        let oldest = self.oldest_kept();
        let mut write = |path: &[u8], known: &Known| {
            if known.noted < oldest {
                return Ok(());
            }
            let Ok(length) = u32::try_from(path.len()) else { return Ok(()) };
            to.write_all(&length.to_le_bytes())?;
            to.write_all(path)?;
            to.write_all(&known.bytes())
        };
        let mut new = self.new.iter().peekable();
        for at in 0..self.begins.len() {
            let path = path_at(&self.bytes, self.begins[at]);
            while let Some((path, known)) = new.next_if(|(new, _)| new.as_slice() < path) {
                write(path, known)?;
            }
            if new.peek().is_none_or(|(new, _)| new.as_slice().cmp(path) != Ordering::Equal) {
                write(path, &self.known(at))?;
            }
        }
        new.try_for_each(|(path, known)| write(path, known))
    }

    /// The time since which those were noted that are kept.
    fn oldest_kept(&self) -> i64 {
        if self.begins.len() + self.new.len() <= KEPT {
            return i64::MIN;
        }
        let old = (0..self.begins.len()).map(|at| self.known(at).noted);
        let mut times: Vec<i64> = old.chain(self.new.values().map(|known| known.noted)).collect();
        let middle = times.len() / 2;
        *times.select_nth_unstable(middle).1
    }

    fn known(&self, at: usize) -> Known {
        let begin = self.begins[at];
        let begin = begin as usize + 4 + path_at(&self.bytes, begin).len();
        let bytes = &self.bytes[begin..begin + RECORD];
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[40..]);
        Known {
            inode: number(bytes, 0),
            size: number(bytes, 8),
            modified: number(bytes, 16).cast_signed(),
            changed: number(bytes, 24).cast_signed(),
            noted: number(bytes, 32).cast_signed(),
            digest,
        }
    }
}

impl Known {
    fn bytes(&self) -> [u8; RECORD] {
        let times = [self.modified, self.changed, self.noted].map(i64::cast_unsigned);
        let mut bytes = [0; RECORD];
        for (at, number) in [self.inode, self.size].into_iter().chain(times).enumerate() {
            bytes[at * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..].copy_from_slice(&self.digest);
        bytes
    }
}

/// The path of the file that begins at `begin` of checked bytes.
fn path_at(bytes: &[u8], begin: u32) -> &[u8] {
    let begin = begin as usize;
    let length =
        bytes[begin..begin + 4].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    &bytes[begin + 4..][..length]
}

/// Where each file begins; `None` when the bytes are not whole, or not in order.
fn begins(bytes: &[u8]) -> Option<Vec<u32>> {
    let mut rest = bytes.strip_prefix(FORMAT)?;
    let mut begins = Vec::new();
    let mut last: Option<&[u8]> = None;
    while !rest.is_empty() {
        begins.push(u32::try_from(bytes.len() - rest.len()).ok()?);
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (path, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        if last.is_some_and(|last| last >= path) {
            return None;
        }
        last = Some(path);
        rest = after.split_at_checked(RECORD)?.1;
    }
    Some(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u64) -> Known {
        let time = number.cast_signed();
        Known { inode: number, size: 1, modified: -time, changed: 7, noted: time, digest: [3; 32] }
    }

    fn written(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn old_and_new_are_written_in_order() {
        let mut tree = Tree::default();
        for (path, number) in [("b", 1), ("d", 2), ("f", u64::MAX)] {
            tree.insert(path.as_bytes(), known(number));
        }
        let mut tree = Tree::read(written(&tree));
        assert!(!tree.has_news());
        for (path, number) in [("a", 10), ("d", 20), ("e", 30), ("g", 40)] {
            tree.insert(path.as_bytes(), known(number));
        }
        let tree = Tree::read(written(&tree));
        let found = ["a", "b", "c", "d", "e", "f", "g"].map(|path| tree.get(path.as_bytes()));
        let numbers = [Some(10), Some(1), None, Some(20), Some(30), Some(u64::MAX), Some(40)];
        assert_eq!(found, numbers.map(|number| number.map(known)));
    }

    #[test]
    fn rubbish_is_nothing() {
        let mut tree = Tree::default();
        tree.insert(b"a", known(1));
        tree.insert(b"b", known(2));
        let bytes = written(&tree);
        let (one, other) = bytes[8..].split_at((bytes.len() - 8) / 2);
        let swapped = [FORMAT.as_slice(), other, one].concat();
        for broken in [&bytes[..bytes.len() - 1], b"kwfiles2", b"", &swapped] {
            assert_eq!(Tree::read(broken.to_vec()).get(b"a"), None);
        }
        assert_eq!(Tree::read(bytes).get(b"a"), Some(known(1)));
    }
}
