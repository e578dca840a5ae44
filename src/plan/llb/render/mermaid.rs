//! Mermaid, which GitHub draws in Markdown.
use std::fmt::Write as _;

use super::Picture;
use crate::plan::llb::Definition;

/// Draws `definition` in Mermaid's language: inputs above what uses them.
#[must_use]
pub fn mermaid(definition: &Definition) -> String {
    let picture = Picture::of(definition);
    let mut out = String::from("flowchart TD\n");
    for (at, node) in picture.nodes.iter().enumerate() {
        let label = escape(&node.label);
        let (open, close) = match node.kind {
            "source" => ("([", "])"),
            "file" => ("[/", "/]"),
            "merge" => ("{{", "}}"),
            _ => ("[", "]"),
        };
        let _ = writeln!(out, "  n{at}{open}\"{label}\"{close}");
    }
    for (from, to) in &picture.edges {
        let _ = writeln!(out, "  n{from} --> n{to}");
    }
    out
}

/// Writes characters that mean something inside a label as entities.
fn escape(label: &str) -> String {
    let mut text = String::with_capacity(label.len());
    for c in label.chars() {
        match c {
            '"' => text.push_str("#quot;"),
            '#' => text.push_str("#35;"),
            '<' => text.push_str("#lt;"),
            '>' => text.push_str("#gt;"),
            '`' => text.push_str("#96;"),
            '\\' => text.push_str("#92;"),
            other => text.push(other),
        }
    }
    text
}
