//! Where kitwright keeps its state, and the files of the private engine in it.
//!
//! ```text
//! $XDG_STATE_HOME/kitwright/
//!   engine/
//!     bin/              what `kitwright engine install` has installed
//!     engine.json       which programs to start, and how to know them again
//!     tmp/              mount points of the running daemon
//!     root/             the daemon's own state: snapshots, caches, cache mounts
//!     buildkitd.toml    its configuration, written at each start
//!     buildkitd.log     its log since the last start
//!     endpoint          the folder that holds the sockets of the running engine
//!     start.lock        held for the moment in which an engine is started or given up
//!     life.lock         held as long as a supervisor or its daemon lives
//! ```
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The longest path that a unix socket's address holds, with room for the longest socket name.
const SOCKET_FOLDER_MAX: usize = 107 - "/notify.sock".len();

/// Kitwright's state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
    /// `XDG_RUNTIME_DIR`, where sockets belong.
    runtime: Option<PathBuf>,
}

/// Why there is no state folder to work in.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StateError {
    /// Neither of the variables that could name it is set.
    #[error("no state folder: neither `KITWRIGHT_STATE_DIR`, `XDG_STATE_HOME` nor `HOME` is set")]
    #[diagnostic(help("export KITWRIGHT_STATE_DIR=/path/to/a/folder"))]
    Nowhere,
    /// A relative path would mean another folder in each working directory.
    #[error("the state folder `{path}` is not an absolute path")]
    #[diagnostic(help("export {variable}=\"$PWD/{path}\""))]
    Relative {
        /// Where the path came from.
        variable: &'static str,
        /// The path.
        path: String,
    },
    /// A folder or file could not be made or used.
    #[error("cannot {action} `{path}`")]
    #[diagnostic(help(
        "make `{path}` writable for this user, or name another folder: \
         export KITWRIGHT_STATE_DIR=/path/to/a/folder"
    ))]
    Unusable {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder for sockets in the shared temporary folder is somebody else's.
    #[error("`{path}` belongs to user {owner}")]
    #[diagnostic(help("export XDG_RUNTIME_DIR to a folder of your own"))]
    Foreign {
        /// The folder.
        path: String,
        /// Its owner's id.
        owner: u32,
    },
}

impl crate::fault::Classified for StateError {
    fn fault(&self) -> crate::fault::Fault {
        match self {
            Self::Relative { .. } => crate::fault::Fault::Usage,
            _ => crate::fault::Fault::Environment,
        }
    }
}

impl StateError {
    /// Says what could not be done with which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Unusable { action, path, source }
    }
}

impl StateDir {
    /// Finds the state folder: `KITWRIGHT_STATE_DIR`, else `$XDG_STATE_HOME/kitwright`, else
    /// `~/.local/state/kitwright`. Creates nothing.
    ///
    /// `variable` looks up an environment variable.
    ///
    /// # Errors
    ///
    /// When none of these is set, or the path is relative.
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, StateError> {
        let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (name, root) = if let Some(root) = set("KITWRIGHT_STATE_DIR") {
            ("KITWRIGHT_STATE_DIR", root)
        } else if let Some(base) = set("XDG_STATE_HOME") {
            ("XDG_STATE_HOME", base.join("kitwright"))
        } else if let Some(home) = set("HOME") {
            ("HOME", home.join(".local/state/kitwright"))
        } else {
            return Err(StateError::Nowhere);
        };
        if root.is_relative() {
            return Err(StateError::Relative { variable: name, path: root.display().to_string() });
        }
        Ok(Self { root, runtime: set("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()) })
    }

    /// A state folder at a known path, with its sockets inside.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root, runtime: None }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The private engine's folder.
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// The folder of the installed programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.engine().join("bin")
    }

    /// The daemon's log since its last start.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.engine().join("buildkitd.log")
    }

    /// Makes the private engine's folder, readable by this user alone.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn create_engine(&self) -> Result<PathBuf, StateError> {
        let path = self.engine();
        private_folder(&path)?;
        Ok(path)
    }

