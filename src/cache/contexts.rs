//! Remembers under which session an engine has received which files, so that it can be asked for what
//! it made of them in place of receiving them again.
//!
//! One small file for each combination of engine, directories and Dockerfile. Whoever reads one holds
//! its lock: two builds at once must not name one session, or the end of one would take the files away
//! from the other. A file that is missing, locked or spoilt only means that the files are sent.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine::session::filesync::fingerprint::{Fingerprint, Wanted};
use crate::oci::digest::Digest;

/// The format of the files.
const VERSION: u32 = 1;
/// How many are kept: beyond that, those that were written longest ago go.
const KEPT: usize = 256;

/// Where it is kept what one engine has received for one build.
#[derive(Debug)]
pub struct Place(PathBuf);

/// What an engine has received.
#[derive(Debug)]
pub struct Received {
    /// The session under which it knows the files.
    pub session: String,
    /// The fingerprints of the files, by what was asked for.
    pub files: BTreeMap<Wanted, Fingerprint>,
    /// Locked as long as the session may be named.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    session: String,
    files: Vec<(Wanted, Fingerprint)>,
}

impl Place {
    /// The place in `folder` for a build that `parts` tell from others.
    #[must_use]
    pub fn of<'a>(folder: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = Digest::from_bytes(hash.finalize().into());
        Self(folder.join(&digest.to_string()["sha256:".len()..][..32]))
    }

    /// What is kept there, unless somebody else is using it.
    #[must_use]
    pub fn read(&self) -> Option<Received> {
        let mut file = File::open(&self.0).ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        let Written { version, session, files } = serde_json::from_slice(&text).ok()?;
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let usable = version == VERSION && !session.is_empty() && !files.is_empty();
        usable.then_some(Received { session, files, _lock: file })
    }

    /// Keeps what an engine has received under `session`.
    ///
    /// The file does not replace another one: some file systems would write it to the disk at once, and
    /// nothing is lost with it that matters.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep(&self, session: &str, files: BTreeMap<Wanted, Fingerprint>) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("/"));
        self.forget();
        fs_err::create_dir_all(folder)?;
        thin_out(folder);
        let files = files.into_iter().collect();
        let written = Written { version: VERSION, session: session.to_owned(), files };
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.persist(&self.0)?;
        Ok(())
    }

    /// Keeps nothing any more.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes room for one more file.
fn thin_out(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if files.len() < KEPT {
        return;
    }
    files.sort();
    let surplus = files.len() + 1 - KEPT;
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<Wanted, Fingerprint> {
        let wanted =
            Wanted { name: "context".into(), follow: vec!["a".into()], ..Wanted::default() };
        BTreeMap::from([(wanted, Fingerprint { digest: Digest::of(b"files"), entries: 1 })])
    }

    #[test]
    fn what_is_kept_is_for_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(&folder.path().join("contexts"), [&b"a"[..], b"b"]);
        assert!(place.read().is_none());
        place.keep("one", files()).unwrap();
        let received = place.read().unwrap();
        assert_eq!((received.session.as_str(), &received.files), ("one", &files()));
        assert!(place.read().is_none(), "locked");
        drop(received);
        assert!(place.read().is_some());
        place.keep("two", files()).unwrap();
        assert_eq!(place.read().unwrap().session, "two");
        std::fs::write(&place.0, b"{\"version\":1,\"session\":\"x\"").unwrap();
        assert!(place.read().is_none(), "spoilt");
        place.forget();
        assert!(place.read().is_none());
    }

    #[test]
    fn parts_are_told_apart() {
        let place = |parts: &[&'static [u8]]| Place::of(Path::new("/"), parts.iter().copied()).0;
        assert_ne!(place(&[b"ab", b"c"]), place(&[b"a", b"bc"]));
        assert_eq!(place(&[b"a"]), place(&[b"a"]));
    }

    #[test]
    fn old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=KEPT {
            Place::of(folder.path(), [&number.to_le_bytes()[..]]).keep("s", files()).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT);
    }
}
