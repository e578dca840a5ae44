//! The clients that are measured.
use std::path::{Path, PathBuf};

use crate::engine::programs::{ProgramsError, find_program, version_of};
use crate::fault::{Classified, Fault};

mod command;

pub use command::{BUILDX_BUILDER, Invocation, Task};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in the results.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The program.
    pub program: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// What kind of command line a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kitwright, this one or another version of it.
    Kitwright,
    /// `docker buildx` without Docker, with the same options as kitwright.
    Buildx,
    /// The same, with its own defaults where it has others: a provenance attestation.
    BuildxDefaults,
    /// BuildKit's own client.
    Buildctl,
}

/// A client that cannot be measured.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ClientError {
    /// The program is not there.
    #[error("`--against {name}`: there is no `{program}` on PATH")]
    #[diagnostic(help("say where it is: `--against {name}=/path/to/{program}`"))]
    Missing {
        /// The name as given.
        name: String,
        /// The program.
        program: &'static str,
    },
    /// A name that is neither known nor comes with a program.
    #[error("`--against {name}`: only `buildx`, `buildx-defaults` and `buildctl` are known")]
    #[diagnostic(help("another kitwright is given with its path: `--against {name}=/path/to/it`"))]
    Unknown {
        /// The name.
        name: String,
    },
    /// Two clients of one name.
    #[error("`--against` names `{name}` twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The program does not run.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Program(#[from] ProgramsError),
}

impl Classified for ClientError {
    fn fault(&self) -> Fault {
        match self {
            Self::Program(error) => error.fault(),
            Self::Missing { .. } => Fault::Environment,
            Self::Unknown { .. } | Self::Twice { .. } => Fault::Usage,
        }
    }
}

/// The name of the kitwright that runs the benchmark.
pub const OWN: &str = "kitwright";

impl Client {
    /// The running kitwright itself.
    #[must_use]
    pub fn own(program: PathBuf) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name: OWN.to_owned(), kind: Kind::Kitwright, program, version }
    }

    /// Reads `NAME` or `NAME=PROGRAM`.
    ///
    /// # Errors
    ///
    /// When the name says nothing or the program is not there.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let (name, program) = match text.split_once('=') {
            Some((name, program)) => (name, Some(PathBuf::from(program))),
            None => (text, None),
        };
        let (kind, file) = match name {
            "buildx" => (Kind::Buildx, "buildx"),
            "buildx-defaults" => (Kind::BuildxDefaults, "buildx"),
            "buildctl" => (Kind::Buildctl, "buildctl"),
            OWN => return Err(ClientError::Twice { name: name.to_owned() }),
            _ if program.is_some() => (Kind::Kitwright, "kitwright"),
            _ => return Err(ClientError::Unknown { name: name.to_owned() }),
        };
        let missing = || ClientError::Missing { name: name.to_owned(), program: file };
        let program =
            program.or_else(|| find_program(file)).or_else(|| plugin(file)).ok_or_else(missing)?;
        let version = match kind {
            Kind::Buildx | Kind::BuildxDefaults => buildx_version(&program)?,
            Kind::Kitwright | Kind::Buildctl => version_of(&program)?,
        };
        Ok(Self { name: name.to_owned(), kind, program, version })
    }

    /// `NAME VERSION`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Where Docker keeps its plugins.
fn plugin(file: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let system = ["/usr/libexec/docker", "/usr/lib/docker", "/usr/local/lib/docker"];
    home.into_iter()
        .chain(system.map(PathBuf::from))
        .map(|folder| folder.join("cli-plugins").join(format!("docker-{file}")))
        .find(|path| path.is_file())
}

fn buildx_version(program: &Path) -> Result<String, ClientError> {
    let output = std::process::Command::new(program).arg("version").output();
    let output = output.map_err(|source| ProgramsError::Unusable {
        action: "run",
        path: program.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    Ok(version.trim_start_matches('v').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_named_with_or_without_a_program() {
        let known = Client::parse("old=/bin/true").unwrap();
        assert_eq!((known.name.as_str(), known.kind), ("old", Kind::Kitwright));
        assert!(matches!(Client::parse("podman"), Err(ClientError::Unknown { .. })));
        assert!(matches!(Client::parse("kitwright=/x"), Err(ClientError::Twice { .. })));
        assert!(matches!(Client::parse("buildctl=/no/such"), Err(ClientError::Program(_))));
    }
}
