//! Gets the private engine's programs onto this machine.
//!
//! In this order, each step only where the one before did not serve: what is on `PATH`, if it is
//! new enough; the release tarball, by its pinned digest; a build from source through Go's module
//! proxy, from the modules pinned in `buildkit/` and `rootlesskit/` beside this file. The OCI runtime
//! comes from `PATH`, from the same tarball, or from the distribution.
//!
//! What was installed lies in a folder of its own, which `engine.json` names once it is complete:
//! an interrupted installation leaves the one before in place, and two at once do not meet.
use std::path::{Path, PathBuf};

use super::private::{lock, try_lock};
use super::programs::{
    self, BUILDKIT_VERSION, OLDEST_BUILDKIT, Origin, Program, Programs, ProgramsError,
};
use super::state::{StateDir, StateError};
use crate::fault::{Classified, Fault, chain};

mod distribution;
mod release;
mod source;

/// How to install.
pub struct Options {
    /// Leave `PATH` alone: exactly the pinned release, by digest or from pinned source.
    pub pinned: bool,
    /// Only this way to BuildKit instead of trying one after the other.
    pub from: Option<Origin>,
    /// Told what happens, in a line for people.
    pub notice: fn(&str),
}

/// Why the engine could not be installed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum InstallError {
    /// The state folder can't be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// A program can't be found or used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Programs(#[from] ProgramsError),
    /// There is no release for this machine.
    #[error("there is no pinned release of `{program}` for {architecture}")]
    NoRelease {
        /// The program.
        program: &'static str,
        /// The machine's architecture.
        architecture: &'static str,
    },
    /// The release can't be fetched.
    #[error("cannot fetch `{url}`")]
    #[diagnostic(help(
        "behind a proxy set HTTPS_PROXY; without access to GitHub install Go, and `kitwright engine \
         install` builds from source through Go's module proxy"
    ))]
    Fetch {
        /// The tarball.
        url: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What came is not the release.
    #[error("`{url}` has the digest sha256:{found}, not the pinned sha256:{pinned}")]
    #[diagnostic(help("something on the way has changed it; nothing was installed"))]
    Digest {
        /// The tarball.
        url: String,
        /// Its digest.
        found: String,
        /// The release's.
        pinned: &'static str,
    },
    /// The tarball can't be unpacked.
    #[error("cannot unpack `{url}`")]
    Unpack {
        /// The tarball.
        url: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// There is no Go to build with.
    #[error("no `go` on PATH to build `{program}` with")]
    #[diagnostic(help(
        "install Go 1.21 or newer (`apt-get install golang-go`); it fetches the version that it \
         needs by itself"
    ))]
    NoGo {
        /// What was to be built.
        program: &'static str,
    },
    /// The build from source failed.
    #[error("`go build` of {program} failed:\n{output}")]
    #[diagnostic(help("if the module proxy can't be reached, set GOPROXY or HTTPS_PROXY"))]
    GoBuild {
        /// What was to be built.
        program: &'static str,
        /// The end of its output.
        output: String,
    },
    /// All ways to BuildKit failed.
    #[error("found no way to get buildkitd {BUILDKIT_VERSION}: {}", reasons.join("; "))]
    #[diagnostic(help(
        "install Go (`apt-get install golang-go`), or allow access to github.com, or put buildkitd \
         {OLDEST_BUILDKIT} or newer on PATH, or name a running engine with `--builder`"
    ))]
    NoWay {
        /// Why each failed.
        reasons: Vec<String>,
    },
    /// No OCI runtime, and nothing to install it with.
    #[error("there is no OCI runtime, neither `runc` nor `crun`{reason}")]
    #[diagnostic(help("as root: `apt-get install runc` (or `dnf install crun`, `apk add runc`)"))]
    NoRuntime {
        /// What was tried.
        reason: String,
    },
    /// What a rootless engine needs of the system.
    #[error("an engine for an ordinary user needs {what}")]
    #[diagnostic(help("as root: `{command}`"))]
    Rootless {
        /// The missing part.
        what: String,
        /// The command that brings it.
        command: String,
    },
}

impl Classified for InstallError {
    fn fault(&self) -> Fault {
        match self {
            Self::State(error) => error.fault(),
            _ => Fault::Environment,
        }
    }
}

