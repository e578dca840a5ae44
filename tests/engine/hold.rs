//! Holds: builds that keep what another one has found.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use jiff::Timestamp;
use kitwright::engine::client::Client;
use kitwright::engine::gateway::{self, ClientResult};
use kitwright::engine::hold::{Hold, Subject, head};
use kitwright::engine::open_session::{Offer, OpenSession};
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::SolveRequest;
use kitwright::engine::status::StatusEvent;
use kitwright::oci::digest::Digest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lab::{Graph, busybox_root, client};

/// When the heads of graphs began.
type Began = BTreeMap<Digest, Timestamp>;

/// A build in a session that stays open.
struct Built {
    client: Client,
    session: OpenSession,
    graph: pb::Definition,
    root: tempfile::TempDir,
}

impl Built {
    /// What would do for a build of which nothing has been built.
    async fn nothing() -> Option<Self> {
        let (client, root) = (client().await?, busybox_root()?);
        let session = SessionBuilder::new().directory("context", root.path());
        let id = session.session_id().to_owned();
        let mut graph = Graph::default();
        let context = graph.source("local://context", &[("local.session", &id)]);
        let step = graph.run(&context, "echo held > /file", Vec::new());
        let graph = graph.finish(&step);
        let session = Offer::new(&mut request(), session).ok()?.open(&client, None);
        Some(Self { client, session, graph, root })
    }

    fn subject(&self) -> Subject {
        Subject {
            session: self.session.id().to_owned(),
            graphs: vec![self.graph.clone()],
            entitlements: Vec::new(),
        }
    }

    /// Builds the graph; `at_end` is called when its step is done, and the build still open.
    async fn build<T>(&mut self, at_end: impl AsyncFnOnce(&Client, Subject, Began) -> T) -> T {
        let (events, mut received) = mpsc::channel(1024);
        let cancel = CancellationToken::new();
        let step = head(&self.graph).unwrap();
        let (subject, graph, client) = (self.subject(), self.graph.clone(), self.client.clone());
        let mut got = None;
        let built = async |bridge: &gateway::Bridge| {
            let solved = bridge.solve(graph, &[], true).await?;
            let began = loop {
                match received.recv().await.expect("news of the step") {
                    StatusEvent::Vertex(vertex) if vertex.digest == step => {
                        let done = vertex.completed.and(vertex.started);
                        if let Some(began) = done {
                            break began;
                        }
                    }
                    _ => {}
                }
            };
            got = Some(at_end(&client, subject, BTreeMap::from([(step, began)])).await);
            Ok(ClientResult::files(solved))
        };
        let open = &mut self.session;
        let ended = gateway::build_in(open, &self.client, request(), events, &cancel, built).await;
        ended.unwrap();
        got.unwrap()
    }

    async fn end(self) {
        self.session.end_with(Ok(Default::default())).await.unwrap();
        drop(self.root);
    }
}

fn request() -> SolveRequest {
    SolveRequest::frontend("", BTreeMap::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_an_open_build_comes_in_time() {
    let Some(mut built) = Built::nothing().await else { return };
    let hold = built
        .build(async |client, subject, began| {
            let mut hold = Hold::begin(client.clone(), subject, began);
            assert!(hold.came_in_time().await);
            hold
        })
        .await;
    // The build is over; what is held of it another hold finds.
    built.build(async |_, _, began| assert_eq!(began.len(), 1)).await;
    drop(hold);
    built.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_a_build_that_has_ended_is_none() {
    let Some(mut built) = Built::nothing().await else { return };
    let began = built.build(async |_, _, began| began).await;
    let mut late = Hold::begin(built.client.clone(), built.subject(), began.clone());
    assert!(!late.came_in_time().await);
    drop(late);
    // Nor does another build on the same graph make it one.
    built
        .build(async |client, subject, now| {
            assert_ne!(now, began);
            let mut late = Hold::begin(client.clone(), subject.clone(), began.clone());
            assert!(!late.came_in_time().await);
            let mut hold = Hold::begin(client.clone(), subject, now);
            assert!(hold.came_in_time().await);
        })
        .await;
    built.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_the_daemon_refuses_is_none() {
    let Some(mut built) = Built::nothing().await else { return };
    built
        .build(async |client, subject, began| {
            let refused = |change: fn(&mut Subject)| {
                let mut subject = subject.clone();
                change(&mut subject);
                Hold::begin(client.clone(), subject, began.clone())
            };
            // As a build, and only for its graph.
            let rights = refused(|subject| subject.entitlements.push("no.such.right".into()));
            let graph = refused(|subject| subject.graphs[0].def.truncate(1));
            for mut hold in [rights, graph] {
                assert!(!hold.came_in_time().await);
            }
        })
        .await;
    built.end().await;
}
