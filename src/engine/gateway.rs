//! The client as a build's frontend: several graphs in one build, and questions to the engine.
//!
//! A build of one definition is one call. A result for several platforms, an image that the
//! engine resolves with its own mirrors and credentials, or a graph that one of its frontends
//! makes need the gateway: the build is opened without a graph, the client solves, asks and at
//! last returns a result through the [`Bridge`], and the exporters get that.
mod result;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use buildkit_rs_proto::google::rpc;
use buildkit_rs_proto::moby::buildkit::v1::frontend as wire;
use buildkit_rs_proto::pb;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use wire::llb_bridge_client::LlbBridgeClient;

use super::client::{Client, MESSAGE_LIMIT};
use super::connect::Channel;
use super::failure::{self, Known, SolveError};
use super::open_session::{Offer, OpenSession};
use super::session::SessionBuilder;
use super::solve::{CacheEntry, SolveRequest, SolveResult, SolveSource};
use super::status::StatusEvent;
use crate::fault::chain;

pub use result::{ClientResult, PlatformResult};

/// The metadata key that ties a call to its build.
const BUILD_KEY: &str = "buildkit-controlapi-buildid";

/// A build whose frontend is the client.
#[derive(Clone, Debug)]
pub struct Bridge {
    client: Client,
    calls: LlbBridgeClient<Channel>,
    build: MetadataValue<tonic::metadata::Ascii>,
}

/// A graph that the engine has taken; nothing of it runs before it is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct SolveRef {
    /// The engine's name for it; empty for an empty result.
    pub id: String,
    /// The graph, when a frontend made it.
    pub definition: Option<pb::Definition>,
}

/// What a frontend returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrontendResult {
    /// The only result, or one for each platform by its id.
    pub refs: BTreeMap<String, SolveRef>,
    /// Image configs, platforms and the answers to subrequests.
    pub metadata: BTreeMap<String, Bytes>,
}

/// An image as the engine resolves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The digest of its manifest or index.
    pub digest: String,
    /// Its config as JSON.
    pub config: Bytes,
}

/// Builds what `frontend` returns.
///
/// # Errors
///
/// That of `frontend`, or [`SolveError`] as [`solve`](super::solve::solve) gives it.
pub async fn build<F>(
    client: &Client,
    mut request: SolveRequest,
    session: SessionBuilder,
    events: mpsc::Sender<StatusEvent>,
    cancel: &CancellationToken,
    frontend: F,
) -> Result<SolveResult, SolveError>
where
    F: AsyncFnOnce(&Bridge) -> Result<ClientResult, SolveError>,
{
    let mut session = Offer::new(&mut request, session)?.open(client, None);
    let result = build_in(&mut session, client, request, events, cancel, frontend).await;
    session.end_with(result).await
}

/// The same in a session that is open.
///
/// # Errors
///
/// As [`build`] gives them.
pub async fn build_in<F>(
    session: &mut OpenSession,
    client: &Client,
    mut request: SolveRequest,
    events: mpsc::Sender<StatusEvent>,
    cancel: &CancellationToken,
    frontend: F,
) -> Result<SolveResult, SolveError>
where
    F: AsyncFnOnce(&Bridge) -> Result<ClientResult, SolveError>,
{
    request.source = SolveSource::Client;
    let bridge = Bridge::new(client, &request.solve_ref);
    let own = Mutex::new(None);
    let hurry = session.hurry();
    let result = session
        .run(request, events, cancel, async |wire| {
            let mut build = std::pin::pin!(client.solve(wire));
            let drive = async {
                match frontend(&bridge).await {
                    Ok(result) => bridge.finish(Ok(result)).await,
                    Err(error) => {
                        let told = chain(&error);
                        // Before the daemon knows: its echo of the error may be back at once.
                        *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        bridge.finish(Err(told)).await
                    }
                }
            };
            let mut drive = std::pin::pin!(drive);
            tokio::select! {
                reply = build.as_mut() => reply,
                returned = drive.as_mut() => match returned {
                    // The daemon's record of the build waits for what goes on for ever.
                    Ok(()) if hurry.load(Ordering::Relaxed) => {
                        Err(tonic::Status::cancelled("the build was given up"))
                    }
                    Ok(()) => build.await,
                    // Without the frontend's part the build cannot end.
                    Err(status) => Err(status),
                },
            }
        })
        .await;
    match own.into_inner().unwrap_or_else(PoisonError::into_inner) {
        // A session's failure comes before the question that could not be answered because of it.
        Some(error) if !matches!(result, Err(SolveError::Session(_) | SolveError::Cancelled)) => {
            Err(error)
        }
        _ => result,
    }
}

