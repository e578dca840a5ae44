//! Which programs make up the private engine, and how to know them again.
//!
//! `engine.json` records each program with its version and a stamp of its file. Before a start the
//! stamps are compared (a `stat` each); only a file that has changed is looked at again: an
//! installed one must have its digest, one of the system's is looked for anew.
mod on_path;

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::state::{StateDir, StateError, replace_file};
use crate::fault::{Classified, Fault};

pub(super) use on_path::{buildkitd_on_path, rootlesskit_on_path, runtime_on_path};
pub use on_path::{find_program, version_of};

/// The BuildKit release that kitwright installs and is tested with.
pub const BUILDKIT_VERSION: &str = "0.32.2";

/// The oldest BuildKit that kitwright takes from `PATH`: the first with `maxRegistryConcurrency`.
pub const OLDEST_BUILDKIT: semver::Version = semver::Version::new(0, 31, 0);

/// The programs of the private engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// The daemon.
    pub buildkitd: Program,
    /// BuildKit's own client; kitwright does not need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildctl: Option<Program>,
    /// `runc` or `crun`.
    pub runtime: Program,
    /// What makes the user namespace for an ordinary user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootlesskit: Option<Program>,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
    /// Where it came from.
    pub origin: Origin,
    /// The digest of an installed program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    stamp: Stamp,
}

/// Where a program came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was there, on `PATH`.
    System,
    /// A release tarball, by its pinned digest.
    Release,
    /// Built from the pinned Go module.
    Go,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "found on this system",
            Self::Release => "from the release",
            Self::Go => "built from source",
        })
    }
}

/// What changes when a file is replaced or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = fs_err::metadata(path)?;
        Ok(Self {
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Why the engine's programs can't be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ProgramsError {
    /// Nothing installed, and nothing to be found.
    #[error("no engine: {missing}")]
    #[diagnostic(help(
        "install it with `kitwright engine install`, or name a running one with `--builder`"
    ))]
    Missing {
        /// What is missing.
        missing: String,
    },
    /// An installed program is not what was installed.
    #[error("`{}` has changed since it was installed", path.display())]
    #[diagnostic(help("install it again with `kitwright engine install`"))]
    Changed {
        /// The program.
        path: PathBuf,
    },
    /// A program can't be read or run.
    #[error("cannot {action} `{}`", path.display())]
    Unusable {
        /// What was tried.
        action: &'static str,
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record can't be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
}

impl Classified for ProgramsError {
    fn fault(&self) -> Fault {
        match self {
            Self::State(error) => error.fault(),
            _ => Fault::Environment,
        }
    }
}

impl Program {
    /// Records a program as it is now, and its digest if it is one that kitwright has installed.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn record(path: PathBuf, version: String, origin: Origin) -> Result<Self, ProgramsError> {
        let error = |source| ProgramsError::Unusable { action: "read", path: path.clone(), source };
        let sha256 = match origin {
            Origin::System => None,
            Origin::Release | Origin::Go => Some(file_digest(&path).map_err(error)?),
        };
        let stamp = Stamp::of(&path).map_err(error)?;
        Ok(Self { path, version, origin, sha256, stamp })
    }

    /// Checks that the file is still the recorded one; `Some` with a new stamp if only that changed.
    fn check(&self) -> Result<Option<Stamp>, ProgramsError> {
        let error =
            |source| ProgramsError::Unusable { action: "read", path: self.path.clone(), source };
        let stamp = Stamp::of(&self.path).map_err(error)?;
        if stamp == self.stamp {
            return Ok(None);
        }
        match &self.sha256 {
            Some(digest) if *digest == file_digest(&self.path).map_err(error)? => Ok(Some(stamp)),
            _ => Err(ProgramsError::Changed { path: self.path.clone() }),
        }
    }
}

impl Programs {
    /// Finds the engine to start: the recorded one, else one on `PATH`, which is then recorded.
    ///
    /// # Errors
    ///
    /// When there is none, or an installed program has changed.
    pub fn find(state: &StateDir) -> Result<Self, ProgramsError> {
        if let Some(recorded) = Self::load(state) {
            match recorded.checked(state) {
                // The system's own programs may be upgraded or removed: look again.
                Err(ProgramsError::Changed { .. } | ProgramsError::Unusable { .. })
                    if recorded.buildkitd.origin == Origin::System => {}
                // A runtime that was upgraded: it alone is looked for again.
                Err(ProgramsError::Changed { path } | ProgramsError::Unusable { path, .. })
                    if recorded.is_system(&path) =>
                {
                    return recorded.with_new_tools(state);
                }
                // An installation may just have been replaced, and its record with it.
                Err(_) if Self::load(state).is_some_and(|now| now != recorded) => {
                    return Self::find(state);
                }
                other => return other,
            }
        }
        let found = Self::on_path()?;
        state.create_engine()?;
        found.save(state)?;
        Ok(found)
    }

