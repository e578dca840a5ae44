//! What an instruction sees of one place in the graph.
use std::sync::Arc;

use buildkit_rs_proto::pb;

use super::env::EnvList;
use super::graph::NodeId;
use crate::oci::platform::Platform;

/// A file system and what a command that runs in it gets; cheap to copy.
#[derive(Debug, Clone)]
pub struct State {
    /// The file system; `None` for an empty one.
    pub node: Option<NodeId>,
    /// Environment.
    pub env: EnvList,
    /// Working directory; never empty.
    pub dir: Arc<str>,
    /// User; empty for the image's own.
    pub user: Arc<str>,
    /// Host name; empty for the engine's choice.
    pub hostname: Arc<str>,
    /// Platform in canonical spelling; `None` for that of the build.
    pub platform: Option<Platform>,
    /// Network mode.
    pub network: pb::NetMode,
}

impl State {
    /// The state of an empty file system.
    #[must_use]
    pub fn scratch() -> Self {
        Self {
            node: None,
            env: EnvList::default(),
            dir: "/".into(),
            user: "".into(),
            hostname: "".into(),
            platform: None,
            network: pb::NetMode::Unset,
        }
    }

    /// The state of a source, which has its platform if it has any.
    #[must_use]
    pub fn source(node: NodeId, platform: Option<&Platform>) -> Self {
        Self { node: Some(node), platform: platform.map(Platform::normalize), ..Self::scratch() }
    }
}
