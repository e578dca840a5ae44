//! Deterministic bytes of ops: what Go's Protobuf encoder writes when asked to be deterministic.
//!
//! Two rules differ from prost's encoder, and both lie inside digested bytes: a oneof member comes
//! after all other fields of its message, whatever its number, and a map entry always carries both
//! key and value. Everything else is written by number, leaving out what has its default.
use buildkit_rs_proto::pb;

use super::graph::FileAction;

/// Field numbers of `pb.Op`.
mod op {
    pub(super) const INPUTS: u32 = 1;
    pub(super) const EXEC: u32 = 2;
    pub(super) const SOURCE: u32 = 3;
    pub(super) const FILE: u32 = 4;
    pub(super) const BUILD: u32 = 5;
    pub(super) const MERGE: u32 = 6;
    pub(super) const DIFF: u32 = 7;
    pub(super) const PASSTHROUGH: u32 = 8;
    pub(super) const PLATFORM: u32 = 10;
    pub(super) const CONSTRAINTS: u32 = 11;
}

/// Encodes `op` as BuildKit's own client does.
#[must_use]
pub fn encode_op(op: &pb::Op) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for input in &op.inputs {
        put_input(&mut out, &input.digest, input.index);
    }
    put_tail(&mut out, op.platform.as_ref(), op.constraints.is_some(), op.op.as_ref());
    out
}

/// Appends one edge of an op.
pub(super) fn put_input(out: &mut Vec<u8>, digest: &str, index: i64) {
    put_message(out, op::INPUTS, |out| {
        put_text(out, 1, digest);
        put_int(out, 2, index);
    });
}

/// Appends everything of an op that follows its inputs.
pub(super) fn put_tail(
    out: &mut Vec<u8>,
    platform: Option<&pb::Platform>,
    constraints: bool,
    op: Option<&pb::op::Op>,
) {
    put_constraints(out, platform, constraints);
    match op {
        Some(pb::op::Op::Exec(exec)) => put_message(out, op::EXEC, |out| put_exec(out, exec, &[])),
        Some(pb::op::Op::Source(source)) => {
            put_message(out, op::SOURCE, |out| put_source(out, source));
        }
        Some(pb::op::Op::File(file)) => put_prost(out, op::FILE, file),
        Some(pb::op::Op::Build(build)) => put_prost(out, op::BUILD, build),
        Some(pb::op::Op::Merge(merge)) => put_prost(out, op::MERGE, merge),
        Some(pb::op::Op::Diff(diff)) => put_prost(out, op::DIFF, diff),
        Some(pb::op::Op::Passthrough(through)) => put_prost(out, op::PASSTHROUGH, through),
        None => {}
    }
}

fn put_constraints(out: &mut Vec<u8>, platform: Option<&pb::Platform>, constraints: bool) {
    if let Some(platform) = platform {
        put_prost(out, op::PLATFORM, platform);
    }
    if constraints {
        // An empty message: Dockerfiles ask nothing of the worker.
        put_bytes(out, op::CONSTRAINTS, &[]);
    }
}

/// Appends a source.
pub(super) fn put_source_tail(
    out: &mut Vec<u8>,
    platform: Option<&pb::Platform>,
    source: &pb::SourceOp,
) {
    put_constraints(out, platform, true);
    put_message(out, op::SOURCE, |out| put_source(out, source));
}

/// Appends a command whose environment is already encoded.
///
/// The commands of a stage share one environment instead of each holding a copy of every variable.
pub(super) fn put_exec_tail(
    out: &mut Vec<u8>,
    platform: &pb::Platform,
    exec: &pb::ExecOp,
    env: &[u8],
) {
    put_constraints(out, Some(platform), true);
    put_message(out, op::EXEC, |out| put_exec(out, exec, env));
}

/// Appends changes of files: the first one has the input `base`, each other one its predecessor.
///
/// Predecessors are counted after the `inputs` of the op. Only the last change is a result.
pub(super) fn put_file_tail(
    out: &mut Vec<u8>,
    base: i64,
    inputs: usize,
    sources: &[i64],
    actions: &[FileAction],
) {
    put_constraints(out, None, true);
    put_message(out, op::FILE, |out| {
        for (at, (action, source)) in actions.iter().zip(sources).enumerate() {
            let input = if at == 0 { base } else { (inputs + at - 1) as i64 };
            let output = if at + 1 == actions.len() { 0 } else { -1 };
            put_message(out, 2, |out| {
                put_int(out, 1, input);
                put_int(out, 2, *source);
                put_int(out, 3, output);
                action.action.encode(out);
            });
        }
    });
}

/// Appends a merge of the op's `inputs` in their order.
pub(super) fn put_merge_tail(out: &mut Vec<u8>, inputs: usize) {
    put_constraints(out, None, true);
    put_message(out, op::MERGE, |out| {
        for input in 0..inputs as i64 {
            put_message(out, 1, |out| put_int(out, 1, input));
        }
    });
}

