//! Directories of the client as the engine would see them: which files are sent, and their digests.
//!
//! Input: the settings of a local source and the directory that it means. Output: a [`Tree`] from
//! which the content digest of any part can be had. A file's digest covers its metadata and content
//! as BuildKit's `cache/contenthash` feeds them: owner root, no times.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::content::{ContentError, File, FileKind, Tree};
use crate::engine::session::SessionError;
use crate::engine::session::filesync::listing::{Kind, Listed, Xattrs, list};
use crate::engine::session::filesync::walk::go_mode;
use crate::key::memory::Memory;
use crate::oci::digest::Digest;
use crate::parallel::spread;

/// Files that one thread takes at once.
const BATCH: usize = 64;

/// What a local source asks of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The name of the directory.
    pub name: String,
    /// The paths that are sent, with what their links lead to; all when empty.
    pub follow: Vec<String>,
    /// Patterns of what is sent; all when empty.
    pub include: Vec<String>,
    /// Patterns of what is not sent.
    pub exclude: Vec<String>,
}

impl Request {
    /// Reads the settings of the local source `name`.
    #[must_use]
    pub fn of(name: &str, attrs: &BTreeMap<String, String>) -> Self {
        let list = |key: &str| {
            let text = attrs.get(key).map_or("[]", String::as_str);
            serde_json::from_str(text).unwrap_or_default()
        };
        Self {
            name: name.to_owned(),
            follow: list("local.followpaths"),
            include: list("local.includepattern"),
            exclude: list("local.excludepatterns"),
        }
    }
}

/// A directory whose files cannot be digested.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be listed.
    #[error(transparent)]
    List(#[from] SessionError),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has no digest.
    #[error(transparent)]
    Tree(#[from] ContentError),
    /// More than the caller wanted to wait for.
    #[error("{bytes} bytes would have to be read")]
    TooMuch {
        /// What is not remembered of its files.
        bytes: u64,
    },
    /// Dockerfiles do not ask for it.
    #[error("the local source `{0}` selects files by patterns")]
    Patterns(String),
}

/// The files that `request` asks of `root`, recalling the digests of unchanged ones and reading no more
/// than `limit` bytes of the others, if there is a limit.
///
/// # Errors
///
/// A [`LocalError`] when something cannot be read, or the engine would see something else.
pub fn tree(
    root: &Path,
    request: &Request,
    memory: &mut Memory,
    limit: Option<u64>,
) -> Result<Tree, LocalError> {
    if !request.include.is_empty() {
        return Err(LocalError::Patterns(request.name.clone()));
    }
    let listed = list(root, request.follow.clone(), request.exclude.clone())?;
    let digests = digests(root, &listed, memory, limit)?;
    let files: Vec<File> = listed
        .into_iter()
        .zip(digests)
        .map(|(file, digest)| File {
            path: file.path,
            digest,
            kind: match file.kind {
                Kind::Directory => FileKind::Directory,
                Kind::Symlink(target) => FileKind::Symlink(target),
                Kind::HardLink(first) => FileKind::HardLink(first),
                Kind::Regular | Kind::Special(..) => FileKind::File,
            },
        })
        .collect();
    Ok(Tree::new(&files)?)
}

fn digests(
    root: &Path,
    files: &[Listed],
    memory: &mut Memory,
    limit: Option<u64>,
) -> Result<Vec<Digest>, LocalError> {
    memory.load(root);
    let known = &*memory;
    if let Some(limit) = limit {
        let regular = files.iter().filter(|file| file.kind == Kind::Regular);
        let unknown = regular.filter(|file| known.recall(root, file).is_none());
        let bytes = unknown.map(|file| file.size).sum();
        if bytes > limit {
            return Err(LocalError::TooMuch { bytes });
        }
    }
    let batches = spread(
        files.len().div_ceil(BATCH),
        1,
        || (Xattrs::new(root), vec![0; 64 << 10]),
        |(xattrs, buffer), batch| {
            let files = &files[batch * BATCH..files.len().min((batch + 1) * BATCH)];
            let digest = |file| match known.recall(root, file) {
                Some(digest) => Ok((digest, false)),
                None => Ok((file_digest(root, file, xattrs, buffer)?, file.kind == Kind::Regular)),
            };
            files.iter().map(digest).collect::<Result<Vec<_>, LocalError>>()
        },
    )?;
    let digests: Vec<(Digest, bool)> = batches.into_iter().flatten().collect();
    let new = files.iter().zip(&digests).filter(|(_, (_, is_new))| *is_new);
    memory.note(root, new.map(|(file, (digest, _))| (file, *digest)));
    Ok(digests.into_iter().map(|(digest, _)| digest).collect())
}

fn file_digest(
    root: &Path,
    file: &Listed,
    xattrs: &mut Xattrs,
    buffer: &mut [u8],
) -> Result<Digest, LocalError> {
    let path = root.join(OsStr::from_bytes(&file.path));
    let failed = |source| LocalError::Content { path: path.clone(), source };
    let xattrs = xattrs.read(&file.path).map_err(|error| failed(error.into()))?;
    let mut hash = header(file, xattrs);
    if file.kind == Kind::Regular {
        let mut from = std::fs::File::open(&path).map_err(failed)?;
        loop {
            match from.read(buffer).map_err(failed)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// The metadata of a file, in the order of the first version of Docker's tar sums.
fn header(file: &Listed, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Sha256 {
    let bit = |from: u32, to: u32| if file.mode & from == 0 { 0 } else { to };
    let mode = file.mode & go_mode::PERMISSIONS
        | bit(go_mode::SETUID, 0o4000)
        | bit(go_mode::SETGID, 0o2000)
        | bit(go_mode::STICKY, 0o1000);
    let (kind, target, size) = match &file.kind {
        Kind::Regular | Kind::HardLink(_) => ('0', &[][..], file.size),
        Kind::Directory => ('5', &[][..], 0),
        Kind::Symlink(target) => ('2', &target[..], 0),
        Kind::Special(..) if file.mode & go_mode::NAMED_PIPE != 0 => ('6', &[][..], 0),
        Kind::Special(..) if file.mode & go_mode::CHARACTER_DEVICE != 0 => ('3', &[][..], 0),
        Kind::Special(..) => ('4', &[][..], 0),
    };
    let (major, minor) = match file.kind {
        Kind::Special(major, minor) => (major, minor),
        _ => (0, 0),
    };
    let mut hash = Sha256::new();
    hash.update(format!("namemode{mode}uid0gid0size{size}typeflag{kind}linkname"));
    hash.update(target);
    hash.update(format!("unamegnamedevmajor{major}devminor{minor}"));
    let mut xattrs: Vec<_> = xattrs.iter().filter(|(name, _)| counts(name)).collect();
    xattrs.sort();
    for (name, value) in xattrs {
        hash.update(name);
        hash.update(value);
    }
    hash
}

/// Whether an extended attribute is part of a file's identity: those of the machine are not.
fn counts(name: &[u8]) -> bool {
    name == b"security.capability"
        || !(name.starts_with(b"security.") || name.starts_with(b"system."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_caller_wants() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("a"), "four").unwrap();
        fs_err::write(folder.path().join("b"), "and more").unwrap();
        let tree =
            |limit| tree(folder.path(), &Request::default(), &mut Memory::empty(), limit).map(drop);
        assert!(matches!(tree(Some(11)), Err(LocalError::TooMuch { bytes: 12 })));
        tree(Some(12)).unwrap();
        tree(None).unwrap();
    }
}
