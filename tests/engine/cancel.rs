//! Builds that are stopped, and daemons that go away.
use std::time::Duration;

use kitwright::engine::address::Address;
use kitwright::engine::connect::connect;
use kitwright::engine::failure::SolveError;
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::{SolveRequest, solve};
use kitwright::engine::status::StatusEvent;
use kitwright::fault::{Classified as _, Fault};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lab::{Graph, busybox_root};
use crate::support::engine;

/// A build that says `ready` and then sleeps.
fn sleeping(root: &std::path::Path) -> (SolveRequest, SessionBuilder) {
    let session = SessionBuilder::new().directory("context", root);
    let mut graph = Graph::default();
    let source = graph.source("local://context", &[("local.session", session.session_id())]);
    let step = graph.run(&source, "echo ready; sleep 600", Vec::new());
    (SolveRequest::definition(graph.finish(&step)), session)
}

async fn says_ready(events: &mut mpsc::Receiver<StatusEvent>) {
    while let Some(event) = events.recv().await {
        if matches!(event, StatusEvent::Log(log) if log.data.starts_with(b"ready")) {
            return;
        }
    }
    panic!("the step never ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_stops_on_the_daemon() {
    let Some(own) = engine::start(engine::Options::default()) else { return };
    let Some(root) = busybox_root() else { return };
    let client = connect(&own.address.parse::<Address>().unwrap()).await.unwrap();
    let (request, session) = sleeping(root.path());
    let (events, mut received) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let drain = async {
        says_ready(&mut received).await;
        assert_eq!(client.builds(true).await.unwrap().len(), 1, "it runs");
        cancel.cancel();
        while received.recv().await.is_some() {}
    };
    let (result, ()) = tokio::join!(solve(&client, request, session, events, &cancel), drain);
    let error = result.unwrap_err();
    assert!(matches!(error, SolveError::Cancelled), "{error:?}");
    assert_eq!(error.fault(), Fault::Interrupted);
    let none_runs = async { while !client.builds(true).await.unwrap().is_empty() {} };
    tokio::time::timeout(Duration::from_secs(30), none_runs).await.expect("nothing runs any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_is_named() {
    let Some(own) = engine::start(engine::Options::default()) else { return };
    let Some(root) = busybox_root() else { return };
    let address: Address = own.address.parse().unwrap();
    let client = connect(&address).await.unwrap();
    let (request, session) = sleeping(root.path());
    let (events, mut received) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let kill = async {
        says_ready(&mut received).await;
        let pid = i32::try_from(own.pid()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        while received.recv().await.is_some() {}
    };
    let (result, ()) = tokio::join!(solve(&client, request, session, events, &cancel), kill);
    let error = result.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment, "{error:?}");
    assert!(matches!(error, SolveError::Lost { .. }), "{error:?}");
    assert!(error.to_string().contains(&own.address), "{error}");
}
