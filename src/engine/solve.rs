//! One build: the solve call with its status stream and its session, and their common end.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use buildkit_rs_proto::pb;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::client::Client;
use super::failure::{self, Known, SolveError};
use super::identity;
use super::session::{Failures, SessionBuilder, SessionError, tunnel};
use super::status::{self, StatusEvent};
use super::targets::{self, Targets};
use crate::oci::manifest::Descriptor;

/// How long the status stream may stay silent once the build has ended.
const STATUS_SILENCE: Duration = Duration::from_secs(5);

/// What to build and where its result goes.
#[derive(Debug)]
pub struct SolveRequest {
    /// The build's name on the daemon; random by default.
    pub solve_ref: String,
    /// What makes the graph.
    pub source: SolveSource,
    /// Options for the frontend. A definition takes some too, such as `attest:provenance`.
    pub frontend_options: BTreeMap<String, String>,
    /// Where the result goes, in order.
    pub exports: Vec<Export>,
    /// Where cached results may come from, in order.
    pub cache_imports: Vec<CacheEntry>,
    /// Where results are cached.
    pub cache_exports: Vec<CacheEntry>,
    /// Rights that steps may use, such as `network.host`.
    pub entitlements: Vec<String>,
    /// Keeps the build out of the daemon's history.
    pub internal: bool,
}

/// What makes the graph of a build.
#[derive(Debug)]
pub enum SolveSource {
    /// A finished graph.
    Definition(Box<pb::Definition>),
    /// A frontend that the daemon runs, such as `dockerfile.v0` or `gateway.v0`.
    Frontend {
        /// The frontend.
        name: String,
        /// Graphs that are handed to it by name.
        inputs: BTreeMap<String, pb::Definition>,
    },
    /// Nothing: the client itself acts as the frontend, see [`super::gateway`].
    Client,
}

impl SolveRequest {
    /// A build of a finished graph that exports nothing.
    ///
    /// Vertices without locations leave the source map: such an entry would travel without its
    /// value, and the daemon (0.32.2) dies of a nil pointer when that vertex fails.
    #[must_use]
    pub fn definition(mut definition: pb::Definition) -> Self {
        if let Some(source) = &mut definition.source {
            source.locations.retain(|_, found| !found.locations.is_empty());
        }
        Self::new(SolveSource::Definition(Box::new(definition)))
    }

    /// A build that a frontend of the daemon defines.
    #[must_use]
    pub fn frontend(name: impl Into<String>, options: BTreeMap<String, String>) -> Self {
        let source = SolveSource::Frontend { name: name.into(), inputs: BTreeMap::new() };
        Self { frontend_options: options, ..Self::new(source) }
    }

    pub(crate) fn new(source: SolveSource) -> Self {
        Self {
            solve_ref: identity::random(),
            source,
            frontend_options: BTreeMap::new(),
            exports: Vec::new(),
            cache_imports: Vec::new(),
            cache_exports: Vec::new(),
            entitlements: Vec::new(),
            internal: false,
        }
    }
}

/// A cache that is read or written, as `--cache-from` and `--cache-to` say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its type, such as `registry`, `local`, `gha`.
    pub kind: String,
    /// Its attributes, such as `ref` and `mode`.
    pub attributes: BTreeMap<String, String>,
}

/// A result of the build.
#[derive(Debug)]
pub struct Export {
    /// The exporter, such as `image`, `oci`, `docker`, `tar`, `local`.
    pub kind: String,
    /// Its attributes, such as `name` and `push`.
    pub attributes: BTreeMap<String, String>,
    /// Where the client puts what the exporter sends.
    pub target: ExportTarget,
}

