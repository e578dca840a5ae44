//! Copies files with their owners, modes and times.
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::sys::{self, Outcome};
use crate::tree::{Entry, join};
use crate::units::Unit;

/// A copy that is under way.
pub struct Copy<'a> {
    from: &'a [u8],
    to: &'a [u8],
    /// What the copies have as time of their last access.
    accessed: Option<i64>,
    /// Where files with several names have gone, by inode.
    names: BTreeMap<u64, Vec<u8>>,
    /// Folders that were made, by their paths: they get their times last.
    folders: BTreeSet<Vec<u8>>,
    pub files: u64,
    pub bytes: u64,
}

impl<'a> Copy<'a> {
    pub fn new(from: &'a [u8], to: &'a [u8], accessed: Option<i64>) -> Self {
        let (names, folders) = (BTreeMap::new(), BTreeSet::new());
        Self { from, to, accessed, names, folders, files: 0, bytes: 0 }
    }

    /// Copies a unit, and makes the folders above it.
    pub fn unit(&mut self, entries: &[Entry], unit: &Unit) -> Outcome<()> {
        let path = unit.path(entries);
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            self.folder(&path[..at])?;
        }
        for entry in &entries[unit.first..unit.end] {
            self.entry(entry)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: &[u8]) -> Outcome<()> {
        if self.folders.contains(path) {
            return Ok(());
        }
        match sys::make_directory(&join(self.to, path), 0o700) {
            Ok(()) => drop(self.folders.insert(path.into())),
            // One that was there before keeps its owner and times.
            Err(failure) if failure.is(sys::EEXIST) => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Outcome<()> {
        let (from, to) = (join(self.from, &entry.path), join(self.to, &entry.path));
        if entry.is_directory() {
            return self.folder(&entry.path);
        }
        let made = if entry.is_link() {
            sys::read_link(&from).and_then(|target| sys::make_link(&to, &target))
        } else if entry.is_regular() {
            let several = entry.status.links > 1;
            if let Some(known) = self.names.get(&entry.status.inode).filter(|_| several) {
                return sys::link(known, &to);
            }
            if several {
                self.names.insert(entry.status.inode, to.clone());
            }
            sys::copy_content(&from, &to)
        } else if entry.is_pipe() {
            sys::make_pipe(&to, entry.status.mode)
        } else {
            // Sockets mean nothing without their owner, devices are not for caches.
            return Ok(());
        };
        match made {
            Ok(()) => {}
            // Removed meanwhile; or there already, in a mount that others fill as well.
            Err(failure) if failure.is(sys::ENOENT) || failure.is(sys::EEXIST) => return Ok(()),
            Err(failure) => return Err(failure),
        }
        self.files += 1;
        self.bytes += entry.status.size;
        sys::set_status(&to, &entry.status, self.accessed)
    }

    /// Gives the root the owner, mode and times of its original.
    pub fn root(&mut self) -> Outcome<()> {
        self.folders.insert(Vec::new());
        Ok(())
    }

    /// Gives the folders theirs, now that nothing is added to them any more.
    pub fn finish(&mut self, entries: &[Entry]) -> Outcome<()> {
        for entry in entries.iter().rev().filter(|entry| self.folders.contains(&entry.path)) {
            sys::set_status(&join(self.to, &entry.path), &entry.status, self.accessed)?;
        }
        if self.folders.contains(&b""[..]) {
            sys::set_status(self.to, &sys::status(self.from)?, self.accessed)?;
        }
        Ok(())
    }
}
