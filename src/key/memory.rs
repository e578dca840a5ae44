//! Remembers the digests of files by what the system says of them without reading them.
//!
//! A file is taken to be unchanged when inode, size, modification time and change time are what they
//! were, and the change time was not so recent when it was read that a later change could bear the
//! same one. The same holds for all files of a question at once, which saves looking at what is
//! known of each. The file on disk is a cache: anything wrong with it only means reading again.
mod tree;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::engine::session::filesync::listing::Listed;
use crate::oci::digest::Digest;
use tree::{Known, Tree};

/// The same of the file with answers about many files at once.
const ANSWERS: &[u8; 8] = b"kwanswr1";

/// A file that changed within this time before it was noted is read again, in nanoseconds: clocks of
/// file systems tick coarsely.
const GRACE: i64 = 20_000_000;

/// How many directories are kept: beyond that, those that were saved longest ago are forgotten.
const KEPT: usize = 64;

/// What the system says of all files of a question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stats {
    /// The digest of that.
    digest: [u8; 32],
    /// The last change of any of them.
    changed: i64,
    /// When looking at them began.
    begun: i64,
}

impl Stats {
    /// Sums up `files`, which were looked at after `begun`.
    pub(super) fn of(files: &[&Listed], begun: i64) -> Self {
        let mut hash = Sha256::new();
        let mut record = Vec::with_capacity(256);
        let mut changed = i64::MIN;
        for file in files {
            record.clear();
            for number in [file.inode, file.size, u64::from(file.mode)] {
                record.extend_from_slice(&number.to_le_bytes());
            }
            for time in [file.modified, file.changed] {
                record.extend_from_slice(&time.to_le_bytes());
            }
            let (kind, rest) = file.kind.record();
            record.push(kind);
            for text in [&file.path, rest] {
                record.extend_from_slice(&(text.len() as u64).to_le_bytes());
                record.extend_from_slice(text);
            }
            hash.update(&record);
            changed = changed.max(file.changed);
        }
        Self { digest: hash.finalize().into(), changed, begun }
    }
}

/// The answer to a question about many files, and what they were like.
#[derive(Clone, Copy)]
struct Answer {
    stats: Stats,
    digest: [u8; 32],
}

/// Bytes of a question and its [`Answer`] on disk.
const ANSWER: usize = 112;

/// Digests of files from earlier runs.
pub struct Memory {
    /// The folder where it is kept; nowhere when it is only for this run.
    place: Option<PathBuf>,
    answers: BTreeMap<[u8; 32], Answer>,
    /// Whether an answer was noted.
    dirty: bool,
    /// What is known of single files, by the directory: it is large, and read when somebody asks
    /// for one of its files.
    trees: BTreeMap<PathBuf, Tree>,
    hits: usize,
}

