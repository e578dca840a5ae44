//! A definition as JSON: its ops in order, each with what it says of itself.
use serde_json::{Map, Value, json};

use super::{kind, op_json};
use crate::plan::llb::{Definition, Vertex};

/// The JSON form of `definition`.
#[must_use]
pub fn definition_json(definition: &Definition) -> Value {
    let head = definition.head().map(|digest| digest.to_string());
    let vertices: Vec<Value> = definition.vertices.iter().map(vertex_json).collect();
    json!({ "head": head, "vertices": vertices })
}

fn vertex_json(vertex: &Vertex) -> Value {
    let op = vertex.op();
    let mut value = json!({
        "digest": vertex.digest.to_string(),
        "kind": kind(&op),
        "op": op_json(&op),
    });
    let metadata = metadata_json(vertex);
    if !metadata.is_empty() {
        value["metadata"] = Value::Object(metadata);
    }
    let lines: Vec<Value> = vertex
        .locations
        .iter()
        .flatten()
        .map(|range| json!({ "start": range.start.line, "end": range.end.line }))
        .collect();
    if !lines.is_empty() {
        value["lines"] = Value::Array(lines);
    }
    value
}

fn metadata_json(vertex: &Vertex) -> Map<String, Value> {
    let metadata = &vertex.metadata;
    let mut value = Map::new();
    if metadata.ignore_cache {
        value.insert("ignoreCache".to_owned(), json!(true));
    }
    if !metadata.description.is_empty() {
        value.insert("description".to_owned(), json!(metadata.description));
    }
    if let Some(group) = &metadata.progress_group {
        let group = json!({ "id": group.id, "name": group.name, "weak": group.weak });
        value.insert("progressGroup".to_owned(), group);
    }
    if !metadata.caps.is_empty() {
        value.insert("caps".to_owned(), json!(metadata.caps));
    }
    value
}