    /// Reads the record; a broken one counts as none.
    #[must_use]
    pub fn load(state: &StateDir) -> Option<Self> {
        let record = fs_err::read(state.engine().join("engine.json")).ok()?;
        serde_json::from_slice(&record).ok()
    }

    /// Writes the record.
    ///
    /// # Errors
    ///
    /// When the state folder is not writable.
    pub fn save(&self, state: &StateDir) -> Result<(), StateError> {
        let record = serde_json::to_vec_pretty(self).unwrap_or_default();
        replace_file(&state.engine().join("engine.json"), &record)
    }

    /// Every program there is a record of.
    pub fn all(&self) -> impl Iterator<Item = &Program> {
        let Self { buildkitd, buildctl, runtime, rootlesskit } = self;
        [Some(buildkitd), buildctl.as_ref(), Some(runtime), rootlesskit.as_ref()]
            .into_iter()
            .flatten()
    }

    fn checked(&self, state: &StateDir) -> Result<Self, ProgramsError> {
        let mut programs = self.clone();
        let mut moved = false;
        let Self { buildkitd, buildctl: _, runtime, rootlesskit } = &mut programs;
        for program in [buildkitd, runtime].into_iter().chain(rootlesskit) {
            if let Some(stamp) = program.check()? {
                program.stamp = stamp;
                moved = true;
            }
        }
        if !rustix::process::geteuid().is_root() && programs.rootlesskit.is_none() {
            programs.rootlesskit = Some(rootlesskit_on_path()?);
            moved = true;
        }
        if moved {
            programs.save(state)?;
        }
        Ok(programs)
    }

    fn is_system(&self, path: &Path) -> bool {
        let tools = [Some(&self.runtime), self.rootlesskit.as_ref()];
        tools.into_iter().flatten().any(|tool| tool.path == path && tool.origin == Origin::System)
    }

    fn with_new_tools(&self, state: &StateDir) -> Result<Self, ProgramsError> {
        let mut programs = self.clone();
        if programs.runtime.origin == Origin::System {
            programs.runtime = runtime_on_path()?;
        }
        if programs.rootlesskit.as_ref().is_some_and(|tool| tool.origin == Origin::System) {
            programs.rootlesskit = Some(rootlesskit_on_path()?);
        }
        programs.checked(state)
    }
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(super) fn file_digest(path: &Path) -> std::io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, origin: Origin) -> Program {
        let path = folder.join("program");
        fs_err::write(&path, "a program").unwrap();
        Program::record(path, "1.2.3".into(), origin).unwrap()
    }

    #[test]
    fn a_touched_program_is_known_by_its_digest_and_a_changed_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), Origin::Release);
        assert_eq!(program.check().unwrap(), None);
        let content = fs_err::read(&program.path).unwrap();
        fs_err::remove_file(&program.path).unwrap();
        fs_err::write(folder.path().join("keeps the inode busy"), "").unwrap();
        fs_err::write(&program.path, &content).unwrap();
        assert!(program.check().unwrap().is_some(), "the same bytes in another file");
        fs_err::write(&program.path, "something else").unwrap();
        assert!(matches!(program.check(), Err(ProgramsError::Changed { .. })));
        fs_err::remove_file(&program.path).unwrap();
        assert!(matches!(program.check(), Err(ProgramsError::Unusable { .. })));
    }

    #[test]
    fn a_broken_record_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::at(folder.path().into());
        state.create_engine().unwrap();
        assert_eq!(Programs::load(&state), None);
        fs_err::write(state.engine().join("engine.json"), "{").unwrap();
        assert_eq!(Programs::load(&state), None);
        let one = program(folder.path(), Origin::Go);
        let programs =
            Programs { buildkitd: one.clone(), buildctl: None, runtime: one, rootlesskit: None };
        programs.save(&state).unwrap();
        assert_eq!(Programs::load(&state), Some(programs));
    }
}
