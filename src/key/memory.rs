//! Remembers the digests of files by what the system says of them without reading them.
//!
//! A file is taken to be unchanged when inode, size, modification time and change time are what they
//! were, and the change time was not so recent when it was read that a later change could bear the
//! same one. The file on disk is a cache: anything wrong with it only means reading again.
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::session::filesync::listing::Listed;
use crate::oci::digest::Digest;

/// The first bytes of the file: its format.
const MAGIC: &[u8; 8] = b"kwfiles1";

/// A file that changed within this time before it was noted is read again, in nanoseconds: clocks of
/// file systems tick coarsely.
const GRACE: i64 = 20_000_000;

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    inode: u64,
    size: u64,
    modified: i64,
    changed: i64,
    /// When it was read.
    noted: i64,
    digest: [u8; 32],
}

/// Bytes of a [`Known`] on disk.
const RECORD: usize = 72;

/// Digests of files from earlier runs.
pub struct Memory {
    /// Where it is kept; nowhere when it is only for this run.
    place: Option<PathBuf>,
    files: BTreeMap<Vec<u8>, Known>,
    dirty: bool,
    hits: usize,
}

impl Memory {
    /// A memory of nothing that is not kept.
    #[must_use]
    pub const fn empty() -> Self {
        Self { place: None, files: BTreeMap::new(), dirty: false, hits: 0 }
    }

    /// The memory kept in the file `place`, empty if that cannot be read.
    #[must_use]
    pub fn open(place: PathBuf) -> Self {
        let files = std::fs::read(&place).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        Self { place: Some(place), files, dirty: false, hits: 0 }
    }

    /// How many files were recalled.
    #[must_use]
    pub const fn hits(&self) -> usize {
        self.hits
    }

    /// The digest of a file, if it is as it was when that was noted.
    pub(super) fn recall(&mut self, root: &Path, file: &Listed) -> Option<Digest> {
        let known = self.files.get(&name(root, file))?;
        let same = known.inode == file.inode
            && known.size == file.size
            && known.modified == file.modified
            && known.changed == file.changed
            && known.noted.saturating_sub(known.changed) > GRACE;
        same.then(|| {
            self.hits += 1;
            Digest::from_bytes(known.digest)
        })
    }

    /// Notes the digest of a file that was just read.
    pub(super) fn note(&mut self, root: &Path, file: &Listed, digest: Digest) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let known = Known {
            inode: file.inode,
            size: file.size,
            modified: file.modified,
            changed: file.changed,
            noted: i64::try_from(since.as_nanos()).unwrap_or(0),
            digest: *digest.as_bytes(),
        };
        self.files.insert(name(root, file), known);
        self.dirty = true;
    }

    /// Makes all notes old enough to be trusted.
    #[cfg(test)]
    pub(super) fn age(&mut self) {
        for known in self.files.values_mut() {
            known.noted = known.changed + GRACE + 1;
        }
    }

    /// Writes it down if it has learnt anything.
    ///
    /// # Errors
    ///
    /// What the system says; the file is as it was then.
    pub fn save(&self) -> std::io::Result<()> {
        let (Some(place), true) = (&self.place, self.dirty) else { return Ok(()) };
        let folder = place.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let mut bytes = MAGIC.to_vec();
        for (name, known) in &self.files {
            let Ok(length) = u32::try_from(name.len()) else { continue };
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(name);
            for number in [known.inode, known.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for time in [known.modified, known.changed, known.noted] {
                bytes.extend_from_slice(&time.to_le_bytes());
            }
            bytes.extend_from_slice(&known.digest);
        }
        let file = tempfile::NamedTempFile::new_in(folder)?;
        fs_err::write(file.path(), bytes)?;
        file.persist(place).map(drop).map_err(|error| error.error)
    }
}

fn name(root: &Path, file: &Listed) -> Vec<u8> {
    let root = root.as_os_str().as_bytes();
    let mut name = Vec::with_capacity(root.len() + 1 + file.path.len());
    name.extend_from_slice(root);
    name.push(b'/');
    name.extend_from_slice(&file.path);
    name
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Known>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (name, after) = after.split_at_checked(length)?;
        let (record, after) = after.split_first_chunk::<RECORD>()?;
        let number = |at: usize| {
            record[at..at + 8].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let known = Known {
            inode: number(0),
            size: number(8),
            modified: number(16).cast_signed(),
            changed: number(24).cast_signed(),
            noted: number(32).cast_signed(),
            digest: record[40..].try_into().ok()?,
        };
        files.push((name.to_vec(), known));
        rest = after;
    }
    // Written in order, so this builds the map without comparing each with all.
    Some(files.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::session::filesync::listing::Kind;

    #[test]
    fn what_is_saved_is_recalled_and_rubbish_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("files");
        let file = Listed {
            path: b"a".to_vec(),
            kind: Kind::Regular,
            mode: 0o644,
            size: 3,
            modified: -5,
            changed: 7,
            inode: u64::MAX,
            xattrs: Vec::new(),
        };
        let mut memory = Memory::open(place.clone());
        memory.note(Path::new("/r"), &file, Digest::of(b"x"));
        memory.save().unwrap();
        let mut again = Memory::open(place.clone());
        assert_eq!(again.recall(Path::new("/r"), &file), Some(Digest::of(b"x")));
        assert_eq!(again.recall(Path::new("/other"), &file), None);
        let bytes = fs_err::read(&place).unwrap();
        for broken in [&bytes[..bytes.len() - 1], b"kwfiles0", b""] {
            fs_err::write(&place, broken).unwrap();
            assert_eq!(Memory::open(place.clone()).recall(Path::new("/r"), &file), None);
        }
    }
}
