//! Ties a marshalled graph to another session.
//!
//! The session's id lies inside the op of each source that the client provides, and so in the digests of all that stands on
//! it.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use prost::Message as _;

use crate::oci::digest::Digest;

/// The attributes of sources that the client provides, a directory or an OCI layout, that name the
/// session.
const SESSIONS: [&str; 2] = ["local.session", "oci.session"];

/// The same graph, reading what the client provides from `session`; `moved` takes in which digests became
/// which.
///
/// Ops that stand on no such source keep their bytes and digests.
#[must_use]
pub fn in_session(
    definition: pb::Definition,
    session: &str,
    moved: &mut BTreeMap<String, String>,
) -> pb::Definition {
    let pb::Definition { def, mut metadata, mut source } = definition;
    let mut ops = Vec::with_capacity(def.len());
    // Inputs come before those who take them.
    for bytes in def {
        let old = Digest::of(&bytes).to_string();
        let Ok(mut op) = pb::Op::decode(bytes.clone()) else {
            ops.push(bytes);
            continue;
        };
        let mut changed = false;
        if let Some(pb::op::Op::Source(source)) = &mut op.op {
            for name in SESSIONS {
                if let Some(value) = source.attrs.get_mut(name) {
                    session.clone_into(value);
                    changed = true;
                }
            }
        }
        for input in &mut op.inputs {
            if let Some(new) = moved.get(&input.digest) {
                input.digest.clone_from(new);
                changed = true;
            }
        }
        if !changed {
            ops.push(bytes);
            continue;
        }
        let bytes: bytes::Bytes = op.encode_to_vec().into();
        let new = Digest::of(&bytes).to_string();
        if let Some(entry) = metadata.remove(&old) {
            metadata.insert(new.clone(), entry);
        }
        if let Some(source) = &mut source
            && let Some(entry) = source.locations.remove(&old)
        {
            source.locations.insert(new.clone(), entry);
        }
        moved.insert(old, new);
        ops.push(bytes);
    }
    pb::Definition { def: ops, metadata, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(inputs: &[&bytes::Bytes], op: pb::op::Op) -> bytes::Bytes {
        let input = |bytes: &&bytes::Bytes| pb::Input {
            digest: Digest::of(bytes).to_string(),
            ..Default::default()
        };
        let inputs = inputs.iter().map(input).collect();
        pb::Op { inputs, op: Some(op), ..Default::default() }.encode_to_vec().into()
    }

    fn source(identifier: &str) -> pb::op::Op {
        let is_local = identifier.starts_with("local");
        let session = is_local.then(|| ("local.session".to_owned(), "one".to_owned()));
        let attrs = session.into_iter().collect();
        let identifier = identifier.to_owned();
        pb::op::Op::Source(pb::SourceOp { identifier, attrs })
    }

    #[test]
    fn only_what_stands_on_a_local_source_moves() {
        let image = op(&[], source("docker-image://x"));
        let local = op(&[], source("local://context"));
        let step = op(&[&image, &local], pb::op::Op::File(pb::FileOp::default()));
        let metadata =
            [&image, &step].map(|bytes| (Digest::of(bytes).to_string(), pb::OpMetadata::default()));
        let definition = pb::Definition {
            def: vec![image.clone(), local, step.clone()],
            metadata: metadata.into(),
            source: None,
        };
        let moved = in_session(definition, "2:one", &mut BTreeMap::new());
        assert_eq!(moved.def[0], image);
        let read = pb::Op::decode(moved.def[2].clone()).unwrap();
        assert_eq!(read.inputs[0].digest, Digest::of(&image).to_string());
        assert_eq!(read.inputs[1].digest, Digest::of(&moved.def[1]).to_string());
        assert!(moved.metadata.contains_key(&Digest::of(&moved.def[2]).to_string()));
        assert!(!moved.metadata.contains_key(&Digest::of(&step).to_string()));
    }
}
