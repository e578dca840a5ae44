//! Holds a build's graphs back until the engine has read the manifests of its caches.
//!
//! See [`importing`]: a manifest that does not come would hold the daemon up for
//! everybody, and nobody could tell it to stop that.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cache::importing;
use crate::cache::watch::{Stall, Watch};
use crate::engine::failure::SolveError;
use crate::engine::gateway::Bridge;
use crate::engine::solve::CacheEntry;

/// Waits for the manifests of one solve's caches.
pub(super) struct Guard {
    imports: Vec<CacheEntry>,
    watch: Watch,
    limit: Duration,
    /// Tells the session that its status stream will not end by itself.
    hurry: Arc<AtomicBool>,
    stuck: Mutex<Vec<Stall>>,
}

impl Guard {
    /// A guard over `imports`, each of which has until `limit`.
    pub(super) fn new(
        imports: Vec<CacheEntry>,
        watch: &Watch,
        limit: Duration,
        hurry: Arc<AtomicBool>,
    ) -> Self {
        Self { imports, watch: watch.clone(), limit, hurry, stuck: Mutex::default() }
    }

    /// Waits until the engine has read the manifests; what it cannot read is no matter here.
    ///
    /// # Errors
    ///
    /// [`SolveError::Cancelled`] when one does not come; [`Guard::stuck`] then says which.
    pub(super) async fn wait(&self, bridge: &Bridge) -> Result<(), SolveError> {
        if self.imports.is_empty() {
            return Ok(());
        }
        bridge.solve(importing::nothing(), &self.imports, true).await?;
        let read = self.watch.imported(self.imports.len());
        if tokio::time::timeout(self.limit, read).await.is_ok() {
            return Ok(());
        }
        let stuck = self.watch.importing();
        if stuck.is_empty() {
            return Ok(());
        }
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = stuck;
        self.hurry.store(true, Ordering::Relaxed);
        Err(SolveError::Cancelled)
    }

    /// The caches whose manifest did not come.
    pub(super) fn stuck(self) -> Vec<Stall> {
        self.stuck.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
