//! Writes a received file tree below one directory and nowhere else.
//!
//! Every path is walked from the root, element by element, without following links: neither a
//! path that the daemon sends nor a link that lies in the directory from before leads out of it.
//! A file appears under its name when it is complete. Modes and times of directories are set at
//! the end, when nothing is written into them any more.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use buildkit_rs_proto::fsutil::types::Stat;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::engine::identity;
use crate::engine::session::SessionError;
use crate::engine::session::filesync::walk::go_mode;

/// Files that are received at the same time.
const AT_ONCE: usize = 32;

/// A directory that receives a tree.
pub(super) struct Disk {
    root: PathBuf,
    handle: OwnedFd,
    /// The directory of the last path, which is mostly that of the next one, too.
    last: Option<(String, OwnedFd)>,
    /// Files whose content has not been asked for.
    waiting: VecDeque<(u32, Stat)>,
    /// Files that are being written.
    open: BTreeMap<u32, Open>,
    hard_links: Vec<Stat>,
    directories: Vec<Stat>,
    /// Every path of the tree.
    paths: BTreeSet<String>,
}

/// A file that is being written under a temporary name.
struct Open {
    stat: Stat,
    file: OwnedFd,
    temporary: String,
}

impl Disk {
    /// Opens `root`, making it if need be.
    pub(super) fn open(root: PathBuf) -> Result<Self, SessionError> {
        let failed = |source| SessionError::Output { path: root.clone(), source };
        fs_err::create_dir_all(&root).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, &root, flags, Mode::empty());
        let handle = handle.map_err(|error| failed(error.into()))?;
        Ok(Self {
            root,
            handle,
            last: None,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            hard_links: Vec::new(),
            directories: Vec::new(),
            paths: BTreeSet::new(),
        })
    }

    /// Makes what can be made at once, and takes note of the rest.
    pub(super) fn announce(&mut self, id: u32, stat: Stat) -> Result<(), SessionError> {
        if !is_inside(&stat.path) {
            return Err(SessionError::Escape { path: stat.path, root: self.root.clone() });
        }
        self.paths.insert(stat.path.clone());
        let kind = stat.mode & go_mode::TYPE;
        if kind & go_mode::DIRECTORY != 0 {
            self.make_directory(&stat).map_err(|error| self.failed(&stat.path, error))?;
            self.directories.push(stat);
        } else if kind & go_mode::SYMLINK != 0
            || kind & (go_mode::DEVICE | go_mode::NAMED_PIPE) != 0
        {
            self.make_special(&stat).map_err(|error| self.failed(&stat.path, error))?;
        } else if !stat.linkname.is_empty() {
            self.hard_links.push(stat);
        } else {
            self.waiting.push_back((id, stat));
        }
        Ok(())
    }

    /// Opens as many waiting files as may be received at once, and returns what to ask for.
    pub(super) fn start_waiting(&mut self) -> Result<Vec<u32>, SessionError> {
        let mut ids = Vec::new();
        while self.open.len() < AT_ONCE
            && let Some((id, stat)) = self.waiting.pop_front()
        {
            let temporary = temporary_name();
            let file = self.directory_of(&stat.path).and_then(|(directory, _)| {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::openat(directory, &temporary, flags, Mode::from_raw_mode(0o600))
            });
            let file = file.map_err(|error| self.failed(&stat.path, error))?;
            self.open.insert(id, Open { stat, file, temporary });
            ids.push(id);
        }
        Ok(ids)
    }

    /// Appends to a file, or ends it when there is nothing to append.
    pub(super) fn data(&mut self, id: u32, mut data: &[u8]) -> Result<(), SessionError> {
        if data.is_empty()
            && let Some(open) = self.open.remove(&id)
        {
            let path = open.stat.path.clone();
            return self.complete(open).map_err(|error| self.failed(&path, error));
        }
        let Some(open) = self.open.get(&id) else {
            let problem = format!("it sends file {id}, which nobody asked for");
            return Err(SessionError::Protocol { problem });
        };
        while !data.is_empty() {
            match rustix::io::write(&open.file, data) {
                Ok(written) => data = &data[written..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed(&open.stat.path, error)),
            }
        }
        Ok(())
    }

    /// Whether every announced file is there.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    /// Makes hard links, removes what the tree does not have, and finishes the directories.
    pub(super) fn finish(&mut self, delete: bool) -> Result<(), SessionError> {
        for stat in std::mem::take(&mut self.hard_links) {
            if !is_inside(&stat.linkname) {
                return Err(SessionError::Escape { path: stat.linkname, root: self.root.clone() });
            }
            self.make_hard_link(&stat).map_err(|error| self.failed(&stat.path, error))?;
        }
        if delete {
            let handle = rustix::io::dup(&self.handle).map_err(|error| self.failed("", error))?;
            self.remove_unknown(handle, "").map_err(|error| self.failed("", error))?;
        }
        // The deepest first: setting a mode may take the right to enter.
        for stat in std::mem::take(&mut self.directories).iter().rev() {
            self.finish_directory(stat).map_err(|error| self.failed(&stat.path, error))?;
        }
        Ok(())
    }

    fn make_directory(&mut self, stat: &Stat) -> Result<(), Errno> {
        let (directory, name) = self.directory_of(&stat.path)?;
        loop {
            match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
            let there = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
                // One that was left without these rights can be written into all the same.
                let _ = rustix::fs::chmodat(directory, name, Mode::RWXU, AtFlags::empty());
                return Ok(());
            }
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
        }
    }

    fn make_special(&mut self, stat: &Stat) -> Result<(), Errno> {
        let (directory, name) = self.directory_of(&stat.path)?;
        let temporary = temporary_name();
        if stat.mode & go_mode::SYMLINK != 0 {
            rustix::fs::symlinkat(&stat.linkname, directory, &temporary)?;
        } else {
            let kind = if stat.mode & go_mode::NAMED_PIPE != 0 {
                FileType::Fifo
            } else if stat.mode & go_mode::CHARACTER_DEVICE != 0 {
                FileType::CharacterDevice
            } else {
                FileType::BlockDevice
            };
            let number = |part| u32::try_from(part).unwrap_or(0);
            let device = rustix::fs::makedev(number(stat.devmajor), number(stat.devminor));
            rustix::fs::mknodat(directory, &temporary, kind, unix_mode(stat.mode), device)?;
            rustix::fs::chmodat(directory, &temporary, unix_mode(stat.mode), AtFlags::empty())?;
        }
        let times = times(stat);
        rustix::fs::utimensat(directory, &temporary, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        place(directory, &temporary, name)
    }

    fn complete(&mut self, open: Open) -> Result<(), Errno> {
        let Open { stat, file, temporary } = open;
        for (name, value) in &stat.xattrs {
            // Not every file system takes every attribute, nor every user those of others.
            let _ =
                rustix::fs::fsetxattr(&file, name.as_str(), value, rustix::fs::XattrFlags::empty());
        }
        rustix::fs::fchmod(&file, unix_mode(stat.mode))?;
        rustix::fs::futimens(&file, &times(&stat))?;
        let (directory, name) = self.directory_of(&stat.path)?;
        place(directory, &temporary, name)
    }

    fn make_hard_link(&mut self, stat: &Stat) -> Result<(), Errno> {
        let (target, target_name) = self.directory_of(&stat.linkname)?;
        let target = rustix::io::dup(target)?;
        let (directory, name) = self.directory_of(&stat.path)?;
        let temporary = temporary_name();
        rustix::fs::linkat(&target, target_name, directory, &temporary, AtFlags::empty())?;
        place(directory, &temporary, name)
    }

    fn finish_directory(&mut self, stat: &Stat) -> Result<(), Errno> {
        let (directory, name) = self.directory_of(&stat.path)?;
        let handle = open_directory(directory, name)?;
        for (name, value) in &stat.xattrs {
            let _ = rustix::fs::fsetxattr(
                &handle,
                name.as_str(),
                value,
                rustix::fs::XattrFlags::empty(),
            );
        }
        rustix::fs::fchmod(&handle, unix_mode(stat.mode))?;
        rustix::fs::futimens(&handle, &times(stat))
    }

    /// Removes everything below `handle` that is not part of the tree.
    fn remove_unknown(&self, handle: OwnedFd, path: &str) -> Result<(), Errno> {
        for (name, kind) in entries(&handle)? {
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let known = self.paths.contains(&below);
            if kind == FileType::Directory {
                self.remove_unknown(open_directory(&handle, &name)?, &below)?;
                if !known {
                    rustix::fs::unlinkat(&handle, &name, AtFlags::REMOVEDIR)?;
                }
            } else if !known {
                rustix::fs::unlinkat(&handle, &name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// The directory of `path`, walked to from the root without following links, and the name.
    fn directory_of<'p>(&mut self, path: &'p str) -> Result<(&OwnedFd, &'p str), Errno> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if directory.is_empty() {
            return Ok((&self.handle, name));
        }
        if self.last.as_ref().is_none_or(|(path, _)| path != directory) {
            let mut handle: Option<OwnedFd> = None;
            for element in directory.split('/') {
                handle = Some(open_directory(handle.as_ref().unwrap_or(&self.handle), element)?);
            }
            self.last = handle.map(|handle| (directory.to_owned(), handle));
        }
        Ok((self.last.as_ref().map_or(&self.handle, |(_, handle)| handle), name))
    }

    fn failed(&self, path: &str, error: Errno) -> SessionError {
        SessionError::Output { path: self.root.join(path), source: io::Error::from(error) }
    }
}

impl Drop for Disk {
    /// Removes what was not completed.
    fn drop(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            if let Ok((directory, _)) = self.directory_of(&open.stat.path) {
                let _ = rustix::fs::unlinkat(directory, &open.temporary, AtFlags::empty());
            }
        }
    }
}

/// Whether a path that was sent names something below the root.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|element| !matches!(element, "" | "." | ".."))
}

