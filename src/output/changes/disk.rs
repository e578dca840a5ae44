//! Entries of the tree on disk: how they are written, replaced and removed.
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Changes, ChangesError, Tree, inside, unreadable};

impl Tree {
    /// Removes what the command saw at `path`; `true` if nothing is left of it.
    pub(super) fn remove(&self, path: &Path, changes: &mut Changes) -> Result<bool, ChangesError> {
        if self.hidden.matches(path.as_os_str().as_bytes()) {
            return Ok(false);
        }
        let full = self.real(path)?;
        let failed = |source| ChangesError::Write { path: full.clone(), source };
        match fs_err::symlink_metadata(&full) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed(error)),
            Ok(found) if found.is_dir() => {
                if !self.empty(path, changes)? {
                    return Ok(false);
                }
                fs_err::remove_dir(&full).map_err(failed)?;
            }
            Ok(_) => fs_err::remove_file(&full).map_err(failed)?,
        }
        changes.removed.push(path.to_owned());
        Ok(true)
    }

    /// Removes what the command saw in a folder; `true` if nothing is left in it.
    pub(super) fn empty(&self, folder: &Path, changes: &mut Changes) -> Result<bool, ChangesError> {
        let full = self.real(&folder.join("x"))?.with_file_name("");
        let failed = |source| ChangesError::Write { path: full.clone(), source };
        let mut empty = true;
        for entry in fs_err::read_dir(&full).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            empty &= self.remove(&folder.join(name), changes)?;
        }
        Ok(empty)
    }

    /// Writes one entry; `false` if it was there already.
    pub(super) fn write(
        &self,
        path: &Path,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<bool, ChangesError> {
        let full = self.real(path)?;
        let failed = |source| ChangesError::Write { path: full.clone(), source };
        let mode = entry.header().mode().map_err(unreadable)? & 0o7777;
        let there = fs_err::symlink_metadata(&full).ok();
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                let known = there.as_ref().is_some_and(std::fs::Metadata::is_dir);
                if known && there.is_some_and(|there| there.mode() & 0o7777 == mode) {
                    return Ok(false);
                }
                if !known {
                    self.make_way(&full)?;
                    fs_err::create_dir(&full).map_err(failed)?;
                    self.own(&full, None).map_err(failed)?;
                }
                set_mode(&full, mode).map_err(failed)?;
            }
            tar::EntryType::Symlink => {
                let target =
                    entry.link_name().map_err(unreadable)?.unwrap_or_default().into_owned();
                if fs_err::read_link(&full).is_ok_and(|old| old == target) {
                    return Ok(false);
                }
                self.make_way(&full)?;
                fs_err::os::unix::fs::symlink(&target, &full).map_err(failed)?;
                self.own(&full, there.as_ref()).map_err(failed)?;
            }
            tar::EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = self.real(&inside(&target)?)?;
                self.make_way(&full)?;
                fs_err::hard_link(&target, &full).map_err(failed)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(unreadable)?;
                return self.write_file(&full, &content, mode, there.as_ref()).map_err(failed);
            }
            // Devices, sockets and pipes have no place in a working tree.
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write_file(
        &self,
        full: &Path,
        content: &[u8],
        mode: u32,
        there: Option<&std::fs::Metadata>,
    ) -> std::io::Result<bool> {
        let regular = there.filter(|there| there.is_file());
        let same = |there: &std::fs::Metadata| {
            there.len() == content.len() as u64
                && fs_err::read(full).is_ok_and(|old| old == content)
        };
        if let Some(there) = regular.filter(|there| same(there)) {
            if there.mode() & 0o7777 == mode {
                return Ok(false);
            }
            set_mode(full, mode)?;
            return Ok(true);
        }
        if regular.is_none() {
            self.make_way(full).map_err(std::io::Error::other)?;
        }
        let folder = full.parent().unwrap_or(&self.root);
        let file = tempfile::Builder::new().prefix(".kitwright-").tempfile_in(folder)?;
        fs_err::write(file.path(), content)?;
        self.own(file.path(), regular)?;
        set_mode(file.path(), mode)?;
        file.persist(full).map_err(|error| error.error)?;
        Ok(true)
    }

    /// Gives a new entry the owner of what it replaces, else that of its folder. Only root can.
    fn own(&self, path: &Path, replaced: Option<&std::fs::Metadata>) -> std::io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let (user, group) = match replaced {
            Some(replaced) => (replaced.uid(), replaced.gid()),
            None => {
                let folder = fs_err::metadata(path.parent().unwrap_or(&self.root))?;
                (folder.uid(), folder.gid())
            }
        };
        std::os::unix::fs::lchown(path, Some(user), Some(group))
    }

    /// Removes a file or an empty folder that stands where something of another kind comes.
    fn make_way(&self, full: &Path) -> Result<(), ChangesError> {
        let removed = match fs_err::symlink_metadata(full) {
            Ok(found) if found.is_dir() => fs_err::remove_dir_all(full),
            Ok(_) => fs_err::remove_file(full),
            Err(_) => Ok(()),
        };
        removed.map_err(|source| ChangesError::Write { path: full.to_owned(), source })
    }

    /// The place of `path` on disk; no folder on the way may be a link, which could lead out.
    fn real(&self, path: &Path) -> Result<PathBuf, ChangesError> {
        let mut real = self.root.clone();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            real.push(part);
            if parts.peek().is_some()
                && fs_err::symlink_metadata(&real).is_ok_and(|found| found.is_symlink())
            {
                return Err(ChangesError::Escape(path.display().to_string()));
            }
        }
        Ok(real)
    }
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))
}
