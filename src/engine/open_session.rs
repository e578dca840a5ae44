//! What the client offers to the daemon, and a session that is open for a build.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::call::Call;
use super::client::Client;
use super::failure::{self, Known, SolveError};
use super::session::{Scope, Session, SessionBuilder, SessionError, tunnel};
use super::solve::{SolveRequest, SolveResult, wire};
use super::status::{self, StatusEvent};
use super::targets::Targets;

/// How long the status stream may stay silent once the build has ended.
const STATUS_SILENCE: Duration = Duration::from_secs(5);
/// The same for a build that somebody has stopped, or whose stream is known not to end.
const STOPPED_SILENCE: Duration = Duration::from_millis(500);
/// How long it may go on telling news of such a build.
const STOPPED_LIMIT: Duration = Duration::from_secs(5);

/// How long a build may run before its directories are also offered as those of an earlier session:
/// a build with nothing to do ends sooner, and needs none of it.
const EARLIER_AFTER: Duration = Duration::from_millis(20);

/// What the client offers to builds: its services, and the targets of exports and caches.
///
/// One offer serves any number of sessions, one after the other. A build that follows another one on
/// the same graph needs a session of its own: the daemon knows local files by their session, and would
/// find what the earlier build made of them under that alone, without the keys by which others find
/// it in a cache. One that follows on a graph which is still [held](super::hold) goes on in the same session.
#[derive(Clone)]
pub struct Offer {
    session: SessionBuilder,
    targets: Targets,
}

impl Offer {
    /// Adds everything local that `request` names: the targets of its exports, local caches.
    ///
    /// `request` loses the targets, and the caches that do not exist.
    ///
    /// # Errors
    ///
    /// [`SolveError::Session`] when a local store cannot be read.
    pub fn new(request: &mut SolveRequest, session: SessionBuilder) -> Result<Self, SolveError> {
        let (session, targets) = Targets::offer(request, session).map_err(SolveError::Session)?;
        Ok(Self { session, targets })
    }

    /// Opens a session without waiting for the daemon; `id` in place of the builder's own.
    #[must_use]
    pub fn open(&self, client: &Client, id: Option<String>) -> OpenSession {
        let Self { session, targets } = self.clone();
        let over = CancellationToken::new();
        // Only the first build's graph names an earlier one.
        let earlier = id.is_none().then(|| session.earlier()).flatten();
        let session = match id {
            Some(id) => session.id(id).build(),
            None => session.build(),
        };
        let (id, scope) = (session.id.clone(), session.scope.clone());
        let earlier = earlier.map(|earlier| {
            let earlier = Session { scope: scope.beside(), ..earlier.build() };
            tokio::spawn(stand_in(client.clone(), earlier, over.clone()))
        });
        let tunnel = tokio::spawn(tunnel::run(client.clone(), session, over.clone()));
        let over = over.drop_guard();
        let (client, hurry, deaf) = (client.clone(), Arc::default(), Arc::default());
        OpenSession { client, id, scope, targets, over, tunnel, earlier, broken: None, hurry, deaf }
    }
}

/// A session that is open until its build has ended.
pub struct OpenSession {
    client: Client,
    id: String,
    scope: Scope,
    targets: Targets,
    /// Ends the session, also when its build is given up on.
    over: DropGuard,
    tunnel: JoinHandle<Result<(), SessionError>>,
    /// What offers the directories as those of an earlier session.
    earlier: Option<JoinHandle<()>>,
    /// How the tunnel ended, if it did so by itself.
    broken: Option<String>,
    /// Whether something of the build goes on for ever, and its status stream with it.
    hurry: Arc<AtomicBool>,
    /// Whether the daemon went on with a build that it was told to stop.
    deaf: Arc<AtomicBool>,
}

impl OpenSession {
    /// The session's name on the daemon.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where somebody can say that the status stream will not end when the build has.
    #[must_use]
    pub fn hurry(&self) -> Arc<AtomicBool> {
        self.hurry.clone()
    }

    /// Tells, once the build is over, whether the daemon went on with it although it was stopped.
    #[must_use]
    pub fn deaf(&self) -> Arc<AtomicBool> {
        self.deaf.clone()
    }

    /// Builds `request`, which the offer was made for, or which names nothing local.
    ///
    /// # Errors
    ///
    /// As [`solve`](super::solve::solve) gives them.
    pub async fn solve(
        &mut self,
        request: SolveRequest,
        events: mpsc::Sender<StatusEvent>,
        cancel: &CancellationToken,
    ) -> Result<SolveResult, SolveError> {
        let call = self.client.clone();
        self.run(request, events, cancel, async move |wire| call.solve(wire).await).await
    }

