//! Builds that fail: whose fault, where, and what the error shows.
use buildkit_rs_proto::pb;
use kitwright::engine::failure::{OpKind, SolveError};
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::SolveRequest;
use kitwright::fault::{Classified as _, Fault};

use crate::lab::{Graph, build, busybox_root, client, logs};

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\nRUN echo this is why; \\\n    exit 7\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_step_has_its_lines_exit_code_and_output() {
    let Some(client) = client().await else { return };
    let Some(root) = busybox_root() else { return };
    let session = SessionBuilder::new().directory("context", root.path());
    let mut graph = Graph::default();
    let source = graph.source("local://context", &[("local.session", session.session_id())]);
    let step = graph.run(&source, "echo this is why; exit 7", Vec::new());
    graph.metadata(&step).description.insert("llb.customname".into(), "[2/2] RUN echo".into());
    let at = |line| Some(pb::Position { line, character: 0 });
    let location =
        pb::Location { source_index: 0, ranges: vec![pb::Range { start: at(3), end: at(4) }] };
    let locations = pb::Locations { locations: vec![location] };
    graph.definition().source = Some(pb::Source {
        locations: [(step.0.to_string(), locations)].into(),
        infos: vec![pb::SourceInfo {
            filename: "Dockerfile".into(),
            data: DOCKERFILE.into(),
            language: "Dockerfile".into(),
            ..Default::default()
        }],
    });
    let request = SolveRequest::definition(graph.finish(&step));
    let (result, events) = build(&client, request, session).await;
    let error = result.unwrap_err();
    assert_eq!(error.fault(), Fault::Build);
    assert!(logs(&events).contains("this is why"), "{events:?}");
    let SolveError::Step(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.vertex, Some(step.0));
    assert_eq!(failed.exit_code, Some(7));
    assert_eq!(failed.op, Some(OpKind::Exec));
    assert_eq!(failed.name.as_deref(), Some("[2/2] RUN echo"));
    assert_eq!(failed.sources.len(), 1);
    assert_eq!(failed.sources[0].lines, [(3, 4)]);
    assert_eq!(failed.sources[0].file.text, DOCKERFILE);
    let mut report = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none())
        .render_report(&mut report, failed.as_ref())
        .unwrap();
    assert!(report.contains("exit 7") && report.contains("Dockerfile"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_the_environments_fault() {
    let Some(client) = client().await else { return };
    let mut graph = Graph::default();
    let source = graph.source("docker-image://127.0.0.1:1/none:latest", &[]);
    let request = SolveRequest::definition(graph.finish(&source));
    let error = build(&client, request, SessionBuilder::new()).await.0.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment, "{error:?}");
    assert!(error.to_string().contains("docker-image://127.0.0.1:1/none:latest"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_context_lacks_is_the_inputs_fault() {
    let Some(client) = client().await else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY missing /\n").unwrap();
    let session = SessionBuilder::new()
        .directory("context", folder.path())
        .directory("dockerfile", folder.path());
    let request = SolveRequest::frontend("dockerfile.v0", Default::default());
    let error = build(&client, request, session).await.0.unwrap_err();
    assert_eq!(error.fault(), Fault::Usage, "{error:?}");
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontends_complaint_is_the_inputs_fault() {
    let Some(client) = client().await else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nRUNN true\n").unwrap();
    let session = SessionBuilder::new()
        .directory("context", folder.path())
        .directory("dockerfile", folder.path());
    let request = SolveRequest::frontend("dockerfile.v0", Default::default());
    let error = build(&client, request, session).await.0.unwrap_err();
    assert_eq!(error.fault(), Fault::Usage, "{error:?}");
    let SolveError::Input(input) = &error else { panic!("{error:?}") };
    assert_eq!(input.sources[0].lines, [(2, 2)]);
    assert!(error.to_string().contains("RUNN"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_nobody_offers_is_named() {
    let Some(client) = client().await else { return };
    let other = tempfile::tempdir().unwrap();
    let session = SessionBuilder::new().directory("other", other.path());
    let mut graph = Graph::default();
    let source = graph.source("local://context", &[("local.session", session.session_id())]);
    let request = SolveRequest::definition(graph.finish(&source));
    let error = build(&client, request, session).await.0.unwrap_err();
    assert_eq!(error.fault(), Fault::Usage);
    assert!(error.to_string().contains("`context`"), "{error}");
}
