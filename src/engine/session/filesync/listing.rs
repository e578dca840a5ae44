//! The files of a transfer without the transfer: what the daemon would be told of them.
//!
//! A transfer announces files while the daemon already asks for others, so it walks alone. Here
//! nobody waits for the first file: the directories of one depth are read side by side, and put in
//! a transfer's order at the end.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;

use super::select::{Level, Selection, Verdict};
use super::walk::{Entry, Names, Stat, WalkError, failed, go_mode, open_directory, stat};
use super::{Wanted, packet};
use crate::engine::session::SessionError;
use crate::parallel::spread;

pub use super::xattrs::Xattrs;

/// So many directories are worth a thread.
const GRAIN: usize = 4;

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

impl Kind {
    /// A number for the kind, and where a link leads. A device's numbers change with its change time alone.
    #[must_use]
    pub fn record(&self) -> (u8, &[u8]) {
        match self {
            Self::Regular => (0, &[]),
            Self::HardLink(first) => (1, first),
            Self::Directory => (2, &[]),
            Self::Symlink(target) => (3, target),
            Self::Special(..) => (4, &[]),
        }
    }
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
    let selection = selection(root, follow, exclude)?;
    let directories = read(root, &selection).map_err(|error| unlisted(root, error))?;
    let mut order = Order { directories, listed: Vec::new(), hard_links: BTreeMap::new() };
    order.directory(0, &mut Vec::new());
    Ok(order.listed)
}

pub(super) fn selection(
    root: &Path,
    follow: Vec<String>,
    exclude: Vec<String>,
) -> Result<Selection, SessionError> {
    Wanted { name: String::new(), include: Vec::new(), exclude, follow }.selection(root)
}

pub(super) fn unlisted(root: &Path, error: WalkError) -> SessionError {
    match error {
        WalkError::Io { path, source } => SessionError::Context { path, source },
        WalkError::Stopped => {
            let source = std::io::ErrorKind::Interrupted.into();
            SessionError::Context { path: root.to_owned(), source }
        }
    }
}

/// Writes the packets by which a transfer announces the files, without extended attributes.
pub fn framed(listed: &[Listed], packets: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    for file in listed {
        let (link, major, minor): (&[u8], _, _) = match &file.kind {
            Kind::HardLink(link) | Kind::Symlink(link) => (link, 0, 0),
            Kind::Special(major, minor) => (&[], *major, *minor),
            Kind::Regular | Kind::Directory => (&[], 0, 0),
        };
        let stat = Stat {
            mode: file.mode,
            size: file.size,
            modified: file.modified,
            device_major: major,
            device_minor: minor,
            ..Stat::default()
        };
        let entry = Entry { path: &file.path, link, stat, xattrs: &[] };
        packet::stat(packets, &entry, &mut scratch);
    }
    packet::end_of_stats(packets);
}

/// A directory to read, and what is in it.
#[derive(Default)]
struct Directory {
    path: Vec<u8>,
    level: Level,
    /// Whether it is part of the transfer by itself.
    is_taken: bool,
    /// None for one that is not there, or must not be read and need not.
    items: Option<Vec<Item>>,
}

/// Something in a directory.
struct Item {
    path: Vec<u8>,
    stat: Stat,
    link: Vec<u8>,
    /// What identifies a file that has more names than one.
    identity: Option<(u64, u64)>,
    below: Below,
}

/// What is below an item.
enum Below {
    Nothing,
    /// A directory that is yet to be read.
    Unread(Level, Verdict),
    /// The directory, by its number.
    Directory(usize),
}

/// Reads all directories, those of one depth side by side.
fn read(root: &Path, selection: &Selection) -> Result<Vec<Directory>, WalkError> {
    let mut directories = vec![Directory { is_taken: true, ..Directory::default() }];
    let mut begin = 0;
    while begin < directories.len() {
        let depth = &directories[begin..];
        let found = spread(
            depth.len(),
            GRAIN,
            || Vec::with_capacity(32 << 10),
            |dirents, piece| items(root, selection, &depth[piece], dirents),
        )?;
        let end = directories.len();
        for (number, mut items) in (begin..end).zip(found) {
            for item in items.iter_mut().flatten() {
                if let Below::Unread(level, verdict) = &mut item.below {
                    let (path, level) = (item.path.clone(), std::mem::take(level));
                    let is_taken = *verdict == Verdict::Take;
                    item.below = Below::Directory(directories.len());
                    directories.push(Directory { path, level, is_taken, items: None });
                }
            }
            directories[number].items = items;
        }
        begin = end;
    }
    Ok(directories)
}

