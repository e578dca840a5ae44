//! What goes wrong in the client's own services during a build.
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::{Classified, Fault, chain};

/// A service of the session that failed; the build fails with it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SessionError {
    /// A build step asks for a local directory that the client does not offer.
    #[error("the build asks for the local directory `{name}`, which is not part of it")]
    #[diagnostic(help("name it with `--build-context {name}=PATH`"))]
    UnknownDirectory {
        /// The name of the local source.
        name: String,
    },
    /// A directory or file of the build context cannot be read.
    #[error("cannot read `{}` of the build context", path.display())]
    #[diagnostic(help("make it readable, or exclude it in `.dockerignore`"))]
    Context {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pattern that chooses context files is malformed.
    #[error("cannot match `{pattern}` against the build context: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that the build exports cannot be written.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon sent a path that leads out of the output directory.
    #[error("the builder sent the path `{path}`, which leads out of `{}`", root.display())]
    Escape {
        /// The path as sent.
        path: String,
        /// The output directory.
        root: PathBuf,
    },
    /// The daemon broke the protocol of a transfer.
    #[error("the builder sent a file transfer that cannot be understood: {problem}")]
    Protocol {
        /// What was wrong.
        problem: String,
    },
    /// A secret cannot be given out.
    #[error("cannot read the secret `{id}`: {problem}")]
    Secret {
        /// The secret's id.
        id: String,
        /// Why, without its value.
        problem: String,
    },
    /// An SSH agent or key cannot be used.
    #[error("cannot use the SSH agent `{id}`: {problem}")]
    Ssh {
        /// The agent's id.
        id: String,
        /// Why.
        problem: String,
    },
    /// A content store (OCI layout or local cache) cannot be read or written.
    #[error("cannot use the content store `{}`", path.display())]
    Store {
        /// The file in the store.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A service panicked, or the tunnel to the daemon broke.
    #[error("the session with the builder broke: {problem}")]
    Broken {
        /// What happened.
        problem: String,
    },
}

impl Classified for SessionError {
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownDirectory { .. }
            | Self::Context { .. }
            | Self::Pattern { .. }
            | Self::Secret { .. }
            | Self::Ssh { .. } => Fault::Usage,
            Self::Output { .. } | Self::Escape { .. } | Self::Protocol { .. } => Fault::Environment,
            Self::Store { .. } | Self::Broken { .. } => Fault::Environment,
        }
    }
}

/// The first failure of a session's services.
///
/// Later ones are mostly its consequences: the daemon cancels the other transfers.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<Option<SessionError>>>);

impl Failures {
    /// Keeps `error` if it is the first, and returns the status to send to the daemon.
    pub fn record(&self, error: SessionError) -> tonic::Status {
        let text = chain(&error);
        let status = match error.fault() {
            Fault::Usage => tonic::Status::invalid_argument(text),
            _ => tonic::Status::aborted(text),
        };
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        status
    }

    /// Takes the first failure out.
    pub(crate) fn take(&self) -> Option<SessionError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