/// Where the client puts what an exporter sends.
pub enum ExportTarget {
    /// Nowhere: the daemon keeps or pushes the result itself.
    Engine,
    /// A file that appears under its name when it is complete.
    File(PathBuf),
    /// A stream, such as stdout or the stdin of `docker load`.
    Stream(Box<dyn tokio::io::AsyncWrite + Send + Unpin>),
    /// A directory that receives the result's file tree.
    Directory {
        /// The directory; made if missing.
        path: PathBuf,
        /// Removes what the result does not have.
        delete: bool,
    },
    /// An OCI layout that receives the image's blobs and its entry in `index.json`.
    Layout(PathBuf),
    /// An OCI layout that receives the image's blobs; the caller enters it into the index, from
    /// [`SolveResult::image_descriptor`].
    Blobs(PathBuf),
}

impl std::fmt::Debug for ExportTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine => f.write_str("Engine"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Directory { path, delete } => {
                f.debug_struct("Directory").field("path", path).field("delete", delete).finish()
            }
            Self::Layout(path) => f.debug_tuple("Layout").field(path).finish(),
            Self::Blobs(path) => f.debug_tuple("Blobs").field(path).finish(),
        }
    }
}

/// What the daemon says of a finished build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolveResult {
    /// The exporters' answers, such as `containerimage.digest`.
    pub exporter_response: BTreeMap<String, String>,
}

impl SolveResult {
    /// The digest of the exported image's manifest or index.
    #[must_use]
    pub fn image_digest(&self) -> Option<&str> {
        self.exporter_response.get("containerimage.digest").map(String::as_str)
    }

    /// The descriptor of the exported image's manifest or index.
    #[must_use]
    pub fn image_descriptor(&self) -> Option<Descriptor> {
        let image = targets::image(&self.exporter_response)?;
        serde_json::from_value(image.into()).ok()
    }

    /// The names that the image was exported under.
    pub fn image_names(&self) -> impl Iterator<Item = &str> {
        self.exporter_response.get("image.name").into_iter().flat_map(|names| names.split(','))
    }
}

/// Builds `request` and returns when the daemon and the session's services have ended.
///
/// Status events are sent as they arrive; a slow receiver holds the daemon's stream back rather
/// than filling memory, and a dropped one is no error. When `cancel` fires, the daemon is told to
/// stop and the events of its stopping are still delivered.
///
/// # Errors
///
/// [`SolveError`]; a failure of the client's own services comes before what the daemon makes of
/// it.
pub async fn solve(
    client: &Client,
    request: SolveRequest,
    session: SessionBuilder,
    events: mpsc::Sender<StatusEvent>,
    cancel: &CancellationToken,
) -> Result<SolveResult, SolveError> {
    let running = Running::start(client, request, session, events)?;
    let call = client.clone();
    running.finish(cancel, async move |wire| call.control().solve(wire).await).await
}

/// A build whose session and status stream run.
pub(crate) struct Running {
    client: Client,
    wire: control::SolveRequest,
    targets: Targets,
    known: Known,
    failures: Failures,
    /// Ends the session, also when the build is given up on.
    over: DropGuard,
    tunnel: JoinHandle<Result<(), SessionError>>,
    status: Forwarding,
}