/// Installs the engine, or finds that it already is.
///
/// # Errors
///
/// When every way to one of the programs fails; each is named.
pub async fn install(state: &StateDir, options: &Options) -> Result<Programs, InstallError> {
    let folder = state.create_engine()?;
    let path = folder.join("install.lock");
    // Another installation may take minutes; then its result serves this one too.
    let _lock = match try_lock(&path)? {
        Some(lock) => lock,
        None => {
            (options.notice)("another installation is running; waiting for it");
            lock(&path)?
        }
    };
    if let Some(installed) = already(state, options) {
        return Ok(installed);
    }
    let target = tempfile::Builder::new().prefix("bin-").tempdir_in(&folder);
    let target = target.map_err(StateError::io("create a folder in", &folder))?;
    let buildkit = buildkit(target.path(), options).await?;
    let runtime = match buildkit.runtime {
        Some(runtime) => runtime,
        None => runtime(options).await?,
    };
    let rootlesskit = if rustix::process::geteuid().is_root() {
        None
    } else {
        Some(rootlesskit(target.path(), options).await?)
    };
    let programs = Programs {
        buildkitd: buildkit.buildkitd,
        buildctl: buildkit.buildctl,
        runtime,
        rootlesskit,
    };
    keep(state, target, &programs)?;
    Ok(programs)
}

/// The recorded engine, if it is what was asked for and still in order.
fn already(state: &StateDir, options: &Options) -> Option<Programs> {
    let recorded = Programs::load(state)?;
    let origin = recorded.buildkitd.origin;
    let asked = match options.from {
        Some(from) => origin == from,
        None => !options.pinned || origin != Origin::System,
    };
    // A record of an older kitwright may name an older release.
    let current = origin == Origin::System || recorded.buildkitd.version == BUILDKIT_VERSION;
    if asked && current { Programs::find(state).ok() } else { None }
}

/// BuildKit's programs, and the runtime if it came with them.
struct BuildKit {
    buildkitd: Program,
    buildctl: Option<Program>,
    runtime: Option<Program>,
}

async fn buildkit(target: &Path, options: &Options) -> Result<BuildKit, InstallError> {
    let ways = [Origin::System, Origin::Release, Origin::Go];
    let wanted = |way: &Origin| match options.from {
        Some(from) => *way == from,
        None => !(options.pinned && *way == Origin::System),
    };
    let mut reasons = Vec::new();
    for way in ways.into_iter().filter(wanted) {
        let result = match way {
            Origin::System => on_path(),
            Origin::Release => release::buildkit(target, options).await,
            Origin::Go => source::buildkit(target, options).await,
        };
        match result {
            Ok(buildkit) => return Ok(buildkit),
            // A tarball that was tampered with is not passed over in silence.
            Err(error @ InstallError::Digest { .. }) => return Err(error),
            Err(error) if options.from.is_some() => return Err(error),
            Err(error) => {
                let reason = chain(&error);
                (options.notice)(&reason);
                reasons.push(reason);
            }
        }
    }
    Err(InstallError::NoWay { reasons })
}

fn on_path() -> Result<BuildKit, InstallError> {
    let buildkitd = programs::buildkitd_on_path(&OLDEST_BUILDKIT)?;
    let buildctl = programs::find_program("buildctl");
    let buildctl = buildctl
        .map(|path| Program::record(path, buildkitd.version.clone(), Origin::System))
        .transpose()?;
    Ok(BuildKit { buildkitd, buildctl, runtime: None })
}

async fn runtime(options: &Options) -> Result<Program, InstallError> {
    if let Ok(runtime) = programs::runtime_on_path() {
        return Ok(runtime);
    }
    distribution::install_runc(options).await?;
    Ok(programs::runtime_on_path()?)
}

async fn rootlesskit(target: &Path, options: &Options) -> Result<Program, InstallError> {
    distribution::check_user_mapping()?;
    if let Ok(found) = programs::rootlesskit_on_path() {
        return Ok(found);
    }
    match release::rootlesskit(target, options).await {
        Err(error @ InstallError::Digest { .. }) => Err(error),
        Err(error) => {
            (options.notice)(&chain(&error));
            source::rootlesskit(target, options).await
        }
        found => found,
    }
}

/// Puts a complete installation in the place of the one before.
fn keep(
    state: &StateDir,
    target: tempfile::TempDir,
    programs: &Programs,
) -> Result<(), InstallError> {
    let used = programs.all().any(|program| program.path.starts_with(target.path()));
    programs.save(state)?;
    let link = state.programs();
    if used {
        let kept = target.keep();
        let next = state.engine().join("bin.next");
        let _ = fs_err::remove_file(&next);
        std::os::unix::fs::symlink(&kept, &next)
            .map_err(StateError::io("create the link", &next))?;
        fs_err::rename(&next, &link).map_err(StateError::io("replace", &link))?;
        remove_others(state, &kept);
    } else {
        let _ = fs_err::remove_file(&link);
        remove_others(state, Path::new(""));
    }
    Ok(())
}

/// Removes earlier installations; a daemon that still runs from one keeps its open file.
fn remove_others(state: &StateDir, kept: &Path) {
    let Ok(entries) = fs_err::read_dir(state.engine()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("bin-") && entry.path() != kept {
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

/// Records a program that was put into an installation's folder.
fn installed(path: PathBuf, origin: Origin) -> Result<Program, InstallError> {
    let version = programs::version_of(&path)?;
    Ok(Program::record(path, version, origin)?)
}
