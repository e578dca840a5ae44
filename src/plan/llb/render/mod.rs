//! Definitions for people and programs: JSON, Graphviz, Mermaid and SVG.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;

use super::definition::Definition;

mod dot;
mod json;
mod mermaid;
mod op_json;
mod svg;

pub use dot::dot;
pub use json::definition_json;
pub use mermaid::mermaid;
pub use op_json::op_json;
pub use svg::svg;

/// The longest label; what is longer is cut.
const LABEL_MAX: usize = 72;

/// The shape of a definition, as all pictures of it need it.
struct Picture {
    nodes: Vec<PictureNode>,
    /// From an input to what uses it, by position among the nodes.
    edges: Vec<(usize, usize)>,
}

struct PictureNode {
    label: String,
    kind: &'static str,
    digest: String,
}

impl Picture {
    /// The vertices of `definition` without the last, which only refers to the result.
    fn of(definition: &Definition) -> Self {
        let mut picture = Self { nodes: Vec::new(), edges: Vec::new() };
        let mut positions: BTreeMap<String, usize> = BTreeMap::new();
        let count = definition.vertices.len().saturating_sub(1);
        for (at, vertex) in definition.vertices[..count].iter().enumerate() {
            let op = vertex.op();
            let name = vertex.metadata.custom_name().map_or_else(|| summary(&op), str::to_owned);
            let digest = vertex.digest.to_string();
            for input in &op.inputs {
                if let Some(from) = positions.get(&input.digest) {
                    picture.edges.push((*from, at));
                }
            }
            positions.insert(digest.clone(), at);
            let node = PictureNode { label: cut(&name), kind: kind(&op), digest };
            picture.nodes.push(node);
        }
        picture
    }
}

/// The kind of an op in one word.
pub(super) fn kind(op: &pb::Op) -> &'static str {
    match &op.op {
        Some(pb::op::Op::Exec(_)) => "exec",
        Some(pb::op::Op::Source(_)) => "source",
        Some(pb::op::Op::File(_)) => "file",
        Some(pb::op::Op::Merge(_)) => "merge",
        Some(pb::op::Op::Diff(_)) => "diff",
        Some(pb::op::Op::Build(_)) => "build",
        Some(pb::op::Op::Passthrough(_)) => "passthrough",
        None => "terminal",
    }
}

/// What an op without a name does.
fn summary(op: &pb::Op) -> String {
    match &op.op {
        Some(pb::op::Op::Source(source)) => source.identifier.clone(),
        Some(pb::op::Op::Exec(exec)) => {
            exec.meta.as_ref().map(|meta| meta.args.join(" ")).unwrap_or_default()
        }
        _ => kind(op).to_owned(),
    }
}

/// The first line of `text`, at most as long as a label.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LABEL_MAX {
        return line.to_owned();
    }
    line.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