impl Running {
    /// Opens the session and the status stream; neither is waited for.
    pub(crate) fn start(
        client: &Client,
        mut request: SolveRequest,
        session: SessionBuilder,
        events: mpsc::Sender<StatusEvent>,
    ) -> Result<Self, SolveError> {
        let (session, targets) =
            Targets::offer(&mut request, session).map_err(SolveError::Session)?;
        let session = session.build();
        let failures = session.scope.failures().clone();
        let wire = wire(request, &session.id);
        let over = CancellationToken::new();
        let tunnel = tokio::spawn(tunnel::run(client.clone(), session, over.clone()));
        let known = Known::new(wire.definition.as_ref());
        let status = Forwarding::start(client.clone(), wire.r#ref.clone(), events, known.clone());
        let over = over.drop_guard();
        Ok(Self { client: client.clone(), wire, targets, known, failures, over, tunnel, status })
    }

    /// Makes the call that ends with the build, and brings everything else to its end after it.
    pub(crate) async fn finish<F>(
        self,
        cancel: &CancellationToken,
        call: F,
    ) -> Result<SolveResult, SolveError>
    where
        F: AsyncFnOnce(
            control::SolveRequest,
        ) -> Result<tonic::Response<control::SolveResponse>, tonic::Status>,
    {
        let Self { client, wire, targets, known, failures, over, mut tunnel, status } = self;
        let mut broken = None;
        let reply = {
            let mut reply = std::pin::pin!(call(wire));
            tokio::select! {
                reply = reply.as_mut() => Some(reply),
                ended = &mut tunnel => {
                    broken = Some(joined(ended));
                    // The daemon mostly fails the build itself, and says more about why.
                    tokio::time::timeout(STATUS_SILENCE, reply).await.ok()
                }
                // Dropping the call is what tells the daemon to stop.
                () = cancel.cancelled() => None,
            }
        };
        drop(over);
        let session = match broken {
            Some(ended) => ended,
            None => joined(tunnel.await),
        };
        let streamed = status.join().await;
        if let Some(error) = failures.take() {
            return Err(SolveError::Session(error));
        }
        if cancel.is_cancelled() {
            return Err(SolveError::Cancelled);
        }
        let lost = |status| failure::decode(&client, &known, status);
        match reply {
            Some(Ok(reply)) => {
                session.map_err(SolveError::Session)?;
                streamed.map_err(lost)?;
                let exporter_response = reply.into_inner().exporter_response;
                targets.record(&exporter_response).map_err(SolveError::Session)?;
                Ok(SolveResult { exporter_response })
            }
            Some(Err(status)) => Err(lost(status)),
            None => {
                session.map_err(SolveError::Session)?;
                Err(SolveError::Cancelled)
            }
        }
    }
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

    /// Waits for the end of the stream, or for its silence: the build has ended, and a stream that
    /// hangs must not take its result away.
    async fn join(mut self) -> Result<(), tonic::Status> {
        let mut seen = None;
        loop {
            match tokio::time::timeout(STATUS_SILENCE, &mut self.task).await {
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

fn wire(request: SolveRequest, session: &str) -> control::SolveRequest {
    let SolveRequest { solve_ref, source, mut frontend_options, exports, .. } = request;
    let imports: Vec<_> = request.cache_imports.into_iter().map(cache_entry).collect();
    let (definition, frontend, frontend_inputs) = match source {
        SolveSource::Definition(definition) => (Some(*definition), String::new(), BTreeMap::new()),
        SolveSource::Frontend { name, inputs } => (None, name, inputs),
        SolveSource::Client => (None, String::new(), BTreeMap::new()),
    };
    if definition.is_none() && !imports.is_empty() {
        // A frontend passes imports on with each of its solves, so it has to know them.
        frontend_options.insert("cache-imports".to_owned(), imports_json(&imports));
    }
    let exporters: Vec<_> = exports
        .into_iter()
        .map(|export| control::Exporter { r#type: export.kind, attrs: export.attributes })
        .collect();
    let first = exporters.first().cloned().unwrap_or_default();
    control::SolveRequest {
        r#ref: solve_ref,
        definition,
        // Daemons before 0.13 know one exporter only.
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        session: session.to_owned(),
        frontend,
        frontend_attrs: frontend_options,
        frontend_inputs,
        cache: Some(control::CacheOptions {
            exports: request.cache_exports.into_iter().map(cache_entry).collect(),
            imports,
            ..Default::default()
        }),
        entitlements: request.entitlements,
        internal: request.internal,
        ..Default::default()
    }
}

fn cache_entry(entry: CacheEntry) -> control::CacheOptionsEntry {
    control::CacheOptionsEntry { r#type: entry.kind, attrs: entry.attributes }
}

fn imports_json(imports: &[control::CacheOptionsEntry]) -> String {
    let entries: Vec<_> = imports
        .iter()
        .map(|entry| serde_json::json!({ "Type": entry.r#type, "Attrs": entry.attrs }))
        .collect();
    serde_json::Value::from(entries).to_string()
}
