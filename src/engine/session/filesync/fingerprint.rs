//! What the system says of the files of a transfer, in one digest: as long as it is the same, another
//! transfer would bring nothing new.
//!
//! Content is not read. The time at which a file last changed (`ctime`) stands for its content, owner
//! and extended attributes: nobody can set it.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::listing::unlisted;
use super::walk::{Entry, Stopped, Visitor, walk};
use crate::engine::session::SessionError;
use crate::oci::digest::Digest;

/// A file that changed within this time before it was looked at could change again unnoticed, in
/// nanoseconds: clocks of file systems tick coarsely.
const GRACE: i64 = 100_000_000;
/// The same where times are whole seconds, or even ones.
const COARSE_GRACE: i64 = 3_000_000_000;

/// What a transfer is asked for: which files of which directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wanted {
    /// The name under which the directory is offered.
    pub name: String,
    /// Patterns of what is sent; all when empty.
    pub include: Vec<String>,
    /// Patterns of what is not sent.
    pub exclude: Vec<String>,
    /// The paths that are sent, with what their links lead to; all when empty.
    pub follow: Vec<String>,
}

/// What the system says of files that a transfer announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The digest of that.
    pub digest: Digest,
    /// How many files and directories there are.
    pub entries: u64,
}

/// The fingerprint of what a transfer of `root` would announce.
///
/// # Errors
///
/// When something cannot be looked at, or a pattern means nothing.
pub fn fingerprint(root: &Path, wanted: &Wanted) -> Result<Fingerprint, SessionError> {
    let selection = wanted.selection(root)?;
    let mut print = Print::begin();
    walk(root, &selection, None, &mut print).map_err(|error| unlisted(root, error))?;
    Ok(print.end())
}

/// What transfers have announced, by what they were asked for; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Synced(Arc<Mutex<BTreeMap<Wanted, Option<Fingerprint>>>>);

impl Synced {
    /// Transfers that have announced these.
    #[cfg(test)]
    pub(crate) fn of(announced: BTreeMap<Wanted, Option<Fingerprint>>) -> Self {
        Self(Arc::new(Mutex::new(announced)))
    }

    /// Notes what a transfer has announced, which is nothing to go by if it is `None` or differs
    /// from what an earlier one has.
    pub(super) fn note(&self, wanted: Wanted, print: Option<Fingerprint>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &mut Option<Fingerprint>| *known = known.filter(|_| *known == print);
        known.entry(wanted).and_modify(same).or_insert(print);
    }

    /// What each transfer has announced; `None` where a later look could miss a change.
    #[must_use]
    pub fn taken(&self) -> BTreeMap<Wanted, Option<Fingerprint>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A fingerprint in the making.
pub(super) struct Print {
    hash: Sha256,
    entries: u64,
    record: Vec<u8>,
    begun: i64,
    /// Whether every file had been left alone for long enough.
    settled: bool,
}

impl Print {
    pub(super) fn begin() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = i64::try_from(since.as_nanos()).unwrap_or(0);
        Self {
            hash: Sha256::new(),
            entries: 0,
            record: Vec::with_capacity(256),
            begun,
            settled: true,
        }
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        self.entries += 1;
        let stat = &entry.stat;
        self.settled &= self.begun.saturating_sub(stat.changed) > grace(stat.changed);
        self.record.clear();
        for number in [stat.mode, stat.device_major, stat.device_minor] {
            self.record.extend_from_slice(&number.to_le_bytes());
        }
        for number in [stat.size, stat.device, stat.inode] {
            self.record.extend_from_slice(&number.to_le_bytes());
        }
        for time in [stat.modified, stat.changed] {
            self.record.extend_from_slice(&time.to_le_bytes());
        }
        for text in [entry.path, entry.link] {
            self.record.extend_from_slice(&(text.len() as u64).to_le_bytes());
            self.record.extend_from_slice(text);
        }
        self.hash.update(&self.record);
    }

    /// The fingerprint, if a change after this look would make another one.
    pub(super) fn settled(self) -> Option<Fingerprint> {
        self.settled.then(|| self.end())
    }

    fn end(self) -> Fingerprint {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        Fingerprint { digest, entries: self.entries }
    }
}

impl Visitor for Print {
    fn enter(&mut self, _: u32, _: &[u8]) -> u32 {
        0
    }

    fn entry(&mut self, _: u32, _: &[u8], entry: &Entry<'_>) -> Result<(), Stopped> {
        self.add(entry);
        Ok(())
    }
}

/// How long after its last change a file must be looked at for that look to be relied on.
const fn grace(changed: i64) -> i64 {
    if changed % 1_000_000_000 == 0 { COARSE_GRACE } else { GRACE }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn of(root: &Path) -> Fingerprint {
        fingerprint(root, &Wanted::default()).unwrap()
    }

    #[test]
    fn every_change_makes_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("d")).unwrap();
        fs_err::write(path("d/f"), "one").unwrap();
        symlink("f", path("d/l")).unwrap();
        let mut seen = vec![of(folder.path())];
        assert_eq!(of(folder.path()), seen[0]);
        let mut changed = |what: &str| {
            let now = of(folder.path());
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs_err::write(path("d/g"), "").unwrap();
        changed("a new file");
        fs_err::remove_file(path("d/g")).unwrap();
        changed("one that went");
        fs_err::set_permissions(path("d/f"), PermissionsExt::from_mode(0o640)).unwrap();
        changed("a mode");
        let modified = fs_err::metadata(path("d/f")).unwrap().modified().unwrap();
        fs_err::write(path("other"), "two").unwrap();
        std::fs::File::open(path("other")).unwrap().set_modified(modified).unwrap();
        fs_err::set_permissions(path("other"), PermissionsExt::from_mode(0o640)).unwrap();
        fs_err::rename(path("other"), path("d/f")).unwrap();
        changed("another file of the same size and time");
        fs_err::remove_file(path("d/l")).unwrap();
        symlink("g", path("d/l")).unwrap();
        changed("a link that leads elsewhere");
        fs_err::rename(path("d/l"), path("d/m")).unwrap();
        changed("a name");
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_not_settled() {
        let stat = |changed| super::super::walk::Stat { changed, ..Default::default() };
        let settled = |changed: i64| {
            let mut print = Print::begin();
            print.begun = 10_000_000_000_123;
            print.add(&Entry { path: b"f", link: b"", stat: stat(changed), xattrs: &[] });
            print.settled().is_some()
        };
        assert!(settled(9_999_000_000_123));
        assert!(!settled(9_999_950_000_123), "just before");
        assert!(!settled(9_999_000_000_000), "just before, where clocks are coarse");
        assert!(settled(9_990_000_000_000));
        assert!(!settled(10_001_000_000_123), "later");
    }

    #[test]
    fn two_transfers_must_agree() {
        let [one, other] = ["one", "other"]
            .map(|text| Some(Fingerprint { digest: Digest::of(text.as_bytes()), entries: 1 }));
        let wanted = |name: &str| Wanted { name: name.to_owned(), ..Wanted::default() };
        let synced = Synced::default();
        for (name, digest) in [
            ("a", one),
            ("a", one),
            ("b", one),
            ("b", other),
            ("b", other),
            ("c", None),
            ("c", one),
        ] {
            synced.note(wanted(name), digest);
        }
        let expected = [(wanted("a"), one), (wanted("b"), None), (wanted("c"), None)];
        assert_eq!(synced.taken(), BTreeMap::from(expected));
    }
}
