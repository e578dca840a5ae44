//! Small graphs, and builds of them that collect their events.
use std::collections::BTreeMap;
use std::path::Path;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use kitwright::engine::address::Address;
use kitwright::engine::client::Client;
use kitwright::engine::connect::connect;
use kitwright::engine::failure::SolveError;
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::{Export, ExportTarget, SolveRequest, SolveResult, solve};
use kitwright::engine::status::StatusEvent;
use kitwright::oci::digest::Digest;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{engine, tool};

/// A connection to the shared engine; `None` skips the test.
pub(crate) async fn client() -> Option<Client> {
    let address: Address = engine::shared()?.address.parse().expect("an address");
    Some(connect(&address).await.expect("the engine listens"))
}

/// A graph under construction.
#[derive(Default)]
pub(crate) struct Graph {
    definition: pb::Definition,
}

/// A vertex of a [`Graph`].
#[derive(Clone, Debug)]
pub(crate) struct Vertex(pub(crate) Digest);

impl Graph {
    pub(crate) fn op(&mut self, op: pb::Op) -> Vertex {
        let bytes = op.encode_to_vec();
        let digest = Digest::of(&bytes);
        self.definition.def.push(Bytes::from(bytes));
        self.definition.metadata.insert(digest.to_string(), pb::OpMetadata::default());
        Vertex(digest)
    }

    pub(crate) fn source(&mut self, identifier: &str, attributes: &[(&str, &str)]) -> Vertex {
        let attrs = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let source = pb::SourceOp { identifier: identifier.to_owned(), attrs };
        self.op(pb::Op { op: Some(pb::op::Op::Source(source)), ..Default::default() })
    }

    /// A shell script over `root`, with more mounts.
    pub(crate) fn run(&mut self, root: &Vertex, script: &str, mounts: Vec<pb::Mount>) -> Vertex {
        let rootfs = pb::Mount { input: 0, dest: "/".to_owned(), output: 0, ..Default::default() };
        let exec = pb::ExecOp {
            meta: Some(pb::Meta {
                args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
                env: vec!["PATH=/bin".to_owned()],
                cwd: "/".to_owned(),
                ..Default::default()
            }),
            mounts: std::iter::once(rootfs).chain(mounts).collect(),
            ..Default::default()
        };
        let inputs = vec![pb::Input { digest: root.0.to_string(), index: 0 }];
        self.op(pb::Op { inputs, op: Some(pb::op::Op::Exec(exec)), ..Default::default() })
    }

    pub(crate) fn metadata(&mut self, vertex: &Vertex) -> &mut pb::OpMetadata {
        self.definition.metadata.get_mut(&vertex.0.to_string()).expect("a vertex of the graph")
    }

    pub(crate) fn definition(&mut self) -> &mut pb::Definition {
        &mut self.definition
    }

    /// Ends the graph with `result`.
    pub(crate) fn finish(mut self, result: &Vertex) -> pb::Definition {
        let inputs = vec![pb::Input { digest: result.0.to_string(), index: 0 }];
        self.op(pb::Op { inputs, ..Default::default() });
        self.definition
    }
}

/// A directory with busybox, its shell and a few applets, to run steps over.
pub(crate) fn busybox_root() -> Option<tempfile::TempDir> {
    let [busybox] = tool::need(["busybox"])?;
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("bin")).expect("a folder");
    std::fs::copy(busybox, root.path().join("bin/busybox")).expect("a copy");
    for applet in ["sh", "cat", "ls", "sleep", "echo", "stat", "env", "mkdir", "ln", "seq"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(applet))
            .expect("a link");
    }
    Some(root)
}

/// Builds, and returns the result with all events.
pub(crate) async fn build(
    client: &Client,
    request: SolveRequest,
    session: SessionBuilder,
) -> (Result<SolveResult, SolveError>, Vec<StatusEvent>) {
    let (events, mut received) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let collect = async {
        let mut all = Vec::new();
        while let Some(event) = received.recv().await {
            all.push(event);
        }
        all
    };
    tokio::join!(solve(client, request, session, events, &cancel), collect)
}

/// Everything that steps wrote.
pub(crate) fn logs(events: &[StatusEvent]) -> String {
    let mut text = Vec::new();
    for event in events {
        if let StatusEvent::Log(log) = event {
            text.extend_from_slice(&log.data);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) fn export(kind: &str, attributes: &[(&str, &str)], target: ExportTarget) -> Export {
    let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Export { kind: kind.to_owned(), attributes: attributes.collect::<BTreeMap<_, _>>(), target }
}

/// Sends `context` to the daemon and back into `into`.
pub(crate) async fn round_trip(
    client: &Client,
    context: &Path,
    attributes: &[(&str, &str)],
    into: &Path,
) -> Result<SolveResult, SolveError> {
    let mut graph = Graph::default();
    let session = SessionBuilder::new().directory("context", context);
    let id = session.session_id().to_owned();
    let mut all = vec![("local.session", id.as_str())];
    all.extend(attributes);
    let source = graph.source("local://context", &all);
    let mut request = SolveRequest::definition(graph.finish(&source));
    let target = ExportTarget::Directory { path: into.to_owned(), delete: false };
    request.exports.push(export("local", &[], target));
    build(client, request, session).await.0
}
