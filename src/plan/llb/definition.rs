//! A marshalled graph: bytes, digests, metadata and source locations.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use super::graph::{Graph, NodeId, Op};
use super::metadata::Metadata;
use super::source_map::{Location, SourceFile, locations_to_pb};
use super::{caps, wire};
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;

/// What a definition holds of most vertices beside their ops: metadata and locations, each after a digest.
const ABOUT_A_VERTEX: usize = 384;

/// What an engine solves: ops in topological order, the last one naming the result.
///
/// It is empty when the result is an empty file system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definition {
    /// The ops, each after its inputs; the last one only refers to the result.
    pub vertices: Vec<Vertex>,
    /// The file that the locations point into.
    pub source: Option<SourceFile>,
}

/// One op of a [`Definition`].
#[derive(Debug, Clone, PartialEq)]
pub struct Vertex {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
    /// What it says about itself.
    pub metadata: Metadata,
    /// The instructions it comes from.
    pub locations: Vec<Location>,
}

impl Definition {
    /// Whether the result is an empty file system.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// The digest of the op that makes the result.
    #[must_use]
    pub fn head(&self) -> Option<Digest> {
        let [.., last] = &self.vertices[..] else { return None };
        let op = last.op();
        op.inputs.first().and_then(|input| input.digest.parse().ok())
    }

    /// The wire form of the part that makes one result of one vertex.
    #[must_use]
    pub fn part(&self, head: Digest, output: i64) -> pb::Definition {
        let mut needed = BTreeSet::from([head]);
        // Inputs come before those who take them, so one walk back finds them all.
        for vertex in self.vertices.iter().rev() {
            if needed.contains(&vertex.digest) {
                needed.extend(vertex.inputs().into_iter().map(|(digest, _)| digest));
            }
        }
        let kept = self.vertices.iter().filter(|vertex| needed.contains(&vertex.digest));
        let mut vertices: Vec<Vertex> = kept.cloned().collect();
        vertices.push(terminal(&head.to_string(), output, &vertices));
        Self { vertices, source: self.source.clone() }.to_pb()
    }

    /// The wire form.
    #[must_use]
    pub fn to_pb(&self) -> pb::Definition {
        // An entry without locations would travel without its value, which a Go daemon takes for nil.
        let with_locations = self.vertices.iter().filter(|v| !v.locations.is_empty());
        pb::Definition {
            def: self.vertices.iter().map(|vertex| vertex.bytes.clone()).collect(),
            metadata: self
                .vertices
                .iter()
                .map(|vertex| (vertex.digest.to_string(), vertex.metadata.to_pb()))
                .collect(),
            source: self.source.as_ref().filter(|_| !self.is_empty()).map(|file| pb::Source {
                locations: with_locations
                    .map(|vertex| (vertex.digest.to_string(), locations_to_pb(&vertex.locations)))
                    .collect(),
                infos: vec![file.to_pb()],
            }),
        }
    }
}

impl Definition {
    /// The wire form in bytes; that of [`Definition::to_pb`] made of many steps takes several times as much memory.
    #[must_use]
    pub fn marshal(&self) -> Vec<u8> {
        let ops: usize = self.vertices.iter().map(|vertex| vertex.bytes.len()).sum();
        let source = self.source.as_ref().filter(|_| !self.is_empty());
        let text = source.map_or(0, |file| file.data.len());
        let mut out = Vec::with_capacity(ops + text + self.vertices.len() * ABOUT_A_VERTEX);
        for vertex in &self.vertices {
            wire::put_bytes(&mut out, 1, &vertex.bytes);
        }
        for vertex in &self.vertices {
            wire::put_entry(&mut out, 2, &vertex.digest.to_string(), &vertex.metadata.to_pb());
        }
        let Some(source) = source else { return out };
        wire::put_message(&mut out, 3, |out| {
            for vertex in self.vertices.iter().filter(|vertex| !vertex.locations.is_empty()) {
                let locations = locations_to_pb(&vertex.locations);
                wire::put_entry(out, 1, &vertex.digest.to_string(), &locations);
            }
            wire::put_prost(out, 2, &source.to_pb());
        });
        out
    }
}

impl Vertex {
    /// The op that the bytes hold.
    #[must_use]
    pub fn op(&self) -> pb::Op {
        // The bytes come from this module's encoder.
        pb::Op::decode(self.bytes.clone()).unwrap_or_default()
    }

    /// The vertices whose results it takes, and which of their results.
    #[must_use]
    pub fn inputs(&self) -> Vec<(Digest, i64)> {
        inputs(&self.op())
    }
}

/// The vertices whose results `op` takes, and which of their results.
#[must_use]
pub fn inputs(op: &pb::Op) -> Vec<(Digest, i64)> {
    let read = |input: &pb::Input| Some((input.digest.parse().ok()?, input.index));
    op.inputs.iter().filter_map(read).collect()
}

/// What [`Graph::marshal`] adds to a vertex of its own accord.
#[derive(Debug, Clone, Copy)]
struct Defaults<'a> {
    platform: &'a Platform,
}

