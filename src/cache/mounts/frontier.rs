//! What can be built while cache mounts are being filled.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;

use crate::oci::digest::Digest;
use crate::plan::llb::{Definition, wire};

/// The graphs of what the `waiting` steps take that depends on none of them.
///
/// The engine can work on these at once. `waiting` must be steps that will run: of a step whose
/// result is cached the inputs are not needed.
#[must_use]
pub fn ready(definition: &Definition, waiting: &BTreeSet<Digest>) -> Vec<pb::Definition> {
    // Steps that have to wait, by themselves or for another one.
    let mut held: BTreeSet<String> = BTreeSet::new();
    let mut wanted: BTreeMap<String, pb::Input> = BTreeMap::new();
    for vertex in &definition.vertices {
        let op = vertex.op();
        let waits = waiting.contains(&vertex.digest);
        if waits {
            let free = op.inputs.iter().filter(|input| !held.contains(&input.digest));
            for input in free {
                wanted.entry(input.digest.clone()).or_insert_with(|| input.clone());
            }
        }
        if waits || op.inputs.iter().any(|input| held.contains(&input.digest)) {
            held.insert(vertex.digest.to_string());
        }
    }
    let whole = definition.to_pb();
    let graph = |input: pb::Input| {
        let mut part = whole.clone();
        // Only the last op says what the result is; an engine loads no more than that needs.
        part.def.pop();
        let head = pb::Op { inputs: vec![input], ..Default::default() };
        part.def.push(wire::encode_op(&head).into());
        part
    };
    wanted.into_values().map(graph).collect()
}
