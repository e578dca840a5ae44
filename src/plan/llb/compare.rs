//! Two definitions held against each other: the first difference, named field by field.
use std::fmt;

use buildkit_rs_proto::pb;
use prost::Message as _;
use serde_json::Value;

use super::definition::Definition;
use super::render::{kind, op_json};
use crate::oci::digest::Digest;

/// Where two definitions part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Position of the vertex, counted from 0; `None` when it is about the whole.
    pub vertex: Option<usize>,
    /// The name of the vertex.
    pub name: String,
    /// The field, such as `exec.meta.env[2]`.
    pub field: String,
    /// What this side has.
    pub ours: String,
    /// What the other side has.
    pub theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vertex) = self.vertex {
            write!(f, "vertex {vertex} `{}`, ", self.name)?;
        }
        write!(f, "{}: kitwright has {}, the engine {}", self.field, self.ours, self.theirs)
    }
}

/// The first difference between `ours` and `theirs`: in ops, then in what they say of themselves.
///
/// Ids of progress groups do not count: they are random in BuildKit.
#[must_use]
pub fn first_difference(ours: &Definition, theirs: &pb::Definition) -> Option<Difference> {
    for (at, (vertex, bytes)) in ours.vertices.iter().zip(&theirs.def).enumerate() {
        let name = vertex.metadata.custom_name().unwrap_or_default();
        let place = |found: (String, String, String)| Difference {
            vertex: Some(at),
            name: name.to_owned(),
            field: found.0,
            ours: found.1,
            theirs: found.2,
        };
        if vertex.bytes != *bytes {
            let other = pb::Op::decode(bytes.clone()).unwrap_or_default();
            let found = first_field("", &op_json(&vertex.op()), &op_json(&other));
            let encoding = || {
                (kind(&other).to_owned(), vertex.digest.to_string(), Digest::of(bytes).to_string())
            };
            return Some(place(found.unwrap_or_else(encoding)));
        }
        let theirs = theirs.metadata.get(&vertex.digest.to_string()).cloned().unwrap_or_default();
        let found = first_field("", &metadata(&vertex.metadata.to_pb()), &metadata(&theirs));
        if let Some(found) = found {
            return Some(place(found));
        }
    }
    let (count, other) = (ours.vertices.len(), theirs.def.len());
    (count != other).then(|| Difference {
        vertex: None,
        name: String::new(),
        field: "number of vertices".to_owned(),
        ours: count.to_string(),
        theirs: other.to_string(),
    })
}

/// The first field in which two JSON values differ, with both values.
#[must_use]
pub fn first_field(path: &str, ours: &Value, theirs: &Value) -> Option<(String, String, String)> {
    const NOTHING: Value = Value::Null;
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            keys.map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let side = |map: &'_ serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(NOTHING)
                };
                first_field(&path, &side(left), &side(right))
            })
            .find_map(|found| found)
        }
        (Value::Array(left), Value::Array(right)) => {
            (0..left.len().max(right.len())).find_map(|at| {
                let side = |list: &[Value]| list.get(at).cloned().unwrap_or(NOTHING);
                first_field(&format!("{path}[{at}]"), &side(left), &side(right))
            })
        }
        (left, right) if left == right => None,
        (left, right) => Some((path.to_owned(), show(left), show(right))),
    }
}

fn show(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { format!("`{value}`") }
}

fn metadata(metadata: &pb::OpMetadata) -> Value {
    let group = metadata.progress_group.as_ref().map(|group| (&group.name, group.weak));
    serde_json::json!({
        "description": metadata.description,
        "ignoreCache": metadata.ignore_cache,
        "caps": metadata.caps,
        "progressGroup": group,
        "memory": metadata.linux_resources.as_ref().map(|resources| resources.memory),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::platform::Platform;
    use crate::plan::llb::{Graph, Metadata, source};

    fn definition(url: &str, name: &str) -> Definition {
        let mut graph = Graph::new();
        let node = source::http(url, "f", "", Metadata::named(name.to_owned()));
        let head = graph.add(node);
        graph.marshal(Some(head), &Platform::new("linux", "amd64"), None)
    }

    #[test]
    fn equal_definitions_have_no_difference() {
        let ours = definition("https://a", "x");
        assert_eq!(first_difference(&ours, &ours.to_pb()), None);
    }

    #[test]
    fn the_first_field_is_named() {
        let ours = definition("https://a", "x");
        let found = first_difference(&ours, &definition("https://b", "x").to_pb()).unwrap();
        assert_eq!(
            found.to_string(),
            "vertex 0 `x`, source.identifier: kitwright has `\"https://a\"`, the engine `\"https://b\"`"
        );
        let found = first_difference(&ours, &definition("https://a", "y").to_pb()).unwrap();
        assert_eq!(found.field, "description.llb.customname");
        let mut shorter = ours.to_pb();
        shorter.def.pop();
        let found = first_difference(&ours, &shorter).unwrap();
        assert_eq!((&*found.field, &*found.theirs), ("number of vertices", "1"));
    }
}
