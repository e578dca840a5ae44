//! The files below a directory.
use alloc::vec::Vec;

use crate::sys::{self, Outcome, Status};

/// One file.
pub struct Entry {
    /// Below the directory, without a slash in front.
    pub path: Vec<u8>,
    pub status: Status,
    /// When it was last changed in any way, in seconds since 1970.
    pub changed: i64,
}

const KIND: u16 = 0o170_000;

impl Entry {
    pub const fn is_directory(&self) -> bool {
        self.status.mode & KIND == 0o040_000
    }

    pub const fn is_regular(&self) -> bool {
        self.status.mode & KIND == 0o100_000
    }

    pub const fn is_link(&self) -> bool {
        self.status.mode & KIND == 0o120_000
    }

    pub const fn is_pipe(&self) -> bool {
        self.status.mode & KIND == 0o010_000
    }

    /// The last part of the path.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// How many directories lie above it.
    pub fn depth(&self) -> usize {
        self.path.iter().filter(|byte| **byte == b'/').count()
    }
}

/// `root` and `path` joined.
pub fn join(root: &[u8], path: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(root.len() + path.len() + 1);
    joined.extend_from_slice(root);
    if !path.is_empty() {
        joined.push(b'/');
        joined.extend_from_slice(path);
    }
    joined
}

/// All files below `root`: a directory before what is in it, names in the order of their bytes.
pub fn walk(root: &[u8]) -> Outcome<Vec<Entry>> {
    let mut found = Vec::new();
    // Paths that are still to be visited, the next one last.
    let mut open = names(root, b"")?;
    while let Some(path) = open.pop() {
        let status = match sys::status(&join(root, &path)) {
            Ok(status) => status,
            // Somebody else removes files meanwhile.
            Err(failure) if failure.is(sys::ENOENT) => continue,
            Err(failure) => return Err(failure),
        };
        let entry = Entry { path, changed: status.changed.seconds, status };
        if entry.is_directory() {
            match names(root, &entry.path) {
                Ok(below) => open.extend(below),
                Err(failure) if failure.is(sys::ENOENT) => continue,
                Err(failure) => return Err(failure),
            }
        }
        found.push(entry);
    }
    Ok(found)
}

/// The paths in the directory `path`, the first one last.
fn names(root: &[u8], path: &[u8]) -> Outcome<Vec<Vec<u8>>> {
    let mut names = sys::list(&join(root, path))?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    if !path.is_empty() {
        for name in &mut names {
            *name = join(path, name);
        }
    }
    Ok(names)
}
