//! Walks a directory in the order a transfer needs: each directory before what is in it, and the
//! names of one directory by their bytes.
//!
//! Directories stay open while something below them is walked, and files are looked at relative
//! to them: no path is resolved from the root again, and a directory that is renamed meanwhile is
//! still read to its end.
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::paths::ROOT;
use super::select::{Level, Selection, Verdict};
use super::xattrs::Xattrs;

/// Bits of Go's `fs.FileMode`, which is what travels, beside the nine permission bits.
pub(crate) mod go_mode {
    pub(crate) const DIRECTORY: u32 = 1 << 31;
    pub(crate) const SYMLINK: u32 = 1 << 27;
    pub(crate) const DEVICE: u32 = 1 << 26;
    pub(crate) const NAMED_PIPE: u32 = 1 << 25;
    pub(crate) const SETUID: u32 = 1 << 23;
    pub(crate) const SETGID: u32 = 1 << 22;
    pub(crate) const CHARACTER_DEVICE: u32 = 1 << 21;
    pub(crate) const STICKY: u32 = 1 << 20;
    pub(crate) const PERMISSIONS: u32 = 0o777;
    /// What makes a file other than a regular one.
    pub(crate) const TYPE: u32 = DIRECTORY | SYMLINK | DEVICE | NAMED_PIPE | CHARACTER_DEVICE;
}

/// A file or directory on its way to the daemon.
pub(super) struct Entry<'a> {
    /// From the root, with slashes.
    pub(super) path: &'a [u8],
    /// Where a symbolic link leads, or the earlier path of a hard link.
    pub(super) link: &'a [u8],
    pub(super) stat: Stat,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// The metadata that travels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stat {
    /// Go's mode bits.
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
    pub(super) device_major: u32,
    pub(super) device_minor: u32,
    /// The device that the file lies on. Does not travel.
    pub(super) device: u64,
    /// Number of the file on its device. Does not travel.
    pub(super) inode: u64,
    /// When content or metadata last changed, in nanoseconds since 1970. Does not travel.
    pub(super) changed: i64,
}

impl Stat {
    pub(super) const fn is_regular(&self) -> bool {
        self.mode & go_mode::TYPE == 0
    }
}

/// Takes what the walk finds.
pub(super) trait Visitor {
    /// A directory is about to be read; returns the number by which its entries name it.
    fn enter(&mut self, parent: u32, name: &[u8]) -> u32;
    /// An entry of the transfer, in order.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when nobody wants the rest.
    fn entry(&mut self, directory: u32, name: &[u8], entry: &Entry<'_>) -> Result<(), Stopped>;
}

/// Nobody wants the rest of the walk.
#[derive(Debug)]
pub(super) struct Stopped;

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum WalkError {
    Stopped,
    Io { path: PathBuf, source: io::Error },
}

impl From<Stopped> for WalkError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Walks what `selection` takes of `root`; without `xattrs` extended attributes are left out.
pub(super) fn walk(
    root: &Path,
    selection: &Selection,
    xattrs: Option<Xattrs>,
    visitor: &mut dyn Visitor,
) -> Result<(), WalkError> {
    Walk {
        root,
        selection,
        visitor,
        path: Vec::new(),
        hard_links: BTreeMap::new(),
        xattrs,
        dirents: Vec::with_capacity(32 << 10),
    }
    .run()
}

/// A directory that is being walked.
struct Frame {
    handle: OwnedFd,
    /// The number by which its entries name it.
    number: u32,
    level: Level,
    /// How long its path is.
    path: usize,
    names: Names,
    /// The entry to look at next.
    next: usize,
    /// Its metadata, as long as it has not been sent.
    unsent: Option<Stat>,
}

/// The names in a directory, in order.
#[derive(Default)]
pub(super) struct Names {
    names: Vec<u8>,
    /// Where each name begins, and what it is; names end with a zero byte.
    pub(super) entries: Vec<(u32, FileType)>,
}

impl Names {
    /// Reads them, with the spare capacity of `dirents` to work in.
    pub(super) fn read(directory: &OwnedFd, dirents: &mut Vec<u8>) -> Result<Self, Errno> {
        let mut found = Self::default();
        let mut unread = RawDir::new(directory, dirents.spare_capacity_mut());
        while let Some(entry) = unread.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => {
                    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                known => known,
            };
            let at = u32::try_from(found.names.len()).map_err(|_| Errno::TOOBIG)?;
            found.names.extend_from_slice(name.to_bytes_with_nul());
            found.entries.push((at, kind));
        }
        // No two names are the same, and their zero bytes come before all else: what follows a name
        // never decides.
        let names = &found.names;
        let from = |at: u32| &names[at as usize..];
        found.entries.sort_unstable_by(|(one, _), (other, _)| from(*one).cmp(from(*other)));
        Ok(found)
    }

