//! Runs one of the program's graphs on an engine.
use std::time::Duration;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::CacheMount;
use super::artifact::ArtifactError;
use crate::engine::client::Client;
use crate::engine::failure::SolveError;
use crate::engine::gateway::{self, ClientResult};
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{Export, SolveRequest, SolveResult, solve};
use crate::engine::status::StatusEvent;
use crate::oci::registry;

/// How often a mount is looked at before it is taken as it is: another build may work with it.
const SETTLE_TRIES: usize = 20;
/// The time between two looks; the engine sends no news of this.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// An engine with all that is needed to move mounts between it and a registry.
#[derive(Clone)]
pub struct Engine {
    /// The engine.
    pub client: Client,
    /// The registry client, with the user's credentials.
    pub registry: registry::Client,
    /// Makes the session of a solve, which has to offer the user's credentials.
    pub session: std::sync::Arc<dyn Fn() -> SessionBuilder + Send + Sync>,
    /// Ends all work when the user interrupts the build.
    pub cancel: CancellationToken,
}

/// A cache mount that could not be brought to the engine, or from it.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The engine did not do it.
    #[error(transparent)]
    Solve(Box<SolveError>),
    /// The registry did not.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The program in the engine said what nobody understands.
    #[error("the engine reports `{0}`")]
    Report(String),
    /// It was given up.
    #[error("it took more than {} s", .0.as_secs_f64())]
    Late(Duration),
}

/// When work with one mount is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// Begins to count now.
    pub(super) fn within(limit: Duration) -> Self {
        let now = Instant::now();
        Self { at: now.checked_add(limit).unwrap_or(now), limit }
    }

    /// Waits for a registry's answer.
    pub(super) async fn answer<T, E>(
        self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, MountError>
    where
        MountError: From<E>,
    {
        match tokio::time::timeout_at(self.at, asking).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(MountError::Late(self.limit)),
        }
    }

    /// Waits for a solve, and has it stopped when that takes too long.
    async fn solved<T>(
        self,
        cancel: &CancellationToken,
        solving: impl Future<Output = Result<T, SolveError>>,
    ) -> Result<T, MountError> {
        let mut solving = std::pin::pin!(solving);
        match tokio::time::timeout_at(self.at, solving.as_mut()).await {
            Ok(result) => Ok(result?),
            Err(_) => {
                cancel.cancel();
                let _ = solving.await;
                Err(MountError::Late(self.limit))
            }
        }
    }
}

impl From<SolveError> for MountError {
    fn from(error: SolveError) -> Self {
        Self::Solve(Box::new(error))
    }
}

impl Engine {
    /// Solves `definition` and returns what its command wrote to stdout.
    pub(super) async fn solve(
        &self,
        definition: pb::Definition,
        deadline: Deadline,
    ) -> Result<String, MountError> {
        let mut request = SolveRequest::definition(definition);
        request.internal = true;
        let (events, output) = listen();
        let cancel = self.cancel.child_token();
        let solving = solve(&self.client, request, (self.session)(), events, &cancel);
        deadline.solved(&cancel, solving).await?;
        Ok(output.await.unwrap_or_default())
    }

    /// Waits until nothing on the engine holds `mount`.
    ///
    /// A second after a solve the engine's cleaning takes hold of every record whose size it does not
    /// know, to measure it, and a step that finds its mount held is given an empty one. Asking for
    /// the sizes measures them now.
    pub(super) async fn settle(&self, mount: &CacheMount) {
        let id = format!("with id {:?}", mount.id);
        for _ in 0..SETTLE_TRIES {
            let records = self.client.disk_usage(vec!["type==exec.cachemount".to_owned()]).await;
            let held = records.is_ok_and(|records| {
                records.iter().any(|record| record.in_use && record.description.ends_with(&id))
            });
            if !held {
                return;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    /// Solves `definition`, exports the result if asked to, and returns one file of it.
    pub(super) async fn read(
        &self,
        definition: pb::Definition,
        path: &str,
        export: Option<Export>,
        deadline: Deadline,
    ) -> Result<(SolveResult, Bytes), MountError> {
        let mut request = SolveRequest::definition(pb::Definition::default());
        request.internal = true;
        let exports = export.is_some();
        request.exports.extend(export);
        let (events, _output) = listen();
        let cancel = self.cancel.child_token();
        let mut content = Bytes::new();
        let session = (self.session)();
        let solving =
            gateway::build(&self.client, request, session, events, &cancel, async |bridge| {
                let solved = bridge.solve(definition, &[], false).await?;
                content = bridge.read_file(&solved, path).await?;
                Ok(if exports { ClientResult::files(solved) } else { ClientResult::default() })
            });
        let result = deadline.solved(&cancel, solving).await?;
        Ok((result, content))
    }
}

/// Collects what commands write to stdout.
fn listen() -> (mpsc::Sender<StatusEvent>, tokio::task::JoinHandle<String>) {
    let (sender, mut events) = mpsc::channel(64);
    let output = tokio::spawn(async move {
        let mut text = Vec::new();
        while let Some(event) = events.recv().await {
            if let StatusEvent::Log(log) = event
                && log.stream == 1
            {
                text.extend_from_slice(&log.data);
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    (sender, output)
}
