//! The async runtime of a command, and its interruption by the user.
use std::future::Future;

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::report::Failure;
use crate::fault::{Classified, Fault};

/// The runtime could not be started.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start the async runtime")]
struct RuntimeError {
    source: std::io::Error,
}

impl Classified for RuntimeError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// Runs a command's work to its end, on this thread.
///
/// Nearly all of it is conversations: several threads would hand each other every word of them. What
/// takes time, such as reading files, has threads of its own.
///
/// # Errors
///
/// That of the work, or of starting the runtime.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| RuntimeError { source })?;
    let result = runtime.block_on(work);
    // Blocking reads, such as of stdin, must not keep a finished command alive.
    runtime.shutdown_background();
    result
}

/// A token that is cancelled by the first Ctrl-C or termination signal; a second one ends the
/// process at once.
pub(super) fn interruption() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        if wait_for_signal().await {
            cancelled.cancel();
            if wait_for_signal().await {
                std::process::exit(Fault::Interrupted.exit_code().into());
            }
        }
    });
    token
}

/// Returns whether a signal came; without handlers there is nothing to wait for.
async fn wait_for_signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
        _ = terminate.recv() => true,
    }
}