    pub(super) fn name(&self, at: u32) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[at as usize..]).unwrap_or_default()
    }
}

struct Walk<'a> {
    root: &'a Path,
    selection: &'a Selection,
    visitor: &'a mut dyn Visitor,
    /// The path of the entry at hand.
    path: Vec<u8>,
    /// The first path of each file that has more than one.
    hard_links: BTreeMap<(u64, u64), Vec<u8>>,
    /// What reads extended attributes, if they are wanted.
    xattrs: Option<Xattrs>,
    dirents: Vec<u8>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<(), WalkError> {
        let handle = open_directory(CWD, self.root, OFlags::empty());
        let handle = handle.map_err(|error| self.failed(error))?;
        let names = Names::read(&handle, &mut self.dirents).map_err(|error| self.failed(error))?;
        let level = Level::default();
        let root = Frame { handle, number: ROOT, level, path: 0, names, next: 0, unsent: None };
        let mut frames = vec![root];
        while let Some(frame) = frames.last_mut() {
            let Some(&(at, kind)) = frame.names.entries.get(frame.next) else {
                frames.pop();
                continue;
            };
            frame.next += 1;
            self.path.truncate(frame.path);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(frame.names.name(at).to_bytes());
            if kind == FileType::Directory {
                if let Some(below) = self.directory(&mut frames, at)? {
                    frames.push(below);
                }
            } else {
                self.file(&mut frames, at)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, frames: &mut [Frame], at: u32) -> Result<Option<Frame>, WalkError> {
        let Some(frame) = frames.last() else { return Ok(None) };
        let (verdict, level) = self.selection.directory(&self.path, &frame.level);
        if verdict == Verdict::Skip {
            return Ok(None);
        }
        let name = frame.names.name(at);
        let found = stat(&frame.handle, name).and_then(|(stat, _)| {
            let handle = open_directory(&frame.handle, name, OFlags::NOFOLLOW)?;
            let names = Names::read(&handle, &mut self.dirents)?;
            Ok((stat, handle, names))
        });
        let (stat, handle, names) = match found {
            Ok(found) => found,
            // It went away, or became something else, since its name was read.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if verdict == Verdict::Look => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let number = self.visitor.enter(frame.number, name.to_bytes());
        let path = self.path.len();
        let mut below = Frame { handle, number, level, path, names, next: 0, unsent: Some(stat) };
        if verdict == Verdict::Take {
            self.send_parents(frames)?;
            let (parent, name) =
                (frames.last().map_or(ROOT, |frame| frame.number), name_of(&self.path));
            below.unsent = None;
            let xattrs = attributes(&mut self.xattrs, self.root, &self.path)?;
            let entry = Entry { path: &self.path, link: &[], stat, xattrs };
            self.visitor.entry(parent, name, &entry)?;
        }
        Ok(Some(below))
    }

    fn file(&mut self, frames: &mut [Frame], at: u32) -> Result<(), WalkError> {
        let Some(frame) = frames.last() else { return Ok(()) };
        if !self.selection.file(&self.path, &frame.level) {
            return Ok(());
        }
        let name = frame.names.name(at);
        let found = stat(&frame.handle, name).and_then(|(stat, identity)| {
            let link = if stat.mode & go_mode::SYMLINK == 0 {
                Vec::new()
            } else {
                rustix::fs::readlinkat(&frame.handle, name, Vec::new())?.into_bytes()
            };
            Ok((stat, identity, link))
        });
        let (mut stat, identity, mut link) = match found {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
            Err(error) => return Err(self.failed(error)),
        };
        let number = frame.number;
        self.send_parents(frames)?;
        if let (Some(identity), true) = (identity, stat.is_regular()) {
            match self.hard_links.get(&identity) {
                Some(first) => {
                    link.clone_from(first);
                    stat.size = 0;
                }
                None => {
                    self.hard_links.insert(identity, self.path.clone());
                }
            }
        }
        let xattrs = attributes(&mut self.xattrs, self.root, &self.path)?;
        let entry = Entry { path: &self.path, link: &link, stat, xattrs };
        self.visitor.entry(number, name_of(&self.path), &entry)?;
        Ok(())
    }

    /// Sends the directories above the entry at hand that nothing has needed so far.
    fn send_parents(&mut self, frames: &mut [Frame]) -> Result<(), WalkError> {
        // Usually the directory has been sent; then so have those above it.
        if frames.last().is_none_or(|frame| frame.unsent.is_none()) {
            return Ok(());
        }
        let mut parent = ROOT;
        for frame in frames {
            if let Some(stat) = frame.unsent.take() {
                let path = &self.path[..frame.path];
                let xattrs = attributes(&mut self.xattrs, self.root, path)?;
                let entry = Entry { path, link: &[], stat, xattrs };
                self.visitor.entry(parent, name_of(path), &entry)?;
            }
            parent = frame.number;
        }
        Ok(())
    }

    fn failed(&self, error: Errno) -> WalkError {
        failed(self.root, &self.path, error)
    }
}

/// Reads the extended attributes of a file, if anything is to do so.
fn attributes<'a>(
    reader: &'a mut Option<Xattrs>,
    root: &Path,
    path: &[u8],
) -> Result<&'a [(Vec<u8>, Vec<u8>)], WalkError> {
    match reader {
        Some(reader) => reader.read(path).map_err(|error| failed(root, path, error)),
        None => Ok(&[]),
    }
}

