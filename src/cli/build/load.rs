//! `--load`: the image goes to Docker, else to Podman, else to kitwright's own image store.
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::cli::image::local_store;
use crate::cli::report::Failure;
use crate::engine::failure::SolveError;
use crate::engine::solve::{ExportTarget, SolveResult};
use crate::fault::{Classified, Fault};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::store::{Store, StoreGuard};
use crate::output::exporter::{ExporterKind, ImageStore};

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// How long a program that takes no more may need to say why.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// An image on its way to a local image store.
pub(super) enum Load {
    /// A program that reads an archive from its stdin.
    Program { name: &'static str, child: Child },
    /// Kitwright's own store, which the engine sends the blobs that are not there yet.
    Store { store: Store, guard: StoreGuard },
}

/// A local image store that did not take the image.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum LoadError {
    #[error("cannot start `{program} load`")]
    Start { program: &'static str, source: std::io::Error },
    #[error("`{program} load` failed: {message}")]
    #[diagnostic(help("write an archive instead: `--output type=docker,dest=image.tar`"))]
    Failed { program: &'static str, message: String },
    #[error("the engine does not say which image it has sent")]
    NoImage,
    #[error("an image in the image store needs a name")]
    #[diagnostic(help("give it one: `--tag NAME`"))]
    Unnamed,
    #[error("the engine calls the image `{name}`")]
    Name { name: String, source: ReferenceError },
}

impl Classified for LoadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unnamed => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

impl LoadError {
    fn failed(program: &'static str, stderr: &[u8]) -> Self {
        let message = String::from_utf8_lossy(stderr).trim().to_owned();
        Self::Failed { program, message }
    }
}

impl Load {
    /// Opens the store, and says what the engine is to export and where to.
    pub(super) fn start(store: ImageStore) -> Result<(Self, ExporterKind, ExportTarget), Failure> {
        match program(store) {
            Some(name) => Self::through(name),
            None => Self::into_store(),
        }
    }

    fn through(name: &'static str) -> Result<(Self, ExporterKind, ExportTarget), Failure> {
        let failed = |source| LoadError::Start { program: name, source };
        let mut child = Command::new(name)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin =
            child.stdin.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        let target = ExportTarget::Stream(Box::new(stdin));
        Ok((Self::Program { name, child }, ExporterKind::Docker, target))
    }

    fn into_store() -> Result<(Self, ExporterKind, ExportTarget), Failure> {
        let store = local_store()?;
        // Held from the first blob to the name.
        let guard = store.guard()?;
        let target = ExportTarget::Blobs(store.root().to_owned());
        Ok((Self::Store { store, guard }, ExporterKind::Oci, target))
    }

    /// Says why the program took the image no further, if it did not.
    async fn refusal(self) -> Option<Failure> {
        let Self::Program { name, child } = self else { return None };
        // Its stdin is closed, so it comes to an end by itself.
        let output = tokio::time::timeout(LAST_WORDS, child.wait_with_output()).await.ok()?.ok()?;
        let failed = !output.status.success();
        failed.then(|| LoadError::failed(name, &output.stderr).into())
    }

    /// Waits until the image is in the store; returns where it is, in a line for people.
    pub(super) async fn finish(self, result: &SolveResult) -> Result<String, Failure> {
        match self {
            Self::Program { name, child } => {
                let output = child.wait_with_output().await;
                let output = output.map_err(|source| LoadError::Start { program: name, source })?;
                if output.status.success() {
                    return Ok(format!("loaded into {name}"));
                }
                Err(LoadError::failed(name, &output.stderr).into())
            }
            Self::Store { store, guard } => {
                let mut descriptor = result.image_descriptor().ok_or(LoadError::NoImage)?;
                descriptor.annotations.clear();
                let mut names = Vec::new();
                for name in result.image_names() {
                    let failed = |source| LoadError::Name { name: name.to_owned(), source };
                    let reference: ImageReference = name.parse().map_err(failed)?;
                    store.tag(&guard, &reference, &descriptor)?;
                    names.push(reference.familiar());
                }
                if names.is_empty() {
                    return Err(LoadError::Unnamed.into());
                }
                let place = store.root().display();
                Ok(format!("{} is in the image store `{place}`", names.join(", ")))
            }
        }
    }
}

/// Why a build broke whose client failed: a program that refuses the image says more than the pipe
/// to it.
pub(super) async fn cause(loads: Vec<Load>, error: SolveError) -> Failure {
    for load in loads {
        if let Some(refusal) = load.refusal().await {
            return refusal;
        }
    }
    error.into()
}

/// Whether a store is that of another program.
pub(super) fn has_program(store: ImageStore) -> bool {
    program(store).is_some()
}

/// The program that keeps a store; none for kitwright's own.
fn program(store: ImageStore) -> Option<&'static str> {
    match store {
        ImageStore::Found => {}
        ImageStore::Docker => return Some("docker"),
        ImageStore::Podman => return Some("podman"),
        ImageStore::Own => return None,
    }
    let installed = |name: &str| which::which(name).is_ok();
    let docker = match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => {
            host.strip_prefix("unix://").is_none_or(|socket| UnixStream::connect(socket).is_ok())
        }
        _ => UnixStream::connect(DOCKER_SOCKET).is_ok(),
    };
    if docker && installed("docker") {
        return Some("docker");
    }
    installed("podman").then_some("podman")
}
