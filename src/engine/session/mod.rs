//! The session: services that the client offers to the daemon while a build runs.
//!
//! The daemon calls back over the connection that the client opened: the client starts the
//! control API's `Session` stream, and gRPC runs inside that stream with the roles swapped
//! ([`tunnel`]). Each service is an [`Attachable`] that declares its own methods, because the
//! daemon asks only for methods that were announced when the session began.
//!
//! A service that fails tells the daemon through gRPC and records the typed cause in
//! [`Failures`], so that the build ends with our error and not with the daemon's echo of it.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub mod attachable;
pub mod auth;
pub mod content;
pub mod error;
pub mod filesend;
pub mod filesync;
pub mod health;
pub(crate) mod pipe;
pub mod scope;
pub mod secrets;
pub mod ssh;
pub(crate) mod tunnel;
pub mod upload;

pub use attachable::Attachable;
pub use error::{Failures, SessionError};
pub use scope::Scope;

use super::solve::CacheEntry;
use filesync::fingerprint::Synced;

/// The services of one session, before it is opened.
#[derive(Clone)]
pub struct SessionBuilder {
    id: String,
    shared_key: String,
    directories: BTreeMap<String, PathBuf>,
    stores: BTreeMap<String, content::Store>,
    attachables: Vec<Arc<dyn Attachable>>,
    /// The session whose directories this one stands in for.
    earlier: Option<String>,
    synced: Option<Synced>,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionBuilder {
    /// A session with a random id that offers nothing but its health.
    #[must_use]
    pub fn new() -> Self {
        Self {
            id: super::identity::random(),
            shared_key: String::new(),
            directories: BTreeMap::new(),
            stores: BTreeMap::new(),
            attachables: Vec::new(),
            earlier: None,
            synced: None,
        }
    }

    /// Fixes the session's id, which lies inside the digests of local sources.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The session's id, as `local.session` in a definition.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.id
    }

    /// Names what the daemon may share between sessions: the local files it has already received.
    ///
    /// Two builds with the same key, source name and patterns send only what changed between them.
    #[must_use]
    pub fn shared_key(mut self, key: impl Into<String>) -> Self {
        self.shared_key = key.into();
        self
    }

    /// Offers a directory under the name that `local://name` sources have.
    #[must_use]
    pub fn directory(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.directories.insert(name.into(), path.into());
        self
    }

    /// Offers the directories also as those of a session that is over, which the local sources of a
    /// definition name: the daemon asks for them if it has forgotten what it made of them.
    #[must_use]
    pub fn in_place_of(mut self, earlier: Option<String>) -> Self {
        self.earlier = earlier;
        self
    }

    /// Notes in `synced` what transfers of the directories announce.
    #[must_use]
    pub fn noting(mut self, synced: Synced) -> Self {
        self.synced = Some(synced);
        self
    }

    /// The session that this one stands in for as far as directories go.
    pub(crate) fn earlier(&self) -> Option<Self> {
        let mut earlier = Self::new().id(self.earlier.clone()?);
        earlier.shared_key.clone_from(&self.shared_key);
        earlier.directories.clone_from(&self.directories);
        earlier.synced.clone_from(&self.synced);
        Some(earlier)
    }

    /// Offers an OCI layout under the name that `oci-layout://name@digest` sources have as their
    /// `oci.store`.
    #[must_use]
    pub fn layout(self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.store(format!("oci:{name}"), path.into())
    }

    /// Offers a content store under the id by which the daemon asks for it.
    pub(crate) fn store(mut self, id: String, path: PathBuf) -> Self {
        self.stores.entry(id).or_insert(content::Store::Layout(path));
        self
    }

    /// Offers blobs as the local cache that `import` names.
    #[must_use]
    pub fn cache(mut self, import: &CacheEntry, blobs: Arc<dyn content::Blobs>) -> Self {
        if let Some(source) = import.attributes.get("src") {
            let store = content::Store::Blobs(blobs);
            self.stores.insert(format!("local:{source}"), store);
        }
        self
    }

    /// Offers a service.
    #[must_use]
    pub fn attach(mut self, attachable: impl Attachable) -> Self {
        self.attachables.push(Arc::new(attachable));
        self
    }

    /// The session's services by method path, and where their failures are kept.
    pub(crate) fn build(self) -> Session {
        let mut attachables = self.attachables;
        if !self.directories.is_empty() {
            let files = filesync::FileSync::new(self.directories);
            let files = files.noting(self.synced).unless(self.earlier.is_some());
            attachables.push(Arc::new(files));
        }
        if !self.stores.is_empty() {
            attachables.push(Arc::new(content::ContentStores::new(self.stores)));
        }
        attachables.push(Arc::new(health::Health));
        let mut services = BTreeMap::new();
        for attachable in &attachables {
            for method in attachable.methods() {
                services.insert(*method, attachable.clone());
            }
        }
        Session { id: self.id, shared_key: self.shared_key, services, scope: Scope::default() }
    }
}

/// The services of a session that is about to be opened.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) shared_key: String,
    pub(crate) services: BTreeMap<&'static str, Arc<dyn Attachable>>,
    pub(crate) scope: Scope,
}