fn put_exec(out: &mut Vec<u8>, exec: &pb::ExecOp, env: &[u8]) {
    if let Some(meta) = &exec.meta {
        put_message(out, 1, |out| put_meta(out, meta, env));
    }
    for mount in &exec.mounts {
        put_prost(out, 2, mount);
    }
    put_int(out, 3, i64::from(exec.network));
    put_int(out, 4, i64::from(exec.security));
    for secret in &exec.secretenv {
        put_prost(out, 5, secret);
    }
    for device in &exec.cdi_devices {
        put_prost(out, 6, device);
    }
}

fn put_meta(out: &mut Vec<u8>, meta: &pb::Meta, env: &[u8]) {
    for arg in &meta.args {
        put_bytes(out, 1, arg.as_bytes());
    }
    out.extend_from_slice(env);
    for variable in &meta.env {
        put_bytes(out, ENV_FIELD, variable.as_bytes());
    }
    put_text(out, 3, &meta.cwd);
    put_text(out, 4, &meta.user);
    if let Some(proxy) = &meta.proxy_env {
        put_prost(out, 5, proxy);
    }
    for host in &meta.extra_hosts {
        put_prost(out, 6, host);
    }
    put_text(out, 7, &meta.hostname);
    for limit in &meta.ulimit {
        put_prost(out, 9, limit);
    }
    put_text(out, 10, &meta.cgroup_parent);
    put_int(out, 11, i64::from(meta.remove_mount_stubs_recursive));
    if !meta.valid_exit_codes.is_empty() {
        put_message(out, 12, |out| {
            for code in &meta.valid_exit_codes {
                put_varint(out, as_wire(i64::from(*code)));
            }
        });
    }
}

/// The field of `pb.Meta` that holds the environment.
const ENV_FIELD: u32 = 2;

/// Appends one variable as `pb.Meta` holds it.
pub(super) fn put_variable(out: &mut Vec<u8>, key: &str, value: &str) {
    put_key(out, ENV_FIELD, LENGTH_DELIMITED);
    put_varint(out, (key.len() + 1 + value.len()) as u64);
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
}

fn put_source(out: &mut Vec<u8>, source: &pb::SourceOp) {
    put_text(out, 1, &source.identifier);
    for (key, value) in &source.attrs {
        put_message(out, 2, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
}

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

fn put_key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(out, u64::from(field << 3 | wire_type));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Negative numbers travel as the 64-bit two's complement, also those of 32-bit fields.
const fn as_wire(value: i64) -> u64 {
    value.cast_unsigned()
}

fn put_int(out: &mut Vec<u8>, field: u32, value: i64) {
    if value != 0 {
        put_key(out, field, VARINT);
        put_varint(out, as_wire(value));
    }
}

/// Appends an entry of a map.
pub(super) fn put_entry(out: &mut Vec<u8>, field: u32, key: &str, value: &impl prost::Message) {
    put_message(out, field, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_prost(out, 2, value);
    });
}

fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LENGTH_DELIMITED);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a sub-message whose own order prost gets right.
pub(super) fn put_prost(out: &mut Vec<u8>, field: u32, message: &impl prost::Message) {
    put_key(out, field, LENGTH_DELIMITED);
    put_varint(out, message.encoded_len() as u64);
    // A `Vec` grows, so encoding into one cannot fail.
    message.encode_raw(out);
}

/// Appends a sub-message, moving it up by the length of its length once that is known.
pub(super) fn put_message(out: &mut Vec<u8>, field: u32, body: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, field, LENGTH_DELIMITED);
    let start = out.len();
    body(out);
    let length = out.len() - start;
    let mut prefix = Vec::with_capacity(5);
    put_varint(&mut prefix, length as u64);
    out.splice(start..start, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_preceded_by_its_length_also_when_that_takes_two_bytes() {
        let mut out = vec![7];
        put_message(&mut out, 1, |out| out.resize(out.len() + 300, b'x'));
        assert_eq!(out[..4], [7, 0x0a, 0xac, 0x02]);
        assert_eq!(out.len(), 304);
    }

    #[test]
    fn negative_numbers_take_ten_bytes() {
        let mut out = Vec::new();
        put_int(&mut out, 1, -1);
        assert_eq!(out, [[8].as_slice(), &[0xff; 9], &[1]].concat());
    }

    #[test]
    fn an_empty_attribute_keeps_its_value_field() {
        let mut out = Vec::new();
        let attrs = [("k".to_owned(), String::new())].into();
        put_source(&mut out, &pb::SourceOp { identifier: String::new(), attrs });
        assert_eq!(out, [0x12, 5, 0x0a, 1, b'k', 0x12, 0]);
    }
}
