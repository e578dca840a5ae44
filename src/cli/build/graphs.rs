//! The graphs of a build as one of its solves has them.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use crate::engine::identity;
use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;
use crate::plan::llb::Definition;
use crate::plan::llb::session::in_session;

/// What sets the graphs of one solve apart from the compiled ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Graphs {
    /// The session of a solve after the first: the engine must not mistake what it made of local
    /// files in an earlier one for all that is to be known of it.
    pub session: Option<String>,
    /// What is to run although the engine knows its result, which it would go on waiting for.
    pub anew: BTreeSet<Digest>,
    /// The digests of the compiled graphs, by those that they have in solves after the first.
    originals: BTreeMap<Digest, Digest>,
}

impl Graphs {
    /// Prepares for a further solve.
    pub(super) fn next(&mut self, compiled: Option<&Compiled>) {
        let session = identity::random();
        let mut moved = BTreeMap::new();
        for platform in compiled.into_iter().flat_map(|compiled| &compiled.platforms) {
            let _ = in_session(platform.definition.to_pb(), &session, &mut moved);
        }
        let read = |(old, new): (String, String)| -> Option<(Digest, Digest)> {
            Some((new.parse().ok()?, old.parse().ok()?))
        };
        self.originals.extend(moved.into_iter().filter_map(read));
        self.session = Some(session);
    }

    /// A compiled graph, or a part of one, as this solve has it.
    pub(super) fn of(&self, mut graph: pb::Definition) -> pb::Definition {
        for digest in &self.anew {
            if let Some(metadata) = graph.metadata.get_mut(&digest.to_string()) {
                metadata.ignore_cache = true;
            }
        }
        match &self.session {
            None => graph,
            Some(session) => in_session(graph, session, &mut BTreeMap::new()),
        }
    }

    /// The wire form of a compiled graph as this solve has it.
    pub(super) fn marshal(&self, graph: &Definition) -> Bytes {
        match (&self.session, self.anew.is_empty()) {
            (None, true) => graph.marshal(),
            _ => self.of(graph.to_pb()).encode_to_vec(),
        }
        .into()
    }

    /// The digest that a vertex of any solve has in the compiled graphs.
    pub(super) fn original(&self, digest: Digest) -> Digest {
        self.originals.get(&digest).copied().unwrap_or(digest)
    }

    /// The same for several.
    pub(super) fn originals(&self, digests: BTreeSet<Digest>) -> BTreeSet<Digest> {
        digests.into_iter().map(|digest| self.original(digest)).collect()
    }
}