pub(super) fn failed(root: &Path, path: &[u8], error: Errno) -> WalkError {
    let path = if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(path)) };
    WalkError::Io { path, source: error.into() }
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

pub(super) fn open_directory(
    directory: impl AsFd,
    name: impl rustix::path::Arg,
    more: OFlags,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags | more, Mode::empty())
}

fn nanoseconds(seconds: i64, rest: impl TryInto<i64>) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest.try_into().unwrap_or(0))
}

/// The metadata of a file, and what identifies it if it has more names than one.
pub(super) fn stat(directory: &OwnedFd, name: &CStr) -> Result<(Stat, Option<(u64, u64)>), Errno> {
    let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let raw = found.st_mode;
    let kind = FileType::from_raw_mode(raw);
    let mut mode = raw & go_mode::PERMISSIONS;
    mode |= match kind {
        FileType::Directory => go_mode::DIRECTORY,
        FileType::Symlink => go_mode::SYMLINK,
        FileType::Fifo => go_mode::NAMED_PIPE,
        FileType::BlockDevice => go_mode::DEVICE,
        FileType::CharacterDevice => go_mode::DEVICE | go_mode::CHARACTER_DEVICE,
        // A socket travels as an empty file: archives know none.
        _ => 0,
    };
    for (bit, go) in
        [(0o4000, go_mode::SETUID), (0o2000, go_mode::SETGID), (0o1000, go_mode::STICKY)]
    {
        if raw & bit != 0 {
            mode |= go;
        }
    }
    let is_directory = kind == FileType::Directory;
    let mut stat = Stat {
        mode,
        size: if is_directory { 0 } else { u64::try_from(found.st_size).unwrap_or(0) },
        modified: nanoseconds(found.st_mtime, found.st_mtime_nsec),
        device: found.st_dev,
        inode: found.st_ino,
        changed: nanoseconds(found.st_ctime, found.st_ctime_nsec),
        ..Stat::default()
    };
    if mode & go_mode::DEVICE != 0 {
        stat.device_major = rustix::fs::major(found.st_rdev);
        stat.device_minor = rustix::fs::minor(found.st_rdev);
    }
    let shared = !is_directory && found.st_nlink > 1;
    Ok((stat, shared.then_some((found.st_dev, found.st_ino))))
}
