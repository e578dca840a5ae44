//! The graph of ops, before it has bytes.
//!
//! Ops are appended and refer to earlier ones by [`NodeId`]; the one exception is a local source,
//! whose paths are known only when all instructions have been compiled and which is therefore
//! reserved first and filled in last. Digests are computed by [`Graph::marshal`].
use buildkit_rs_proto::pb;

use super::env::EnvList;
use super::metadata::Metadata;
use super::source_map::Location;
use crate::oci::platform::Platform;

/// An op of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// One op with everything that belongs to its vertex.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// The platform it is for; only sources of images and commands have one.
    pub platform: Option<Platform>,
    /// What it says about itself.
    pub metadata: Metadata,
    /// The instructions it comes from.
    pub locations: Vec<Location>,
}

/// The kinds of ops.
#[derive(Debug, Clone, Default)]
pub enum Op {
    /// A local source that has been reserved and not yet described.
    #[default]
    Reserved,
    /// Files from elsewhere.
    Source(pb::SourceOp),
    /// A command.
    Exec {
        /// The command; the environment and the inputs of its mounts are filled in when marshalling.
        op: Box<pb::ExecOp>,
        /// Its environment.
        env: EnvList,
        /// What the first mounts of `op` hold, in their order; the others hold nothing.
        sources: Vec<Option<NodeId>>,
    },
    /// Changes to files.
    File {
        /// What is changed; `None` for an empty directory.
        base: Option<NodeId>,
        /// The changes, one after the other.
        actions: Vec<FileAction>,
    },
    /// Trees laid over each other.
    Merge(Vec<NodeId>),
}

/// One change of a file op.
#[derive(Debug, Clone)]
pub struct FileAction {
    /// Where a copy takes its files from; `None` for an empty directory and all other changes.
    pub source: Option<NodeId>,
    /// The change.
    pub action: pb::file_action::Action,
}

/// The position of a file op's base among its inputs, as owners by name refer to it.
#[must_use]
pub fn base_input(base: Option<NodeId>) -> i64 {
    if base.is_some() { 0 } else { -1 }
}

/// An append-only graph of ops.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `node`.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        id
    }

    /// Reserves a place for a source that is described later by [`Graph::fill`].
    pub fn reserve(&mut self) -> NodeId {
        self.add(Node::default())
    }

    /// Describes a source that was reserved.
    pub fn fill(&mut self, id: NodeId, node: Node) {
        self.nodes[id.index()] = node;
    }

    /// Lays `inputs` over each other; empty ones have no effect, and a single one is the result.
    pub fn merge(&mut self, inputs: &[Option<NodeId>], node: Node) -> Option<NodeId> {
        let inputs: Vec<NodeId> = inputs.iter().copied().flatten().collect();
        match inputs[..] {
            [] => None,
            [single] => Some(single),
            _ => Some(self.add(Node { op: Op::Merge(inputs), ..node })),
        }
    }

    /// The node `id`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }
}

impl NodeId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Op {
    /// The inputs in the order in which a definition lists them, each once.
    ///
    /// A file op names its base and then the sources of its changes from the last to the first.
    pub(super) fn inputs(&self) -> Vec<NodeId> {
        let mut inputs = Vec::new();
        let mut add = |id: &NodeId| {
            if !inputs.contains(id) {
                inputs.push(*id);
            }
        };
        match self {
            Self::Reserved | Self::Source(_) => {}
            Self::Exec { sources, .. } => sources.iter().flatten().for_each(add),
            Self::File { base, actions } => {
                base.iter().for_each(&mut add);
                actions.iter().rev().filter_map(|action| action.source.as_ref()).for_each(add);
            }
            Self::Merge(sources) => sources.iter().for_each(add),
        }
        inputs
    }
}