impl Bridge {
    pub(super) fn new(client: &Client, solve_ref: &str) -> Self {
        let calls = LlbBridgeClient::new(client.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        // References are letters and digits; another could not have started the build.
        let build = MetadataValue::try_from(solve_ref)
            .unwrap_or_else(|_| MetadataValue::from_static("invalid"));
        Self { client: client.clone(), calls, build }
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(BUILD_KEY, self.build.clone());
        request
    }

    fn failed(&self, status: tonic::Status) -> SolveError {
        failure::decode(&self.client, &Known::default(), status)
    }

    /// Hands a graph to the engine. With `evaluate` it runs now, else when a result needs it.
    ///
    /// # Errors
    ///
    /// [`SolveError`] when the graph is refused, or fails while it is evaluated.
    pub async fn solve(
        &self,
        definition: pb::Definition,
        cache_imports: &[CacheEntry],
        evaluate: bool,
    ) -> Result<SolveRef, SolveError> {
        let cache_imports = cache_imports.iter().map(|entry| wire::CacheOptionsEntry {
            r#type: entry.kind.clone(),
            attrs: entry.attributes.clone(),
        });
        let request = wire::SolveRequest {
            definition: Some(definition),
            cache_imports: cache_imports.collect(),
            allow_result_return: true,
            allow_result_array_ref: true,
            evaluate,
            ..Default::default()
        };
        let result = self.call(request).await?;
        let first = result.refs.into_values().next();
        Ok(first.unwrap_or(SolveRef { id: String::new(), definition: None }))
    }

    /// Lets a frontend of the engine make a graph, or answer a subrequest.
    ///
    /// # Errors
    ///
    /// [`SolveError`] when the frontend refuses its input.
    pub async fn frontend(
        &self,
        name: &str,
        options: BTreeMap<String, String>,
        inputs: BTreeMap<String, pb::Definition>,
    ) -> Result<FrontendResult, SolveError> {
        self.call(wire::SolveRequest {
            frontend: name.to_owned(),
            frontend_opt: options,
            frontend_inputs: inputs,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        })
        .await
    }

    async fn call(&self, request: wire::SolveRequest) -> Result<FrontendResult, SolveError> {
        let reply = self.calls.clone().solve(self.request(request)).await;
        let result = reply.map_err(|status| self.failed(status))?.into_inner().result;
        let wire::Result { metadata, result, .. } = result.unwrap_or_default();
        let solved = |solved: wire::Ref| SolveRef { id: solved.id, definition: solved.def };
        let named = |id| SolveRef { id, definition: None };
        let refs = match result {
            Some(wire::result::Result::Ref(one)) => [(String::new(), solved(one))].into(),
            Some(wire::result::Result::RefDeprecated(id)) => [(String::new(), named(id))].into(),
            Some(wire::result::Result::Refs(map)) => {
                map.refs.into_iter().map(|(platform, one)| (platform, solved(one))).collect()
            }
            Some(wire::result::Result::RefsDeprecated(map)) => {
                map.refs.into_iter().map(|(platform, id)| (platform, named(id))).collect()
            }
            None => BTreeMap::new(),
        };
        Ok(FrontendResult { refs, metadata })
    }

    /// Resolves an image with the engine's mirrors and, through the session, our credentials.
    ///
    /// `source` is the source op as it would stand in a graph: `docker-image://…`, or
    /// `oci-layout://…` with its attributes.
    ///
    /// # Errors
    ///
    /// [`SolveError`] when there is no such image, or no such platform of it.
    pub async fn resolve_image(
        &self,
        source: pb::SourceOp,
        platform: Option<pb::Platform>,
        resolve_mode: &str,
    ) -> Result<ResolvedImage, SolveError> {
        let name = source.identifier.split_once("://").map_or("", |(_, name)| name).to_owned();
        let request = wire::ResolveSourceMetaRequest {
            source: Some(source),
            platform,
            log_name: format!("[internal] load metadata for {name}"),
            resolve_mode: resolve_mode.to_owned(),
            image: Some(wire::ResolveSourceImageRequest::default()),
            ..Default::default()
        };
        let reply = self.calls.clone().resolve_source_meta(self.request(request)).await;
        let image = reply.map_err(|status| self.failed(status))?.into_inner().image;
        let image = image.unwrap_or_default();
        Ok(ResolvedImage { digest: image.digest, config: image.config })
    }

    /// Reads a small file of a result, running what it takes to make it.
    ///
    /// # Errors
    ///
    /// [`SolveError`] when the graph fails, or has no such file.
    pub async fn read_file(&self, solved: &SolveRef, path: &str) -> Result<Bytes, SolveError> {
        let request = wire::ReadFileRequest {
            r#ref: solved.id.clone(),
            file_path: path.to_owned(),
            ..Default::default()
        };
        let reply = self.calls.clone().read_file(self.request(request)).await;
        Ok(reply.map_err(|status| self.failed(status))?.into_inner().data)
    }

    /// Ends the frontend's part of the build.
    async fn finish(&self, result: Result<ClientResult, String>) -> Result<(), tonic::Status> {
        let request = match result {
            Ok(result) => {
                wire::ReturnRequest { result: Some(result.into_wire()), ..Default::default() }
            }
            Err(message) => {
                let code = tonic::Code::Unknown.into();
                let error = Some(rpc::Status { code, message, details: Vec::new() });
                wire::ReturnRequest { error, ..Default::default() }
            }
        };
        self.calls.clone().r#return(self.request(request)).await.map(drop)
    }
}