impl Graph {
    /// Marshals what `head` needs; commands without a platform get `platform`.
    pub fn marshal(
        &mut self,
        head: Option<NodeId>,
        platform: &Platform,
        source: Option<SourceFile>,
    ) -> Definition {
        let Some(head) = head else { return Definition { vertices: Vec::new(), source } };
        let defaults = Defaults { platform };
        let mut digests = vec![String::new(); self.len()];
        let mut seen = BTreeMap::new();
        let order = self.post_order(head);
        // And the terminal op.
        let mut vertices: Vec<Vertex> = Vec::with_capacity(order.len() + 1);
        // One allocation for all ops.
        let (mut ops, mut ends) = (Vec::new(), Vec::new());
        for id in order {
            let start = ops.len();
            self.encode(id, &digests, defaults, &mut ops);
            let digest = Digest::of(&ops[start..]);
            digests[id.index()] = digest.to_string();
            let node = self.node(id);
            let mut metadata = node.metadata.clone();
            if let Op::Exec { .. } = node.op {
                metadata.caps.insert(caps::EXEC_META_SETS_DEFAULT_PATH);
            }
            let locations = node.locations.clone();
            match seen.entry(digest) {
                Entry::Vacant(entry) => {
                    entry.insert(vertices.len());
                    ends.push(ops.len());
                    vertices.push(Vertex { digest, bytes: Bytes::new(), metadata, locations });
                }
                Entry::Occupied(entry) => {
                    ops.truncate(start);
                    let vertex = &mut vertices[*entry.get()];
                    vertex.metadata.merge(metadata);
                    vertex.locations.extend(locations);
                }
            }
        }
        let (ops, mut start) = (Bytes::from(ops.into_boxed_slice()), 0);
        for (vertex, end) in vertices.iter_mut().zip(ends) {
            vertex.bytes = ops.slice(std::mem::replace(&mut start, end)..end);
        }
        let terminal = terminal(&digests[head.index()], 0, &vertices);
        vertices.push(terminal);
        Definition { vertices, source }
    }

    /// The nodes that `head` needs, each after its inputs.
    fn post_order(&self, head: NodeId) -> Vec<NodeId> {
        let mut done = vec![false; self.len()];
        let mut order = Vec::with_capacity(self.len());
        // Kept by hand: a chain of ten thousand instructions would overflow the call stack.
        let mut path = vec![(head, self.node(head).op.inputs().into_iter())];
        while let Some((id, inputs)) = path.last_mut() {
            match inputs.next() {
                Some(input) if !done[input.index()] => {
                    path.push((input, self.node(input).op.inputs().into_iter()));
                }
                Some(_) => {}
                None => {
                    if !std::mem::replace(&mut done[id.index()], true) {
                        order.push(*id);
                    }
                    path.pop();
                }
            }
        }
        order
    }

    /// Appends the bytes of one op.
    fn encode(
        &mut self,
        id: NodeId,
        digests: &[String],
        defaults: Defaults<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut inputs = Inputs { digests, unique: Vec::new() };
        let node = self.node_mut(id);
        let platform = node.platform.as_ref();
        match &mut node.op {
            Op::Reserved => {}
            Op::Source(source) => {
                let specific = is_platform_specific(&source.identifier);
                let platform = specific.then(|| platform.unwrap_or(defaults.platform).into());
                wire::put_source_tail(out, platform.as_ref(), source);
            }
            Op::Exec { op, env, sources } => {
                for (mount, source) in op.mounts.iter_mut().zip(&*sources) {
                    mount.input = source.map_or(-1, |id| inputs.position(id));
                }
                inputs.put(out);
                let platform: pb::Platform = platform.unwrap_or(defaults.platform).into();
                wire::put_exec_tail(out, &platform, op, env.encoded());
            }
            Op::File { base, actions } => {
                let base = base.map_or(-1, |id| inputs.position(id));
                let sources: Vec<i64> = actions
                    .iter()
                    .map(|action| action.source.map_or(-1, |id| inputs.position(id)))
                    .collect();
                inputs.put(out);
                wire::put_file_tail(out, base, inputs.unique.len(), &sources, actions);
            }
            Op::Merge(sources) => {
                // Not made unique: laying a tree over itself is still two inputs.
                inputs.unique.clone_from(sources);
                inputs.put(out);
                wire::put_merge_tail(out, sources.len());
            }
        }
    }
}

/// The inputs of one op, unique by digest.
struct Inputs<'a> {
    digests: &'a [String],
    unique: Vec<NodeId>,
}

impl Inputs<'_> {
    fn position(&mut self, id: NodeId) -> i64 {
        let digest = &self.digests[id.index()];
        let known = self.unique.iter().position(|other| self.digests[other.index()] == *digest);
        let position = known.unwrap_or_else(|| {
            self.unique.push(id);
            self.unique.len() - 1
        });
        position as i64
    }

    fn put(&self, out: &mut Vec<u8>) {
        for id in &self.unique {
            wire::put_input(out, &self.digests[id.index()], 0);
        }
    }
}

/// The op at the end of a definition, which only refers to the result.
fn terminal(head: &str, output: i64, vertices: &[Vertex]) -> Vertex {
    let mut bytes = Vec::with_capacity(80);
    wire::put_input(&mut bytes, head, output);
    let mut metadata = Metadata::default();
    metadata.caps.extend([caps::CONSTRAINTS, caps::PLATFORM]);
    for vertex in vertices {
        if vertex.metadata.ignore_cache {
            metadata.caps.insert(caps::META_IGNORE_CACHE);
        }
        if !vertex.metadata.description.is_empty() {
            metadata.caps.insert(caps::META_DESCRIPTION);
        }
    }
    let digest = Digest::of(&bytes);
    Vertex { digest, bytes: bytes.into(), metadata, locations: Vec::new() }
}

fn is_platform_specific(identifier: &str) -> bool {
    identifier.starts_with("docker-image://") || identifier.starts_with("oci-layout://")
}

impl From<&Platform> for pb::Platform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
        }
    }
}