    /// Makes the call that ends with the build, and brings its status stream to its end.
    pub(super) async fn run<F>(
        &mut self,
        request: SolveRequest,
        events: mpsc::Sender<StatusEvent>,
        cancel: &CancellationToken,
        call: F,
    ) -> Result<SolveResult, SolveError>
    where
        F: AsyncFnOnce(Call) -> Result<tonic::Response<control::SolveResponse>, tonic::Status>,
    {
        let broken = |problem: &String| {
            SolveError::Session(SessionError::Broken { problem: problem.clone() })
        };
        if let Some(problem) = &self.broken {
            return Err(broken(problem));
        }
        let wire = wire(request, &self.id);
        let known = Known::new(wire.definition.clone());
        let (client, solve_ref) = (self.client.clone(), wire.request.r#ref.clone());
        let status = Forwarding::start(client, solve_ref, events, known.clone());
        let mut ended = None;
        let reply = {
            let mut reply = std::pin::pin!(call(wire));
            tokio::select! {
                reply = reply.as_mut() => Some(reply),
                end = &mut self.tunnel => {
                    let end = joined(end);
                    self.broken = Some(end.as_ref().map_or_else(ToString::to_string, |()| "it ended".into()));
                    ended = Some(end);
                    // The daemon mostly fails the build itself, and says more about why.
                    tokio::time::timeout(STATUS_SILENCE, reply).await.ok()
                }
                // Dropping the call is what tells the daemon to stop.
                () = cancel.cancelled() => None,
            }
        };
        if matches!(reply, Some(Ok(_))) && ended.is_none() {
            // What the exporters sent may still be on its way to the disk.
            let _ = tokio::time::timeout(STATUS_SILENCE, self.scope.idle()).await;
        }
        let stopped = cancel.is_cancelled() || self.hurry.load(Ordering::Relaxed);
        let streamed = if stopped {
            let ended = tokio::time::timeout(STOPPED_LIMIT, status.join(STOPPED_SILENCE)).await;
            self.deaf.store(ended.is_err(), Ordering::Relaxed);
            ended.unwrap_or(Ok(()))
        } else {
            status.join(STATUS_SILENCE).await
        };
        if let Some(error) = self.scope.failures().take() {
            return Err(SolveError::Session(error));
        }
        if cancel.is_cancelled() {
            return Err(SolveError::Cancelled);
        }
        let lost = |status| failure::decode(&self.client, &known, status);
        match (reply, ended) {
            (Some(Ok(_)) | None, Some(Err(error))) => Err(SolveError::Session(error)),
            (Some(Ok(reply)), _) => {
                streamed.map_err(lost)?;
                let exporter_response = reply.into_inner().exporter_response;
                self.targets.record(&exporter_response).map_err(SolveError::Session)?;
                Ok(SolveResult { exporter_response })
            }
            (Some(Err(status)), _) => Err(lost(status)),
            (None, _) => Err(SolveError::Cancelled),
        }
    }

    /// Closes the session and waits for its services.
    ///
    /// # Errors
    ///
    /// [`SolveError::Session`] when one of them failed or did not end.
    async fn close(self) -> Result<(), SolveError> {
        let Self { scope, over, tunnel, earlier, broken, .. } = self;
        drop(over);
        if let Some(earlier) = earlier {
            let _ = earlier.await;
        }
        if broken.is_some() {
            return Ok(());
        }
        let ended = joined(tunnel.await);
        match scope.failures().take() {
            Some(error) => Err(SolveError::Session(error)),
            None => ended.map_err(SolveError::Session),
        }
    }

    /// Closes the session after its build, whose failure comes first.
    ///
    /// # Errors
    ///
    /// The build's, or [`SolveError::Session`].
    pub async fn end_with(
        self,
        result: Result<SolveResult, SolveError>,
    ) -> Result<SolveResult, SolveError> {
        let closed = self.close().await;
        let result = result?;
        closed.map(|()| result)
    }
}

/// Offers the directories of an earlier session, if the build takes long.
///
/// Without it the daemon, should it ask for them, would wait some seconds and then turn to the build's own
/// session.
async fn stand_in(client: Client, earlier: Session, over: CancellationToken) {
    tokio::select! {
        () = over.cancelled() => return,
        () = tokio::time::sleep(EARLIER_AFTER) => {}
    }
    // What fails in it is noted among the failures of the build's own session.
    let _ = tunnel::run(client, earlier, over).await;
}

fn joined(
    ended: Result<Result<(), SessionError>, tokio::task::JoinError>,
) -> Result<(), SessionError> {
    ended.unwrap_or_else(|error| Err(SessionError::Broken { problem: error.to_string() }))
}

/// The task that passes status messages on.
struct Forwarding {
    /// How many it has passed on.
    passed: Arc<AtomicU64>,
    task: AbortOnDropHandle<Result<(), tonic::Status>>,
}

impl Forwarding {
    /// Passes the daemon's status messages on until the build has ended.
    fn start(
        client: Client,
        solve_ref: String,
        events: mpsc::Sender<StatusEvent>,
        known: Known,
    ) -> Self {
        let passed = Arc::new(AtomicU64::new(0));
        let count = passed.clone();
        let task = tokio::spawn(async move {
            let request = control::StatusRequest { r#ref: solve_ref };
            let mut messages = client.control().status(request).await?.into_inner();
            while let Some(message) = messages.message().await? {
                for event in status::events(message) {
                    known.watch(&event);
                    // When nobody listens the stream is still read, so that it can end.
                    let _ = events.send(event).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        Self { passed, task: AbortOnDropHandle::new(task) }
    }

    /// Waits for the end of the stream, or for such a silence: the build has ended, and a stream that
    /// hangs must not take its result away.
    async fn join(mut self, silence: Duration) -> Result<(), tonic::Status> {
        let mut seen = None;
        loop {
            match tokio::time::timeout(silence, &mut self.task).await {
                Ok(Ok(ended)) => return ended,
                Ok(Err(error)) => return Err(tonic::Status::internal(error.to_string())),
                Err(_) => {
                    let now = Some(self.passed.load(Ordering::Relaxed));
                    if now == seen {
                        self.task.abort();
                        return Ok(());
                    }
                    seen = now;
                }
            }
        }
    }
}
