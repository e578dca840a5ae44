//! Graphviz.
use std::fmt::Write as _;

use super::Picture;
use crate::plan::llb::Definition;

/// Draws `definition` in Graphviz' language: inputs above what uses them.
#[must_use]
pub fn dot(definition: &Definition) -> String {
    let picture = Picture::of(definition);
    let mut out = String::from("digraph llb {\n  node [shape=box, fontname=\"monospace\"];\n");
    for (at, node) in picture.nodes.iter().enumerate() {
        let label = node.label.replace('\\', "\\\\").replace('"', "\\\"");
        let shape = match node.kind {
            "source" => "ellipse",
            "file" => "note",
            "merge" => "invtriangle",
            _ => "box",
        };
        let digest = &node.digest;
        let _ = writeln!(out, "  n{at} [label=\"{label}\", shape={shape}, tooltip=\"{digest}\"];");
    }
    for (from, to) in &picture.edges {
        let _ = writeln!(out, "  n{from} -> n{to};");
    }
    out.push_str("}\n");
    out
}
