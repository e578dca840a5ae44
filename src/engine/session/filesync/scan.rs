//! The files of a transfer one after the other, for who only looks at each and keeps none.
use std::path::Path;

use super::listing::{self, Kind, Listed, entry, selection, unlisted};
use super::walk::{Entry, Stat, Stopped, Visitor, go_mode, walk};
use crate::engine::session::SessionError;

/// Shows `each` what a transfer of `root` would announce, in its order, one after the other.
///
/// Takes longer than [`list`](listing::list), and no memory for what it has shown.
///
/// # Errors
///
/// As [`list`](listing::list).
pub fn scan(
    root: &Path,
    follow: Vec<String>,
    exclude: Vec<String>,
    each: &mut dyn FnMut(&Listed),
) -> Result<(), SessionError> {
    let selection = selection(root, follow, exclude)?;
    walk(root, &selection, None, &mut Scan::new(each)).map_err(|error| unlisted(root, error))
}

/// Shows what a walk finds, each in the place of the one before.
pub(super) struct Scan<'a> {
    listed: Listed,
    each: &'a mut dyn FnMut(&Listed),
}

impl<'a> Scan<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(&Listed)) -> Self {
        Self { listed: entry(Vec::new(), Stat::default(), Kind::Regular), each }
    }
}

impl Visitor for Scan<'_> {
    fn enter(&mut self, _: u32, _: &[u8]) -> u32 {
        0
    }

    fn entry(&mut self, _: u32, _: &[u8], entry: &Entry<'_>) -> Result<(), Stopped> {
        let mut path = std::mem::take(&mut self.listed.path);
        path.clear();
        path.extend_from_slice(entry.path);
        let kind = match entry.stat.mode & go_mode::TYPE {
            0 if entry.link.is_empty() => Kind::Regular,
            0 => Kind::HardLink(entry.link.to_vec()),
            go_mode::DIRECTORY => Kind::Directory,
            go_mode::SYMLINK => Kind::Symlink(entry.link.to_vec()),
            _ => Kind::Special(entry.stat.device_major, entry.stat.device_minor),
        };
        self.listed = listing::entry(path, entry.stat, kind);
        (self.each)(&self.listed);
        Ok(())
    }
}
