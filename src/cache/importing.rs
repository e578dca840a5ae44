//! A graph that has the engine read its caches' manifests before anything asks for them.
//!
//! An engine asks its cache imports from within its scheduler, one loop for all of its builds, and waits
//! there for manifests that are still being read, without a deadline: one that does not come holds up
//! everything. It begins to read when a graph comes that names the caches. So a graph of nothing, for
//! which no cache is asked, goes first, and a manifest that does not come then holds nobody up.
use buildkit_rs_proto::pb;
use prost::Message as _;

use crate::oci::digest::Digest;

/// What nothing is less nothing, asked of no cache.
#[must_use]
pub fn nothing() -> pb::Definition {
    let nothing = difference();
    let last = pb::Op {
        inputs: vec![pb::Input { digest: nothing.0.to_string(), index: 0 }],
        ..Default::default()
    };
    let mut definition = pb::Definition {
        def: vec![nothing.1.into(), last.encode_to_vec().into()],
        ..Default::default()
    };
    let metadata = pb::OpMetadata { ignore_cache: true, ..Default::default() };
    definition.metadata.insert(nothing.0.to_string(), metadata);
    definition
}

/// The vertex that the graph consists of.
#[must_use]
pub fn vertex() -> Digest {
    difference().0
}

fn difference() -> (Digest, Vec<u8>) {
    // No input at all.
    const EMPTY: i64 = -1;
    let difference = pb::DiffOp {
        lower: Some(pb::LowerDiffInput { input: EMPTY }),
        upper: Some(pb::UpperDiffInput { input: EMPTY }),
    };
    let op = pb::Op { op: Some(pb::op::Op::Diff(difference)), ..Default::default() };
    let bytes = op.encode_to_vec();
    (Digest::of(&bytes), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cache_is_asked_for_it() {
        let graph = nothing();
        assert_eq!(graph.def.len(), 2);
        assert_eq!(Digest::of(&graph.def[0]), vertex());
        assert!(graph.metadata[&vertex().to_string()].ignore_cache);
    }
}
