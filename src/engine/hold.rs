//! Keeps what the daemon knows of a build's graph beyond the end of that build.
//!
//! The daemon forgets what it has found for a graph with the last build that has it. A build that follows
//! on the same graph looks for everything again: it reads the manifests of caches, syncs the
//! local files, and loads results to compare their contents. A hold is a build of its own that takes the
//! graph while the first one is still open, exports nothing, and ends when it is dropped. What follows
//! finds every result where it is.
//!
//! A hold that comes too late would be a build like any other. Whether it came in time the daemon tells:
//! vertices that the two builds share began at the same instant, and of others each begins after that.
use std::cmp::Ordering;
use std::collections::BTreeMap;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use buildkit_rs_proto::pb;
use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::client::Client;
use super::gateway::Bridge;
use super::solve::{SolveRequest, SolveSource, wire};
use super::status::{self, StatusEvent};
use crate::oci::digest::Digest;

/// What is held, and where.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The session of the build, which has to stay open: what is loaded from a cache is fetched through it.
    pub session: String,
    /// The graphs of the build.
    pub graphs: Vec<pb::Definition>,
    /// The build's rights.
    pub entitlements: Vec<String>,
}

/// A build that lasts until it is dropped.
#[derive(Debug)]
pub struct Hold {
    came: oneshot::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

/// The vertex that makes the result of a graph.
#[must_use]
pub fn head(graph: &pb::Definition) -> Option<Digest> {
    let op = pb::Op::decode(graph.def.last()?.clone()).ok()?;
    op.inputs.first()?.digest.parse().ok()
}

impl Hold {
    /// Begins to hold `subject`, whose heads began when `began` says in the build that is open.
    #[must_use]
    pub fn begin(client: Client, subject: Subject, began: BTreeMap<Digest, Timestamp>) -> Self {
        let (tell, came) = oneshot::channel();
        let task = tokio::spawn(hold(client, subject, began, tell));
        Self { came, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until the daemon has said whether the hold came in time.
    pub async fn came_in_time(&mut self) -> bool {
        (&mut self.came).await.unwrap_or(false)
    }
}

async fn hold(
    client: Client,
    subject: Subject,
    began: BTreeMap<Digest, Timestamp>,
    tell: oneshot::Sender<bool>,
) {
    let mut request = SolveRequest::new(SolveSource::Client);
    request.internal = true;
    request.entitlements = subject.entitlements;
    let solve_ref = request.solve_ref.clone();
    let bridge = Bridge::new(&client, &solve_ref);
    let lasting = client.solve(wire(request, &subject.session));
    let taking = async {
        let taken = async {
            for graph in subject.graphs {
                bridge.solve(graph, &[], true).await.map_err(drop)?;
            }
            Ok(())
        };
        let shared = async {
            let shared = shares(&client, solve_ref.clone(), began).await;
            shared.then_some(()).ok_or(())
        };
        // Of a graph that is refused nothing more is told.
        let _ = tell.send(tokio::try_join!(taken, shared).is_ok());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // It ends by itself when the daemon refuses it.
        _ = lasting => {}
        () = taking => {}
    }
}

/// Whether the vertices of `began` began at the same time in the build `solve_ref`; waits for news of
/// each.
///
/// One that has begun again is told of with all its beginnings, the first one first. So one that begins later
/// than it should without having begun then is another one.
async fn shares(
    client: &Client,
    solve_ref: String,
    mut began: BTreeMap<Digest, Timestamp>,
) -> bool {
    let request = control::StatusRequest { r#ref: solve_ref };
    let Ok(messages) = client.control().status(request).await else { return false };
    let mut messages = messages.into_inner();
    while !began.is_empty() {
        let Ok(Some(message)) = messages.message().await else { return false };
        for event in status::events(message) {
            let StatusEvent::Vertex(vertex) = event else { continue };
            let (Some(expected), Some(started)) = (began.get(&vertex.digest), vertex.started)
            else {
                continue;
            };
            match started.cmp(expected) {
                Ordering::Less => {}
                Ordering::Equal => drop(began.remove(&vertex.digest)),
                Ordering::Greater => return false,
            }
        }
    }
    true
}
