//! Solves what kitwright has compiled itself: one definition in one call, several through the gateway.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::graphs::Graphs;
use super::guard::Guard;
use super::mounts::Filling;
use super::staging::Staging;
use crate::engine::client::Client;
use crate::engine::failure::SolveError;
use crate::engine::gateway::{self, Bridge, ClientResult, PlatformResult, SolveRef};
use crate::engine::open_session::OpenSession;
use crate::engine::solve::{CacheEntry, Export, SolveRequest, SolveResult};
use crate::engine::status::StatusEvent;
use crate::plan::dockerfile::Compiled;

/// The exporter attribute in which a solve without frontend carries the image's config.
const IMAGE_CONFIG: &str = "containerimage.config";
/// The same for the config of the image it is based on, whose layers keep their times.
const BASE_CONFIG: &str = "containerimage.base.config";
/// The exporter attribute for the time of everything in the image.
const EPOCH: &str = "source-date-epoch";

/// Whether the result is more than one file system, or none, which one call cannot say.
pub(super) fn needs_gateway(compiled: &Compiled) -> bool {
    compiled.multi_platform
        || compiled.platforms.len() != 1
        || compiled.platforms[0].definition.is_empty()
}

/// The request for one graph in its wire form, or for what the gateway makes; `attestations` are frontend options.
pub(super) fn request(definition: Bytes, attestations: &BTreeMap<String, String>) -> SolveRequest {
    let mut request = SolveRequest::marshalled(definition);
    request.frontend_options.clone_from(attestations);
    request
}

/// Tells the exporters what the frontend would have told them.
pub(super) fn describe(compiled: &Compiled, exports: &mut [Export]) {
    let Some(platform) = compiled.platforms.first() else { return };
    for export in exports {
        if let Some(epoch) = platform.epoch {
            export.attributes.entry(EPOCH.into()).or_insert_with(|| epoch.to_string());
        }
        if !needs_gateway(compiled) {
            let config = String::from_utf8_lossy(&platform.config_json()).into_owned();
            export.attributes.insert(IMAGE_CONFIG.into(), config);
            if let Some(base) = &platform.base_config {
                let base = String::from_utf8_lossy(&base.to_json()).into_owned();
                export.attributes.insert(BASE_CONFIG.into(), base);
            }
        }
    }
}

/// Builds all platforms in one build and returns them as one result, beginning with what does not
/// wait for `filling`; `guard` lets it go.
pub(super) async fn build(
    session: &mut OpenSession,
    client: &Client,
    request: SolveRequest,
    events: mpsc::Sender<StatusEvent>,
    cancel: &CancellationToken,
    compiled: &Compiled,
    (graphs, staging, filling, guard): (&Graphs, &Staging, Option<&Filling>, &Guard),
) -> Result<SolveResult, SolveError> {
    let mut early = Vec::new();
    gateway::build_in(session, client, request, events, cancel, async |bridge| {
        guard.wait(bridge).await?;
        let prepared = staging.prepare(bridge, compiled, graphs).await?;
        if let Some(filling) = filling {
            early = filling.meanwhile(bridge, compiled, staging, graphs).await;
        }
        if let ([only], false) = (&compiled.platforms[..], needs_gateway(compiled)) {
            // The exporters know the config already: nothing else tells this from a single call.
            let solved =
                bridge.solve(graphs.of(only.definition.to_pb()), &staging.last(0), false).await?;
            return Ok(ClientResult::files(solved));
        }
        let mut platforms = Vec::new();
        for (at, platform) in compiled.platforms.iter().enumerate() {
            let solved = if platform.definition.is_empty() {
                SolveRef { id: String::new(), definition: None }
            } else {
                bridge
                    .solve(graphs.of(platform.definition.to_pb()), &staging.last(at), false)
                    .await?
            };
            platforms.push(PlatformResult {
                platform: pb::Platform::from(&platform.platform),
                solved,
                config: platform.config_json().into(),
            });
        }
        let mut result = ClientResult::image(platforms);
        for platform in &compiled.platforms {
            if let Some(base) = &platform.base_config {
                let key = match compiled.platforms.len() {
                    1 => BASE_CONFIG.to_owned(),
                    _ => format!("{BASE_CONFIG}/{}", platform.platform),
                };
                result = result.with_metadata(key, base.to_json());
            }
        }
        // The engine remembers what was prepared for as long as the build lasts.
        drop(prepared);
        Ok(result)
    })
    .await
}

/// Solves parts of a graph as one result, so that a cache export takes them all.
pub(super) async fn parts(
    bridge: &Bridge,
    parts: Vec<pb::Definition>,
    imports: &[CacheEntry],
) -> Result<ClientResult, SolveError> {
    let mut solved = Vec::with_capacity(parts.len());
    for part in parts {
        solved.push(bridge.solve(part, imports, false).await?);
    }
    Ok(ClientResult::parts(solved))
}
