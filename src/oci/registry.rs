//! The distribution client: manifests, blobs, tags and referrers of any OCI registry.
//!
//! Input: [`ImageReference`]s and [`Options`]. Output: verified bytes. Mirrors are asked before the
//! registry itself, only for reads. Every answer is checked against its digest; errors say whether
//! another try may help ([`RegistryError::is_retryable`]). Specification: OCI distribution 1.1.
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::reference::ImageReference;

mod auth;
mod blob;
mod challenge;
mod error;
mod host;
mod manifest;
mod mount;
mod options;
mod redact;
mod referrer;
mod resolve;
mod retry;
mod scope;
mod tag;
mod tls;
mod token;
mod transport;
mod upload;

pub use blob::BlobReader;
pub use error::{Answer, OciError, RegistryError};
pub use manifest::{FetchedManifest, Precondition};
pub use options::{Mirror, Options, RetryPolicy};
pub use resolve::Resolved;
pub(crate) use retry::retry_after;
pub(crate) use tls::{provider, system_roots};
pub use token::FetchedToken;
pub use upload::{BlobOutcome, BlobSource, BlobStream, FileSource, RemoteSource};

use host::Host;
use scope::{PULL_PUSH, Scopes};
use transport::Wire;

/// Speaks with registries; clones share connections, tokens and credentials.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What the clones of a client share.
struct Inner {
    options: Options,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    /// Connections to token servers and blob storage.
    others: Mutex<BTreeMap<String, reqwest::Client>>,
    requests: AtomicU64,
}

impl Client {
    /// A client that has not spoken with anybody yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let inner = Inner {
            options,
            hosts: Mutex::default(),
            others: Mutex::default(),
            requests: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How many HTTP requests the client has sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    /// Notes that `repository` will be written to, so that the first token allows that as well.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry's settings are of no use.
    pub async fn expect_push(&self, repository: &ImageReference) -> Result<(), RegistryError> {
        let host = self.inner.upstream(repository.registry())?;
        host.authentication.foresee(&Scopes::on(repository.repository(), PULL_PUSH)).await;
        Ok(())
    }

    /// The registry that a reference names.
    fn upstream(&self, reference: &ImageReference) -> Result<Wire, RegistryError> {
        let host = self.inner.upstream(reference.registry())?;
        Ok(Wire { inner: Arc::clone(&self.inner), host })
    }

    /// Reads from the first mirror that can, or from the registry itself.
    async fn read<T, F, R>(&self, reference: &ImageReference, read: R) -> Result<T, RegistryError>
    where
        R: Fn(Wire) -> F,
        F: Future<Output = Result<T, RegistryError>>,
    {
        let mut failed = Vec::new();
        for host in self.inner.mirrors(reference.registry())? {
            let name = host.name.clone();
            match read(Wire { inner: Arc::clone(&self.inner), host }).await {
                Ok(value) => return Ok(value),
                Err(error) => failed.push(format!("`{name}`: {error}")),
            }
        }
        let result = read(self.upstream(reference)?).await;
        if failed.is_empty() {
            return result;
        }
        result.map_err(|source| RegistryError::Mirrored {
            mirrors: failed.join("; "),
            source: Box::new(source),
        })
    }
}

impl Inner {
    fn upstream(&self, registry: &str) -> Result<Arc<Host>, RegistryError> {
        self.host(registry.to_owned(), || Host::upstream(registry, &self.options))
    }

    fn mirrors(&self, registry: &str) -> Result<Vec<Arc<Host>>, RegistryError> {
        let mirrors = self.options.mirrors_of(registry);
        let hosts = mirrors.map(|mirror| {
            self.host(format!("{registry} {mirror:?}"), || {
                Host::mirror(mirror, registry, &self.options)
            })
        });
        hosts.collect()
    }

    fn host(
        &self,
        key: String,
        make: impl FnOnce() -> Result<Host, RegistryError>,
    ) -> Result<Arc<Host>, RegistryError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&key) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(make()?);
        hosts.insert(key, Arc::clone(&host));
        Ok(host)
    }

    fn client_for_other(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let authority = host::authority(url);
        let key = format!("{}://{authority}", url.scheme());
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = others.get(&key) {
            return Ok(client.clone());
        }
        let client = host::http_client(url, &authority, &self.options)?;
        others.insert(key, client.clone());
        Ok(client)
    }
}

/// The part of a reference's repository that follows the host's base.
fn path(reference: &ImageReference, rest: &str) -> String {
    format!("{}/{rest}", reference.repository())
}
