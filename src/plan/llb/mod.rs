//! LLB: ops, an append-only graph of them, and its marshalled definition.
//!
//! [`Graph`] holds ops as BuildKit's protocol has them and the edges between them; [`State`] is what
//! an instruction sees of one place in the graph: the file system so far, and the environment, user,
//! directory and platform that the next command gets. [`Graph::marshal`] turns the part of the graph
//! that a result needs into a [`Definition`]: bytes, digests, metadata and source locations.
//!
//! The bytes are those of BuildKit's own client: a digest computed here is the digest that the
//! engine reports in its progress stream and looks source locations up by.

pub mod caps;
pub mod compare;
mod definition;
mod env;
mod few;
mod graph;
pub mod metadata;
pub mod render;
pub mod session;
pub mod source;
mod source_map;
mod state;
pub mod wire;

pub use definition::{Definition, Vertex, inputs};
pub use env::EnvList;
pub use few::{FewMap, FewSet};
pub use graph::{FileAction, Graph, Node, NodeId, Op, base_input};
pub use metadata::{Metadata, ProgressGroup};
pub use source_map::{Location, Position, Range, SourceFile};
pub use state::State;
