//! The client as a frontend.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use kitwright::engine::client::Client;
use kitwright::engine::failure::SolveError;
use kitwright::engine::gateway::{self, Bridge, ClientResult, PlatformResult};
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::{ExportTarget, SolveRequest, SolveResult};
use kitwright::fault::{Classified as _, Fault};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lab::{Graph, client, export};
use crate::support::{base, http, registry};

async fn build(
    client: &Client,
    request: SolveRequest,
    session: SessionBuilder,
    frontend: impl AsyncFnOnce(&Bridge) -> Result<ClientResult, SolveError>,
) -> Result<SolveResult, SolveError> {
    let (events, mut received) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let drain = async { while received.recv().await.is_some() {} };
    tokio::join!(gateway::build(client, request, session, events, &cancel, frontend), drain).0
}

fn nothing() -> SolveRequest {
    SolveRequest::frontend("", BTreeMap::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_platforms_become_an_index() {
    let Some(client) = client().await else { return };
    let Some(registry) = registry::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let session = SessionBuilder::new().directory("context", folder.path());
    let id = session.session_id().to_owned();
    let mut request = nothing();
    let name = registry.reference("multi:latest");
    let attributes = [("name", name.as_str()), ("push", "true")];
    request.exports.push(export("image", &attributes, ExportTarget::Engine));
    let built = build(&client, request, session, async |bridge| {
        let mut parts = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let mut graph = Graph::default();
            let source = graph.source("local://context", &[("local.session", &id)]);
            let solved = bridge.solve(graph.finish(&source), &[], false).await?;
            let platform = pb::Platform {
                os: "linux".into(),
                architecture: architecture.into(),
                ..Default::default()
            };
            let config = serde_json::json!({
                "architecture": architecture, "os": "linux", "config": {},
                "rootfs": { "type": "layers", "diff_ids": [] },
            });
            let config = Bytes::from(config.to_string());
            parts.push(PlatformResult { platform, solved, config });
        }
        Ok(ClientResult::image(parts))
    });
    let digest = built.await.unwrap().image_digest().unwrap().to_owned();
    let accept = [("Accept", "application/vnd.oci.image.index.v1+json")];
    let answer: http::Response =
        registry.request("GET", &format!("/v2/multi/manifests/{digest}"), &accept, b"");
    let index: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let found: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platform"]["architecture"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, ["amd64", "arm64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_resolves_images_and_shows_its_frontends_graph() {
    let Some(client) = client().await else { return };
    let Some(registry) = registry::start() else { return };
    let Some(base) = base::busybox() else { return };
    let image = base.push(&registry, "busybox", "latest");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), format!("FROM {image}\nRUN true\n")).unwrap();
    let session = SessionBuilder::new()
        .directory("context", folder.path())
        .directory("dockerfile", folder.path());
    let mut seen = None;
    build(&client, nothing(), session, async |bridge| {
        let source =
            pb::SourceOp { identifier: format!("docker-image://{image}"), ..Default::default() };
        let resolved = bridge.resolve_image(source, None, "default").await?;
        let options = [("cmdline".to_owned(), "none".to_owned())].into();
        let made = bridge.frontend("dockerfile.v0", options, BTreeMap::new()).await?;
        seen = Some((resolved, made));
        Ok(ClientResult::default())
    })
    .await
    .unwrap();
    let (resolved, made) = seen.unwrap();
    assert_eq!(resolved.digest, base.digest);
    assert_eq!(resolved.config, base.config);
    let definition = made.refs[""].definition.as_ref().expect("the frontend's graph");
    // The base image, the step, and the result.
    assert_eq!(definition.def.len(), 3);
    assert!(made.metadata.contains_key("containerimage.config"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_fails_fails_the_build_with_its_own_error() {
    let Some(client) = client().await else { return };
    let session = SessionBuilder::new();
    let result = build(&client, nothing(), session, async |bridge| {
        let identifier = "docker-image://127.0.0.1:1/none:latest".to_owned();
        let source = pb::SourceOp { identifier, ..Default::default() };
        bridge.resolve_image(source, None, "default").await?;
        Ok(ClientResult::default())
    });
    let error = result.await.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment, "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
