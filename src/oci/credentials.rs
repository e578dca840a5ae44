//! Registry credentials from Docker's and Podman's configuration and credential helpers.
//!
//! Input: `config.json` (`DOCKER_CONFIG`, `DOCKER_AUTH_CONFIG`), `auth.json` (`REGISTRY_AUTH_FILE`
//! and Podman's places). Output: one [`Credential`] for a registry. Files are read when the first
//! registry asks for authentication, and a helper runs once a registry: a build that needs no
//! credentials pays for none.
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

pub use super::secret::Secret;
use crate::fault::{Classified, Fault};

mod file;
mod helper;

use file::AuthFile;

/// The key under which Docker keeps the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The names that all mean Docker Hub.
const DOCKER_HUB_HOSTS: &[&str] = &["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What a registry may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// There is nothing to show.
    Anonymous,
    /// A user name and a password or access token.
    Password {
        /// The user's name, which may be printed.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, which the token server exchanges for an access token.
    IdentityToken(Secret),
    /// A bearer token that is sent to the registry as it is.
    RegistryToken(Secret),
}

/// Credentials that could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CredentialError {
    /// A configuration file is there and cannot be read.
    #[error("cannot read the registry credentials in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A configuration is not the JSON it should be.
    ///
    /// The parser's own message is left out, because it may quote a password.
    #[error("`{origin}` is not a Docker configuration: bad JSON at line {line}, column {column}")]
    Parse {
        /// The file, or the variable's name.
        origin: String,
        /// Where the parser stopped.
        line: usize,
        /// Where the parser stopped.
        column: usize,
    },
    /// An `auth` entry is not base64 of `user:password`.
    #[error(
        "`{origin}` has an `auth` entry for `{registry}` that is not base64 of `user:password`"
    )]
    #[diagnostic(help("log in again: `docker login {registry}`"))]
    Entry {
        /// The file, or the variable's name.
        origin: String,
        /// The entry's key.
        registry: String,
    },
    /// A credential helper's name could leave the search path.
    #[error("`{name}` is not the name of a credential helper")]
    HelperName {
        /// The name in the configuration.
        name: String,
    },
    /// A credential helper cannot be run.
    #[error("cannot run `{program}` for the credentials of `{registry}`")]
    #[diagnostic(help(
        "install it, or remove it from `credsStore` and `credHelpers` in Docker's `config.json`"
    ))]
    HelperStart {
        /// The program.
        program: String,
        /// The registry's name.
        registry: String,
        /// What the system said.
        source: io::Error,
    },
    /// A credential helper ended with an error.
    #[error("`{program}` failed for `{registry}`: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// The registry's name.
        registry: String,
        /// The first line that the helper wrote to stderr, or its status.
        message: String,
    },
    /// A credential helper's answer is not what its protocol says.
    #[error("`{program}` gave no `Username` and `Secret` for `{registry}`")]
    HelperAnswer {
        /// The program.
        program: String,
        /// The registry's name.
        registry: String,
    },
    /// A credential helper does not end.
    #[error("`{program}` did not answer for `{registry}` within {seconds} s")]
    HelperTimeout {
        /// The program.
        program: String,
        /// The registry's name.
        registry: String,
        /// How long it had.
        seconds: u64,
    },
}

impl Classified for CredentialError {
    fn fault(&self) -> Fault {
        match self {
            Self::Parse { .. } | Self::Entry { .. } | Self::HelperName { .. } => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

/// Where credentials are looked for, in order.
#[derive(Clone, Debug, Default)]
pub struct CredentialSources {
    /// The JSON in `DOCKER_AUTH_CONFIG`, which goes before every file.
    pub inline: Option<Secret>,
    /// Files in Docker's form; those that are not there are passed over.
    pub files: Vec<PathBuf>,
}

impl CredentialSources {
    /// The places that the environment names, Docker's before Podman's.
    #[must_use]
    pub fn from_env() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let docker = path("DOCKER_CONFIG").or_else(|| home.as_ref().map(|h| h.join(".docker")));
        let config = path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|h| h.join(".config")));
        let podman = |dir: PathBuf| dir.join("containers/auth.json");
        let files = [
            docker.map(|dir| dir.join("config.json")),
            path("REGISTRY_AUTH_FILE"),
            path("XDG_RUNTIME_DIR").map(podman),
            config.map(podman),
        ];
        let inline = std::env::var("DOCKER_AUTH_CONFIG").ok().filter(|text| !text.is_empty());
        Self { inline: inline.map(Secret::new), files: files.into_iter().flatten().collect() }
    }
}

/// Looks up credentials and remembers what it found.
#[derive(Clone, Default)]
pub struct CredentialStore {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    sources: CredentialSources,
    files: OnceLock<Vec<AuthFile>>,
    found: Mutex<BTreeMap<String, Credential>>,
}

impl CredentialStore {
    /// A store that looks in `sources`, when it is first asked.
    #[must_use]
    pub fn new(sources: CredentialSources) -> Self {
        Self { inner: Arc::new(Inner { sources, ..Inner::default() }) }
    }

    /// Finds what to show to `registry` for `repository`.
    ///
    /// The most specific entry of the first file that has one wins: Podman's files may name a
    /// repository or a part of its path, Docker's only name registries.
    ///
    /// # Errors
    ///
    /// A [`CredentialError`] when a file or a helper is there but of no use. Falling back to no
    /// credentials would end in a puzzling refusal by the registry.
    pub async fn get(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credential, CredentialError> {
        let place = format!("{registry}/{repository}");
        let mut found = self.inner.found.lock().await;
        if let Some(credential) = found.get(&place) {
            return Ok(credential.clone());
        }
        let credential = self.look_up(registry, repository).await?;
        found.insert(place, credential.clone());
        Ok(credential)
    }

    async fn look_up(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credential, CredentialError> {
        for file in self.files()? {
            for key in lookup_keys(registry, repository) {
                if let Some(helper) = file.helper_for(&key)
                    && let Some(credential) = helper::get(helper, &key).await?
                {
                    return Ok(credential);
                }
                if let Some(credential) = file.entry_for(&key)? {
                    return Ok(credential);
                }
            }
        }
        Ok(Credential::Anonymous)
    }

    fn files(&self) -> Result<&[AuthFile], CredentialError> {
        if let Some(files) = self.inner.files.get() {
            return Ok(files);
        }
        let read = AuthFile::read_all(&self.inner.sources)?;
        Ok(self.inner.files.get_or_init(|| read))
    }
}

/// The keys to look for, the most specific first: `host/a/b`, `host/a`, `host`.
fn lookup_keys(registry: &str, repository: &str) -> Vec<String> {
    let hub = DOCKER_HUB_HOSTS.contains(&registry);
    let host = if hub { "docker.io" } else { registry };
    let mut keys = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        keys.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    if hub {
        keys.push(DOCKER_HUB_KEY.to_owned());
        keys.extend(DOCKER_HUB_HOSTS.iter().map(ToString::to_string));
    } else {
        keys.push(host.to_owned());
    }
    keys
}

#[cfg(test)]
mod tests;