    /// The folder of the running engine's sockets, as its starter has noted it.
    pub(crate) fn noted_sockets(&self) -> Option<PathBuf> {
        let bytes = fs_err::read(self.engine().join("endpoint")).ok()?;
        Some(PathBuf::from(OsString::from_vec(bytes)))
    }

    /// Chooses and makes the folder for sockets, and notes it for the others.
    ///
    /// The choice hangs on `XDG_RUNTIME_DIR`, which two processes that share this state need not
    /// share: so only the one that starts an engine chooses, under the start lock.
    pub(crate) fn create_sockets(&self) -> Result<PathBuf, StateError> {
        let digest = Sha256::digest(self.root.as_os_str().as_bytes());
        let name = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = format!("kitwright-{name}");
        let in_runtime =
            self.runtime.as_ref().filter(|path| path.is_dir()).map(|path| path.join(&name));
        let fits = |path: &PathBuf| path.as_os_str().len() <= SOCKET_FOLDER_MAX;
        let chosen = in_runtime
            .into_iter()
            .chain([self.engine().join("run")])
            .find(fits)
            .unwrap_or_else(|| std::env::temp_dir().join(name));
        private_folder(&chosen)?;
        let owner = fs_err::metadata(&chosen).map_err(StateError::io("look at", &chosen))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(StateError::Foreign { path: chosen.display().to_string(), owner });
        }
        let note = self.engine().join("endpoint");
        replace_file(&note, chosen.as_os_str().as_bytes())?;
        Ok(chosen)
    }
}

/// Makes a folder and its parents; it and they are for this user alone.
fn private_folder(path: &Path) -> Result<(), StateError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StateError::io("create the folder", path))
}

/// Writes a file so that readers see the old content or the new one, never a part.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let error = || StateError::io("write", path);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error())?;
    std::io::Write::write_all(&mut file, content).map_err(error())?;
    file.persist(path).map_err(|persist| error()(persist.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(variables: &[(&str, &str)]) -> Result<StateDir, StateError> {
        StateDir::from_env(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_folder_is_found_in_the_documented_order() {
        let all = [("KITWRIGHT_STATE_DIR", "/a"), ("XDG_STATE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(resolve(&all).unwrap().root(), Path::new("/a"));
        assert_eq!(resolve(&all[1..]).unwrap().root(), Path::new("/b/kitwright"));
        assert_eq!(resolve(&all[2..]).unwrap().root(), Path::new("/c/.local/state/kitwright"));
        assert!(matches!(resolve(&[]), Err(StateError::Nowhere)));
        let empty = [("KITWRIGHT_STATE_DIR", ""), ("HOME", "/c")];
        assert_eq!(resolve(&empty).unwrap().root(), Path::new("/c/.local/state/kitwright"));
        assert!(matches!(resolve(&[("XDG_STATE_HOME", "b")]), Err(StateError::Relative { .. })));
    }

    #[test]
    fn sockets_lie_where_their_addresses_fit() {
        let folder = tempfile::tempdir().unwrap();
        let short = StateDir::at(folder.path().join("state"));
        short.create_engine().unwrap();
        let sockets = short.create_sockets().unwrap();
        assert_eq!(sockets, short.engine().join("run"));
        assert_eq!(short.noted_sockets(), Some(sockets));
        let long = StateDir::at(folder.path().join("x".repeat(100)));
        long.create_engine().unwrap();
        let sockets = long.create_sockets().unwrap();
        assert!(sockets.as_os_str().len() <= SOCKET_FOLDER_MAX, "{}", sockets.display());
        std::fs::remove_dir(&sockets).unwrap();
        let runtime = folder.path().join("runtime");
        std::fs::create_dir(&runtime).unwrap();
        let with_runtime = StateDir { runtime: Some(runtime.clone()), ..short };
        assert!(with_runtime.create_sockets().unwrap().starts_with(&runtime));
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let error = StateDir::at(PathBuf::from("/proc/kitwright")).create_engine().unwrap_err();
        assert_eq!(error.to_string(), "cannot create the folder `/proc/kitwright/engine`");
    }
}
