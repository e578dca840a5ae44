//! Remembers the digests of files by what the system says of them without reading them.
//!
//! A file is taken to be unchanged when inode, size, modification time and change time are what they
//! were, and the change time was not so recent when it was read that a later change could bear the
//! same one. The same holds for all files of a question at once, which saves looking at what is
//! known of each. The file on disk is a cache: anything wrong with it only means reading again.
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::engine::session::filesync::listing::{Kind, Listed};
use crate::oci::digest::Digest;

/// The first bytes of the file with what is known of single files: its format.
const FILES: &[u8; 8] = b"kwfiles2";
/// The same of the file with answers about many files at once.
const ANSWERS: &[u8; 8] = b"kwanswr1";

/// A file that changed within this time before it was noted is read again, in nanoseconds: clocks of
/// file systems tick coarsely.
const GRACE: i64 = 20_000_000;

/// How many files are kept: beyond that, the half that was read longest ago is forgotten.
const KEPT: usize = 400_000;

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
            let (kind, rest): (u8, &[u8]) = match &file.kind {
                Kind::Regular => (0, &[]),
                Kind::HardLink(first) => (1, first),
                Kind::Directory => (2, &[]),
                Kind::Symlink(target) => (3, target),
                // Their numbers change with their change time alone.
                Kind::Special(..) => (4, &[]),
            };
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
    /// What is known of single files: it is large, and read when somebody asks for one.
    files: Option<BTreeMap<Vec<u8>, Known>>,
    /// Whether anything was noted.
    dirty: bool,
    hits: usize,
}

impl Memory {
    /// A memory of nothing that is not kept.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            place: None,
            answers: BTreeMap::new(),
            files: Some(BTreeMap::new()),
            dirty: false,
            hits: 0,
        }
    }

    /// The memory kept in the folder `place`, empty if that cannot be read.
    #[must_use]
    pub fn open(place: PathBuf) -> Self {
        let bytes = std::fs::read(place.join("answers")).unwrap_or_default();
        let answers = answers(&bytes).unwrap_or_default();
        Self { place: Some(place), answers, files: None, dirty: false, hits: 0 }
    }

    /// How many files were recalled.
    #[must_use]
    pub const fn hits(&self) -> usize {
        self.hits
    }

    /// Counts a file that was recalled.
    pub(super) const fn count_hit(&mut self) {
        self.hits += 1;
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

    /// Makes ready to [recall](Self::recall) single files.
    pub(crate) fn load(&mut self) {
        if self.files.is_none() {
            let place = self.place.as_ref().map(|place| place.join("files"));
            let bytes = place.and_then(|place| std::fs::read(place).ok()).unwrap_or_default();
            self.files = Some(files(&bytes).unwrap_or_default());
        }
    }

    /// The digest of a file, if it is as it was when that was noted.
    pub(crate) fn recall(&self, root: &Path, file: &Listed) -> Option<Digest> {
        let known = self.files.as_ref()?.get(&name(root, file))?;
        let same = known.inode == file.inode
            && known.size == file.size
            && known.modified == file.modified
            && known.changed == file.changed
            && known.noted.saturating_sub(known.changed) > GRACE;
        same.then(|| Digest::from_bytes(known.digest))
    }

    /// Notes the digest of a file that was just read.
    pub(crate) fn note(&mut self, root: &Path, file: &Listed, digest: Digest) {
        let known = Known {
            inode: file.inode,
            size: file.size,
            modified: file.modified,
            changed: file.changed,
            noted: nanoseconds(),
            digest: *digest.as_bytes(),
        };
        self.files.get_or_insert_default().insert(name(root, file), known);
        self.dirty = true;
    }

    /// Makes all notes old enough to be trusted.
    #[cfg(test)]
    pub(super) fn age(&mut self) {
        for known in self.files.iter_mut().flat_map(BTreeMap::values_mut) {
            known.noted = known.changed + GRACE + 1;
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
        let (Some(place), true) = (&self.place, self.dirty) else { return Ok(()) };
        fs_err::create_dir_all(place)?;
        let write = |name: &str, bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new_in(place)?;
            fs_err::write(file.path(), bytes)?;
            file.persist(place.join(name)).map(drop).map_err(|error| error.error)
        };
        if let Some(files) = &self.files {
            write("files", &file_records(files))?;
        }
        write("answers", &self.answer_records())
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

fn file_records(files: &BTreeMap<Vec<u8>, Known>) -> Vec<u8> {
    let mut bytes = FILES.to_vec();
    let oldest = if files.len() > KEPT { half_time(files) } else { i64::MIN };
    for (name, known) in files.iter().filter(|(_, known)| known.noted >= oldest) {
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
    bytes
}

/// The time since which half of the files were noted.
fn half_time(files: &BTreeMap<Vec<u8>, Known>) -> i64 {
    let mut times: Vec<i64> = files.values().map(|known| known.noted).collect();
    let middle = times.len() / 2;
    *times.select_nth_unstable(middle).1
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(0)
}

fn name(root: &Path, file: &Listed) -> Vec<u8> {
    let root = root.as_os_str().as_bytes();
    let mut name = Vec::with_capacity(root.len() + 1 + file.path.len());
    name.extend_from_slice(root);
    name.push(b'/');
    name.extend_from_slice(&file.path);
    name
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

fn files(bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Known>> {
    let mut rest = bytes.strip_prefix(FILES)?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (name, after) = after.split_at_checked(length)?;
        let (record, after) = after.split_first_chunk::<RECORD>()?;
        let known = Known {
            inode: number(record, 0),
            size: number(record, 8),
            modified: number(record, 16).cast_signed(),
            changed: number(record, 24).cast_signed(),
            noted: number(record, 32).cast_signed(),
            digest: record[40..].try_into().ok()?,
        };
        files.push((name.to_vec(), known));
        rest = after;
    }
    // Written in order, so this builds the map without comparing each with all.
    Some(files.into_iter().collect())
}

#[cfg(test)]
mod tests;
