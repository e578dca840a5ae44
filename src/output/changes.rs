//! Brings the changes that a command made to a file tree back into the tree on disk.
//!
//! Input: an OCI archive (tar of an image layout) whose one image holds the changes as layers, each
//! an uncompressed tar with whiteouts as the OCI image specification has them. A file that ends up
//! with the content and mode it had is not touched, so that a generator which writes everything anew
//! leaves time stamps alone.
mod archive;
mod disk;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::fault::{Classified, Fault};
use crate::plan::pattern::Patterns;
use archive::{layers, read_layer};

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

fn unreadable(source: std::io::Error) -> ChangesError {
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
            read_layer(path, layer, |content| self.apply_layer(content, &mut changes))?;
        }
        Ok(changes)
    }

    fn apply_layer(&self, layer: impl Read, changes: &mut Changes) -> Result<(), ChangesError> {
        let mut layer = tar::Archive::new(layer);
        for entry in layer.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

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