fn temporary_name() -> String {
    format!(".kitwright-{}", identity::random())
}

/// Moves a finished file to its name, over whatever is there.
fn place(directory: &OwnedFd, temporary: &str, name: &str) -> Result<(), Errno> {
    match rustix::fs::renameat(directory, temporary, directory, name) {
        Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
            let unknown = Tree { directory, name };
            unknown.remove()?;
            rustix::fs::renameat(directory, temporary, directory, name)
        }
        // Two names of one file stay where they are; the temporary one must still go.
        Ok(()) => match rustix::fs::unlinkat(directory, temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// A directory that makes way for a file.
struct Tree<'a> {
    directory: &'a OwnedFd,
    name: &'a str,
}

impl Tree<'_> {
    fn remove(&self) -> Result<(), Errno> {
        let handle = open_directory(self.directory, self.name)?;
        for (name, kind) in entries(&handle)? {
            if kind == FileType::Directory {
                Tree { directory: &handle, name: &name }.remove()?;
            } else {
                rustix::fs::unlinkat(&handle, &name, AtFlags::empty())?;
            }
        }
        rustix::fs::unlinkat(self.directory, self.name, AtFlags::REMOVEDIR)
    }
}

fn entries(directory: &OwnedFd) -> Result<Vec<(String, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        // A name that is no UTF-8 cannot have come from here, and is left alone.
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !matches!(name, "." | "..") {
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                known => known,
            };
            found.push((name.to_owned(), kind));
        }
    }
    Ok(found)
}

fn open_directory(directory: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// The permission bits of Go's mode, as the system has them.
fn unix_mode(mode: u32) -> Mode {
    let mut raw = mode & go_mode::PERMISSIONS;
    for (go, bit) in
        [(go_mode::SETUID, 0o4000), (go_mode::SETGID, 0o2000), (go_mode::STICKY, 0o1000)]
    {
        if mode & go != 0 {
            raw |= bit;
        }
    }
    Mode::from_raw_mode(raw)
}

fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec {
        tv_sec: stat.mod_time.div_euclid(1_000_000_000),
        tv_nsec: stat.mod_time.rem_euclid(1_000_000_000),
    };
    let untouched = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access: untouched, last_modification: modified }
}
