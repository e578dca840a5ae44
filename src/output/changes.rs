//! Brings the changes that a command made to a file tree back into the tree on disk.
//!
//! Input: an OCI archive (tar of an image layout) whose one image holds the changes as layers, each
//! an uncompressed tar with whiteouts as the OCI image specification has them. A file that ends up
//! with the content and mode it had is not touched, so that a generator which writes everything anew
//! leaves time stamps alone.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::manifest::Manifest;
use crate::plan::pattern::Patterns;

/// Marks a removed entry in a layer.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a folder whose former content is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What was changed on disk, as paths below the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files written, links made, modes changed.
    pub written: Vec<PathBuf>,
    /// Entries removed.
    pub removed: Vec<PathBuf>,
}

/// Changes that could not be brought back.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ChangesError {
    /// The archive is broken.
    #[error("the builder's archive of changed files cannot be read")]
    Archive {
        /// What is wrong.
        source: std::io::Error,
    },
    /// The archive lacks something or holds what it should not.
    #[error("the builder's archive of changed files is broken: {0}")]
    Broken(String),
    /// A path in the archive leads out of the tree.
    #[error("the command changed `{0}`, which leads out of the working tree")]
    Escape(String),
    /// The disk refused.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Classified for ChangesError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

fn archive(source: std::io::Error) -> ChangesError {
    ChangesError::Archive { source }
}

/// A tree on disk, and which of its entries were hidden from the command.
pub struct Tree {
    root: PathBuf,
    hidden: Patterns,
}

impl Tree {
    /// The tree at `root`; what `hidden` matches was not shown to the command and is never removed.
    #[must_use]
    pub const fn new(root: PathBuf, hidden: Patterns) -> Self {
        Self { root, hidden }
    }

    /// Applies the changes in the OCI archive at `path`.
    ///
    /// # Errors
    ///
    /// [`ChangesError`]; files before the one that failed stay changed.
    pub fn apply(&self, path: &Path) -> Result<Changes, ChangesError> {
        let mut changes = Changes::default();
        for layer in layers(path)? {
            let mut found = false;
            let mut outer = tar::Archive::new(fs_err::File::open(path).map_err(archive)?);
            for entry in outer.entries().map_err(archive)? {
                let entry = entry.map_err(archive)?;
                if *entry.path_bytes() == *blob(layer).as_bytes() {
                    self.apply_layer(entry, &mut changes)?;
                    found = true;
                    break;
                }
            }
            if !found {
                return Err(ChangesError::Broken(format!("it has no blob {layer}")));
            }
        }
        Ok(changes)
    }

    fn apply_layer(&self, layer: impl Read, changes: &mut Changes) -> Result<(), ChangesError> {
        let mut layer = tar::Archive::new(layer);
        for entry in layer.entries().map_err(archive)? {
            let mut entry = entry.map_err(archive)?;
            let path = inside(&entry.path_bytes())?;
            let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
            if name == OPAQUE {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                self.empty(&folder, changes)?;
            } else if let Some(removed) = name.strip_prefix(WHITEOUT) {
                self.remove(&path.with_file_name(OsStr::from_bytes(removed)), changes)?;
            } else if path.as_os_str().is_empty() {
                // The root itself: its mode is the working tree's own business.
            } else if self.write(&path, &mut entry)? {
                changes.written.push(path);
            }
        }
        Ok(())
    }