impl Memory {
    /// A memory of nothing that is not kept.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            place: None,
            answers: BTreeMap::new(),
            dirty: false,
            trees: BTreeMap::new(),
            hits: 0,
        }
    }

    /// The memory kept in the folder `place`, empty if that cannot be read.
    #[must_use]
    pub fn open(place: PathBuf) -> Self {
        let bytes = std::fs::read(place.join("answers")).unwrap_or_default();
        let answers = answers(&bytes).unwrap_or_default();
        Self { place: Some(place), answers, dirty: false, trees: BTreeMap::new(), hits: 0 }
    }

    /// How many files were recalled.
    #[must_use]
    pub const fn hits(&self) -> usize {
        self.hits
    }

    /// Counts files that were recalled.
    pub(super) const fn count_hits(&mut self, files: usize) {
        self.hits += files;
    }

    /// The answer to `question`, if all its files are as they were when it was noted.
    pub(super) fn recall_all(&self, question: Digest, stats: &Stats) -> Option<Digest> {
        let answer = self.answers.get(question.as_bytes())?;
        let same = answer.stats.digest == stats.digest
            && answer.stats.begun.saturating_sub(answer.stats.changed) > GRACE;
        same.then(|| Digest::from_bytes(answer.digest))
    }

    /// Notes the answer to `question`.
    pub(super) fn note_all(&mut self, question: Digest, stats: Stats, digest: Digest) {
        let answer = Answer { stats, digest: *digest.as_bytes() };
        self.answers.insert(*question.as_bytes(), answer);
        self.dirty = true;
    }

    /// Makes ready to [recall](Self::recall) single files below `root`.
    pub(crate) fn load(&mut self, root: &Path) {
        let place = self.place.as_ref().map(|place| tree_place(place, root));
        self.trees.entry(root.to_owned()).or_insert_with(|| {
            place.and_then(|place| std::fs::read(place).ok()).map(Tree::read).unwrap_or_default()
        });
    }

    /// The digest of a file, if it is as it was when that was noted.
    pub(crate) fn recall(&self, root: &Path, file: &Listed) -> Option<Digest> {
        let known = self.trees.get(root)?.get(&file.path)?;
        let same = known.inode == file.inode
            && known.size == file.size
            && known.modified == file.modified
            && known.changed == file.changed
            && known.noted.saturating_sub(known.changed) > GRACE;
        same.then(|| Digest::from_bytes(known.digest))
    }

    /// Notes the digests of files below `root` that were just read.
    pub(crate) fn note<'f>(
        &mut self,
        root: &Path,
        files: impl IntoIterator<Item = (&'f Listed, Digest)>,
    ) {
        let noted = nanoseconds();
        let tree = self.trees.entry(root.to_owned()).or_default();
        for (file, digest) in files {
            let known = Known {
                inode: file.inode,
                size: file.size,
                modified: file.modified,
                changed: file.changed,
                noted,
                digest: *digest.as_bytes(),
            };
            tree.insert(&file.path, known);
        }
    }

    /// Makes all notes old enough to be trusted.
    #[cfg(test)]
    pub(super) fn age(&mut self) {
        for tree in self.trees.values_mut() {
            tree.age(GRACE + 1);
        }
        for answer in self.answers.values_mut() {
            answer.stats.begun = answer.stats.changed + GRACE + 1;
        }
    }

    /// Forgets the answers about many files at once.
    #[cfg(test)]
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    /// Writes it down if it has learnt anything.
    ///
    /// # Errors
    ///
    /// What the system says; the files are as they were then.
    pub fn save(&self) -> std::io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let learnt: Vec<_> = self.trees.iter().filter(|(_, tree)| tree.has_news()).collect();
        if !learnt.is_empty() {
            let folder = place.join(TREES);
            fs_err::create_dir_all(&folder)?;
            for (root, tree) in learnt {
                write(&tree_place(place, root), |file| tree.write(file))?;
            }
            forget_old(&folder);
        }
        if !self.dirty {
            return Ok(());
        }
        fs_err::create_dir_all(place)?;
        write(&place.join("answers"), |file| file.write_all(&self.answer_records()))
    }

    fn answer_records(&self) -> Vec<u8> {
        let mut bytes = ANSWERS.to_vec();
        for (question, answer) in &self.answers {
            bytes.extend_from_slice(question);
            bytes.extend_from_slice(&answer.stats.digest);
            bytes.extend_from_slice(&answer.stats.changed.to_le_bytes());
            bytes.extend_from_slice(&answer.stats.begun.to_le_bytes());
            bytes.extend_from_slice(&answer.digest);
        }
        bytes
    }
}

/// The folder in the memory's for what is known of single files.
const TREES: &str = "trees";

/// Where it is kept what is known of the files below `root`.
fn tree_place(place: &Path, root: &Path) -> PathBuf {
    place.join(TREES).join(&Digest::of(root.as_os_str().as_bytes()).hex()[..32])
}

/// Writes a file under another name first.
fn write(
    place: &Path,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new_in(place.parent().unwrap_or(Path::new(".")))?;
    let mut writer = std::io::BufWriter::with_capacity(64 << 10, file);
    content(&mut writer)?;
    let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.persist(place).map(drop).map_err(|error| error.error)
}

/// Removes the files in `folder` that were written longest ago, if there are too many.
///
/// Others may do the same: what is in the way only takes room.
fn forget_old(folder: &Path) {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let age =
        |entry: fs_err::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut files: Vec<_> = entries.filter_map(age).collect();
    files.sort_unstable();
    for (_, path) in files.iter().rev().skip(KEPT) {
        let _ = fs_err::remove_file(path);
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(0)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn answers(bytes: &[u8]) -> Option<BTreeMap<[u8; 32], Answer>> {
    let mut answers = BTreeMap::new();
    for record in bytes.strip_prefix(ANSWERS)?.chunks(ANSWER) {
        let record: &[u8; ANSWER] = record.try_into().ok()?;
        let stats = Stats {
            digest: record[32..64].try_into().ok()?,
            changed: number(record, 64).cast_signed(),
            begun: number(record, 72).cast_signed(),
        };
        let answer = Answer { stats, digest: record[80..].try_into().ok()? };
        answers.insert(record[..32].try_into().ok()?, answer);
    }
    Some(answers)
}

#[cfg(test)]
mod tests;