/// Reads one directory.
fn items(
    root: &Path,
    selection: &Selection,
    directory: &Directory,
    dirents: &mut Vec<u8>,
) -> Result<Option<Vec<Item>>, WalkError> {
    let path = root.join(OsStr::from_bytes(&directory.path));
    let is_root = directory.path.is_empty();
    let flags = if is_root { OFlags::empty() } else { OFlags::NOFOLLOW };
    let opened = open_directory(CWD, &path, flags).and_then(|handle| {
        let names = Names::read(&handle, dirents)?;
        Ok((handle, names))
    });
    let (handle, names) = match opened {
        Ok(opened) => opened,
        // It went away, or became something else, since its name was read.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !is_root => return Ok(None),
        Err(Errno::ACCESS | Errno::PERM) if !directory.is_taken => return Ok(None),
        Err(error) => return Err(failed(root, &directory.path, error)),
    };
    let mut items = Vec::with_capacity(names.entries.len());
    let prefix = if is_root { 0 } else { directory.path.len() + 1 };
    let mut path = directory.path.clone();
    for (at, kind) in &names.entries {
        let name = names.name(*at);
        path.truncate(prefix.saturating_sub(1));
        if !is_root {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let below = if *kind == FileType::Directory {
            match selection.directory(&path, &directory.level) {
                (Verdict::Skip, _) => continue,
                (verdict, level) => Below::Unread(level, verdict),
            }
        } else if selection.file(&path, &directory.level) {
            Below::Nothing
        } else {
            continue;
        };
        match look(&handle, name) {
            Ok((stat, identity, link)) => {
                items.push(Item { path: path.clone(), stat, link, identity, below });
            }
            Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => return Err(failed(root, &path, error)),
        }
    }
    Ok(Some(items))
}

type Look = (Stat, Option<(u64, u64)>, Vec<u8>);

fn look(directory: &OwnedFd, name: &std::ffi::CStr) -> Result<Look, Errno> {
    let (stat, identity) = stat(directory, name)?;
    let link = match stat.mode & go_mode::SYMLINK {
        0 => Vec::new(),
        _ => rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes(),
    };
    Ok((stat, identity, link))
}

/// Puts what was read in order.
struct Order {
    directories: Vec<Directory>,
    listed: Vec<Listed>,
    /// The first path of each file that has more than one.
    hard_links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Order {
    /// Lists what is in a directory; `waiting` are those above that nothing has needed so far.
    fn directory(&mut self, number: usize, waiting: &mut Vec<Listed>) {
        for item in self.directories[number].items.take().unwrap_or_default() {
            let Below::Directory(below) = item.below else {
                self.listed.append(waiting);
                let listed = self.file(item);
                self.listed.push(listed);
                continue;
            };
            if self.directories[below].items.is_none() {
                continue;
            }
            waiting.push(entry(item.path, item.stat, Kind::Directory));
            if self.directories[below].is_taken {
                self.listed.append(waiting);
            }
            let above = waiting.len();
            self.directory(below, waiting);
            // Nothing in it was taken: then it still waits, on top.
            if above > 0 && waiting.len() == above {
                waiting.pop();
            }
        }
    }

    fn file(&mut self, item: Item) -> Listed {
        let Item { path, mut stat, link, identity, .. } = item;
        let kind = match stat.mode & go_mode::TYPE {
            0 => match identity.and_then(|identity| self.hard_links.get(&identity)) {
                Some(first) => {
                    stat.size = 0;
                    Kind::HardLink(first.clone())
                }
                None => {
                    if let Some(identity) = identity {
                        self.hard_links.insert(identity, path.clone());
                    }
                    Kind::Regular
                }
            },
            go_mode::SYMLINK => Kind::Symlink(link),
            _ => Kind::Special(stat.device_major, stat.device_minor),
        };
        entry(path, stat, kind)
    }
}

pub(super) fn entry(path: Vec<u8>, stat: Stat, kind: Kind) -> Listed {
    let Stat { mode, size, modified, changed, inode, .. } = stat;
    Listed { path, kind, mode, size, modified, changed, inode }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::scan::{Scan, scan};
    use super::super::walk::walk;
    use super::*;

    #[test]
    fn it_lists_what_a_transfer_announces_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for number in 0..40 {
            for name in ["b/x.c", "b/y.h", "b-c/z", "a", "deep/er/and/deeper/f.c", "node/only.log"]
            {
                let path = root.join(format!("d{number}")).join(name);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, name).unwrap();
            }
        }
        symlink("d1/b", root.join("link")).unwrap();
        fs_err::hard_link(root.join("d1/a"), root.join("d0/twin")).unwrap();
        rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let mode = std::fs::Permissions::from_mode(0o4755);
        fs_err::set_permissions(root.join("d1/b/x.c"), mode).unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let cases: [(&[&str], &[&str]); 7] = [
            (&[], &[]),
            (&[], &["*", "!d1/b", "!d3*/deep/**/*.c"]),
            (&[], &["**/*.h", "d2"]),
            (&["link", "d5/deep"], &["**/*.c"]),
            (&["d7/b*"], &[]),
            (&[], &["**", "!**/only.log"]),
            (&["missing"], &[]),
        ];
        for (follow, exclude) in cases {
            let (follow, exclude): (Vec<String>, Vec<String>) = (texts(follow), texts(exclude));
            let wanted = Wanted {
                name: String::new(),
                include: Vec::new(),
                exclude: exclude.clone(),
                follow: follow.clone(),
            };
            let (mut announced, mut scanned) = (Vec::new(), Vec::new());
            let mut each = |file: &Listed| announced.push(file.clone());
            let mut visitor = Scan::new(&mut each);
            let xattrs = Some(Xattrs::new(root));
            walk(root, &wanted.selection(root).unwrap(), xattrs, &mut visitor).unwrap();
            let listed = list(root, follow.clone(), exclude.clone()).unwrap();
            assert_eq!(listed, announced, "{follow:?} {exclude:?}");
            let mut each = |file: &Listed| scanned.push(file.clone());
            scan(root, follow.clone(), exclude.clone(), &mut each).unwrap();
            assert_eq!(scanned, announced, "{follow:?} {exclude:?}");
        }
    }
}