    /// Removes what the command saw at `path`; `true` if nothing is left of it.
    fn remove(&self, path: &Path, changes: &mut Changes) -> Result<bool, ChangesError> {
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
    fn empty(&self, folder: &Path, changes: &mut Changes) -> Result<bool, ChangesError> {
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
    fn write(
        &self,
        path: &Path,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<bool, ChangesError> {
        let full = self.real(path)?;
        let failed = |source| ChangesError::Write { path: full.clone(), source };
        let mode = entry.header().mode().map_err(archive)? & 0o7777;
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
                let target = entry.link_name().map_err(archive)?.unwrap_or_default().into_owned();
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
                entry.read_to_end(&mut content).map_err(archive)?;
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

/// A path of an archive as one below the root.
fn inside(bytes: &[u8]) -> Result<PathBuf, ChangesError> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ChangesError::Escape(path.display().to_string()));
            }
        }
    }
    Ok(inside)
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The layers of the archive's only image, the lowest first.
fn layers(path: &Path) -> Result<Vec<Digest>, ChangesError> {
    let mut small: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut outer = tar::Archive::new(fs_err::File::open(path).map_err(archive)?);
    for entry in outer.entries().map_err(archive)? {
        let mut entry = entry.map_err(archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Manifests and the index; layers are read when their turn comes.
        if entry.size() < 1 << 20 {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(archive)?;
            small.insert(name, bytes);
        }
    }
    let missing = |name: &str| ChangesError::Broken(format!("it has no `{name}`"));
    let parse = |name: &str| {
        let bytes = small.get(name).ok_or_else(|| missing(name))?;
        Manifest::parse(None, bytes).map_err(|error| ChangesError::Broken(error.to_string()))
    };
    let Manifest::Index(index) = parse("index.json")? else { return Err(missing("index.json")) };
    let Some(root) = index.manifests.first() else { return Ok(Vec::new()) };
    match parse(&blob(root.digest))? {
        Manifest::Image(image) => Ok(image.layers.iter().map(|layer| layer.digest).collect()),
        Manifest::Index(_) => Err(ChangesError::Broken("it has an index for one image".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(entries: &[(&str, &str, u32)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content, mode) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, path, &[][..]).unwrap();
            } else if let Some(target) = content.strip_prefix("-> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn tree(hidden: &[&str]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().to_owned(), Patterns::parse(hidden).unwrap());
        (folder, tree)
    }

    fn applied(tree: &Tree, entries: &[(&str, &str, u32)]) -> Result<Changes, ChangesError> {
        let mut changes = Changes::default();
        tree.apply_layer(&tarball(entries)[..], &mut changes)?;
        Ok(changes)
    }

    #[test]
    fn files_links_and_modes_come_back_and_the_same_again_changes_nothing() {
        let (folder, tree) = tree(&[]);
        let entries = [
            ("d/", "", 0o750),
            ("d/a", "one", 0o644),
            ("d/run", "x", 0o755),
            ("l", "-> d/a", 0o777),
        ];
        assert_eq!(applied(&tree, &entries).unwrap().written.len(), 4);
        let mode = |path: &str| fs_err::metadata(folder.path().join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("d"), mode("d/a"), mode("d/run")), (0o750, 0o644, 0o755));
        assert_eq!(fs_err::read_to_string(folder.path().join("l")).unwrap(), "one");
        assert_eq!(applied(&tree, &entries).unwrap(), Changes::default());
        let changed = applied(&tree, &[("d/a", "one", 0o600)]).unwrap();
        assert_eq!(changed.written, [Path::new("d/a")]);
    }

    #[test]
    fn removals_spare_what_the_command_did_not_see() {
        let (folder, tree) = tree(&["gen/keep"]);
        for path in ["gen/keep/x", "gen/old", "gone"] {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        let changes = applied(&tree, &[(".wh.gone", "", 0), (".wh.gen", "", 0)]).unwrap();
        assert_eq!(changes.removed, [Path::new("gone"), Path::new("gen/old")]);
        assert!(folder.path().join("gen/keep/x").exists());
        fs_err::write(folder.path().join("gen/new"), "").unwrap();
        let changes = applied(&tree, &[("gen/.wh..wh..opq", "", 0)]).unwrap();
        assert_eq!(changes.removed, [Path::new("gen/new")]);
    }

    #[test]
    fn nothing_leads_out_of_the_tree() {
        let (folder, tree) = tree(&[]);
        std::os::unix::fs::symlink("/tmp", folder.path().join("out")).unwrap();
        assert!(matches!(applied(&tree, &[("out/x", "bad", 0o644)]), Err(ChangesError::Escape(_))));
        assert!(matches!(inside(b"../x"), Err(ChangesError::Escape(_))));
        assert_eq!(inside(b"/./a/b").unwrap(), Path::new("a/b"));
    }
}
