//! The files of a transfer without the transfer: what the daemon would be told of them.
use std::path::Path;

use super::Wanted;
use super::walk::{Entry, Stopped, Visitor, WalkError, go_mode, walk};
use crate::engine::session::SessionError;

/// A file, directory or link that a transfer announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// From the root, with slashes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The mode as the daemon is told it: Go's `fs.FileMode` bits.
    pub mode: u32,
    /// Bytes of a regular file.
    pub size: u64,
    /// When the content was last modified, in nanoseconds since 1970.
    pub modified: i64,
    /// When content or metadata last changed, in nanoseconds since 1970.
    pub changed: i64,
    /// Number of the file on its device.
    pub inode: u64,
    /// Extended attributes that travel.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a listed file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content of its own.
    Regular,
    /// Another name of an earlier file.
    HardLink(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link, and where it leads.
    Symlink(Vec<u8>),
    /// A device or pipe: major and minor number.
    Special(u32, u32),
}

/// Lists what a transfer of `root` would announce, in its order.
///
/// `follow` are paths to take with what their links lead to, all when empty; `exclude` are patterns
/// of what is left out.
///
/// # Errors
///
/// [`SessionError`] when a directory cannot be read or a pattern is malformed.
pub fn list(
    root: &Path,
    follow: Vec<String>,
    exclude: Vec<String>,
) -> Result<Vec<Listed>, SessionError> {
    let wanted = Wanted { name: String::new(), include: Vec::new(), exclude, follow };
    let selection = wanted.selection(root)?;
    let mut listing = Listing(Vec::new());
    match walk(root, &selection, &mut listing) {
        Ok(()) | Err(WalkError::Stopped) => Ok(listing.0),
        Err(WalkError::Io { path, source }) => Err(SessionError::Context { path, source }),
    }
}

struct Listing(Vec<Listed>);

impl Visitor for Listing {
    fn enter(&mut self, _: u32, _: &[u8]) -> u32 {
        0
    }

    fn entry(&mut self, _: u32, _: &[u8], entry: &Entry<'_>) -> Result<(), Stopped> {
        let stat = &entry.stat;
        let kind = match stat.mode & go_mode::TYPE {
            0 if entry.link.is_empty() => Kind::Regular,
            0 => Kind::HardLink(entry.link.to_vec()),
            go_mode::DIRECTORY => Kind::Directory,
            go_mode::SYMLINK => Kind::Symlink(entry.link.to_vec()),
            _ => Kind::Special(stat.device_major, stat.device_minor),
        };
        self.0.push(Listed {
            path: entry.path.to_vec(),
            kind,
            mode: stat.mode,
            size: stat.size,
            modified: stat.modified,
            changed: stat.changed,
            inode: stat.inode,
            xattrs: entry.xattrs.to_vec(),
        });
        Ok(())
    }
}
