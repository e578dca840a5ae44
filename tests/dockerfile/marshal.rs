//! Single ops: BuildKit's bytes, decoded and encoded again.
use buildkit_rs_proto::pb;
use kitwright::oci::digest::Digest;
use kitwright::plan::llb::render::op_json;
use kitwright::plan::llb::wire::encode_op;
use prost::Message as _;

use crate::golden::{all, raw};

#[test]
fn every_op_encodes_to_the_same_bytes_again() {
    let mut count = 0;
    for case in all() {
        let results = case.expected["results"].as_array().unwrap().iter();
        let loads = case.expected["loads"].as_array().unwrap().iter();
        for vertex in results.chain(loads).flat_map(|result| result["vertices"].as_array().unwrap())
        {
            let bytes = raw(vertex);
            let op = pb::Op::decode(&*bytes).unwrap();
            assert_eq!(encode_op(&op), bytes, "{}: {op:?}", case.name);
            assert_eq!(op_json(&op), vertex["op"], "{}", case.name);
            assert_eq!(Digest::of(&bytes).to_string(), vertex["digest"].as_str().unwrap());
            count += 1;
        }
    }
    assert!(count > 150, "{count} ops");
}

#[test]
fn the_order_of_fields_matters() {
    let op = pb::Op {
        platform: Some(pb::Platform { os: "linux".to_owned(), ..pb::Platform::default() }),
        op: Some(pb::op::Op::Merge(pb::MergeOp { inputs: vec![pb::MergeInput { input: 0 }] })),
        ..pb::Op::default()
    };
    // What the generated code writes by number puts the merge first.
    assert_ne!(encode_op(&op), op.encode_to_vec());
    assert_eq!(pb::Op::decode(&*encode_op(&op)).unwrap(), op);
}
