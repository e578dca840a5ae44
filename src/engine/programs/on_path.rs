//! Programs that are there: found on `PATH`, and asked for their version.
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{OLDEST_BUILDKIT, Origin, Program, Programs, ProgramsError};

/// Where administrators' programs lie, which an ordinary user's `PATH` leaves out.
const SYSTEM_DIRS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Programs {
    /// Finds a new enough engine on `PATH`.
    ///
    /// # Errors
    ///
    /// When a part of it is missing or too old.
    pub fn on_path() -> Result<Self, ProgramsError> {
        let buildkitd = buildkitd_on_path(&OLDEST_BUILDKIT)?;
        let buildctl = find_program("buildctl")
            .and_then(|path| Program::record(path, buildkitd.version.clone(), Origin::System).ok());
        let rootless = !rustix::process::geteuid().is_root();
        let rootlesskit = if rootless { Some(rootlesskit_on_path()?) } else { None };
        Ok(Self { buildkitd, buildctl, runtime: runtime_on_path()?, rootlesskit })
    }
}

/// Finds a `buildkitd` on `PATH` that is no older than `oldest`.
pub(in crate::engine) fn buildkitd_on_path(
    oldest: &semver::Version,
) -> Result<Program, ProgramsError> {
    let missing = |missing: String| ProgramsError::Missing { missing };
    let path = find_program("buildkitd")
        .ok_or_else(|| missing("`buildkitd` is neither installed nor on PATH".into()))?;
    let version = version_of(&path)?;
    if semver::Version::parse(&version).is_ok_and(|version| version >= *oldest) {
        return Program::record(path, version, Origin::System);
    }
    let path = path.display();
    Err(missing(format!("`{path}` is version {version}, older than the {oldest} that is needed")))
}

/// Finds an OCI runtime: `buildkit-runc`, `runc` or `crun`.
pub(in crate::engine) fn runtime_on_path() -> Result<Program, ProgramsError> {
    let found = ["buildkit-runc", "runc", "crun"].into_iter().find_map(find_program);
    let path = found.ok_or_else(|| ProgramsError::Missing {
        missing: "there is no OCI runtime, neither `runc` nor `crun`".to_owned(),
    })?;
    let version = version_of(&path)?;
    Program::record(path, version, Origin::System)
}

/// Finds `rootlesskit`.
pub(in crate::engine) fn rootlesskit_on_path() -> Result<Program, ProgramsError> {
    let path = find_program("rootlesskit").ok_or_else(|| ProgramsError::Missing {
        missing: "`rootlesskit`, which an ordinary user needs, is not installed".to_owned(),
    })?;
    let version = version_of(&path)?;
    Program::record(path, version, Origin::System)
}

/// Looks for a program on `PATH` and in the system's administration folders.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| {
            fs_err::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// Asks a program for its version: the first word of `--version` that reads like one.
///
/// # Errors
///
/// When it does not run.
pub fn version_of(path: &Path) -> Result<String, ProgramsError> {
    let output = Command::new(path).arg("--version").output();
    let output = output.map_err(|source| ProgramsError::Unusable {
        action: "run",
        path: path.into(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words =
        text.split_whitespace().map(|word| word.trim_start_matches('v').trim_end_matches(','));
    let version = words
        .into_iter()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
    Ok(version.unwrap_or("unknown").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_word_that_looks_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs_err::write(&path, "#!/bin/sh\necho program version v1.2.3 abc\n").unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(version_of(&path).unwrap(), "1.2.3");
    }
}
