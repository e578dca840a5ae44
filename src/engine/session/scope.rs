//! Where the services of a session run: what they start ends with the session, and is joined.
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;

use super::{Failures, SessionError};

/// The tasks and failures of one session; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    failures: Failures,
    tracker: TaskTracker,
}

impl Scope {
    /// Another session's scope that keeps its failures in the same place.
    pub(crate) fn beside(&self) -> Self {
        Self { failures: self.failures.clone(), tracker: TaskTracker::new() }
    }

    /// Where failures are kept.
    #[must_use]
    pub const fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Runs a task; should it panic, the session fails.
    pub fn spawn(&self, task: impl Future<Output: Send> + Send + 'static) {
        let failures = self.failures.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                failures.record(panicked());
            }
        });
    }

    /// Runs a task that blocks; should it panic, the session fails.
    pub fn spawn_blocking(&self, task: impl FnOnce() + Send + 'static) {
        let failures = self.failures.clone();
        self.tracker.spawn_blocking(move || {
            if std::panic::catch_unwind(AssertUnwindSafe(task)).is_err() {
                failures.record(panicked());
            }
        });
    }

    /// Waits until no task runs, while others may still come.
    pub(crate) async fn idle(&self) {
        self.join().await;
        self.tracker.reopen();
    }

    /// Waits until every task has ended.
    pub(crate) async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F> hyper::rt::Executor<F> for Scope
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

fn panicked() -> SessionError {
    SessionError::Broken { problem: "one of kitwright's services panicked".to_owned() }
}
