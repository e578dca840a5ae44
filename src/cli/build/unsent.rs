//! Directories that the engine knows from an earlier build, shown as what they are: found in the cache.
//!
//! The engine says of every source that it has begun and ended when it has only made its key. Whether
//! it asks for the files comes after that, so the end is held back until it is known.
use std::collections::BTreeMap;

use crate::engine::status::{StatusEvent, VertexStatus};
use crate::oci::digest::Digest;

/// The ends of sources that are held back.
pub(super) struct Unsent {
    /// Whether anything is to be held back.
    holds: bool,
    /// The end of each directory's source, until it is known what it means.
    held: BTreeMap<Digest, Option<VertexStatus>>,
}

impl Unsent {
    pub(super) const fn new(holds: bool) -> Self {
        Self { holds, held: BTreeMap::new() }
    }

    /// What is to be shown now that the engine has told of `event`.
    pub(super) fn told(&mut self, event: StatusEvent) -> impl Iterator<Item = StatusEvent> + use<> {
        let mut known = Vec::new();
        let mut now = Some(event);
        match &now {
            _ if !self.holds => {}
            Some(StatusEvent::Vertex(vertex)) if is_directory(vertex) => {
                let has_ended = vertex.completed.is_some() && vertex.error.is_none();
                match self.held.get_mut(&vertex.digest) {
                    // It goes on: the files are asked for, or what was made of them is loaded.
                    Some(held) => *held = None,
                    None if has_ended => {
                        self.held.insert(vertex.digest, Some(vertex.clone()));
                        now = None;
                    }
                    None => {}
                }
            }
            Some(StatusEvent::Vertex(vertex)) if vertex.started.is_some() => {
                // Who takes the files would not begin without them.
                let inputs = vertex.inputs.iter();
                known.extend(inputs.filter_map(|input| self.held.get_mut(input)?.take()));
            }
            _ => {}
        }
        known.into_iter().map(cached).chain(now)
    }

    /// What is to be shown when the engine has nothing more to tell.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = StatusEvent> + use<> {
        std::mem::take(&mut self.held).into_values().flatten().map(cached)
    }
}

fn cached(vertex: VertexStatus) -> StatusEvent {
    StatusEvent::Vertex(VertexStatus { cached: true, ..vertex })
}

/// Whether a vertex is a directory of the client.
fn is_directory(vertex: &VertexStatus) -> bool {
    let name = vertex.name.as_str();
    vertex.inputs.is_empty()
        && (name == "[internal] load build context"
            || name.starts_with("[context ") && name.ends_with("] load from client"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const DIRECTORY: (u8, &str) = (1, "[context x] load from client");
    const COPY: (u8, &str) = (2, "[1/1] COPY --from=x . .");

    fn event((byte, name): (u8, &str), started: bool, completed: bool) -> StatusEvent {
        let digest = |byte: u8| Digest::from_bytes([byte; 32]);
        let time = |told: bool| told.then_some(Timestamp::UNIX_EPOCH);
        StatusEvent::Vertex(VertexStatus {
            digest: digest(byte),
            inputs: (1..byte).map(digest).collect(),
            name: name.into(),
            cached: false,
            started: time(started),
            completed: time(completed),
            error: None,
            group: None,
        })
    }

    /// The number of each vertex that is shown, and whether it was found in the cache.
    fn shown(events: &[StatusEvent]) -> Vec<(u8, bool)> {
        let mut unsent = Unsent::new(true);
        let mut shown = Vec::new();
        for event in events {
            shown.extend(unsent.told(event.clone()));
        }
        shown.extend(unsent.rest());
        let vertex = |event| match event {
            StatusEvent::Vertex(vertex) => (vertex.digest.as_bytes()[0], vertex.cached),
            other => unreachable!("{other:?}"),
        };
        shown.into_iter().map(vertex).collect()
    }

    #[test]
    fn what_is_not_asked_for_was_in_the_cache() {
        let key = [event(DIRECTORY, true, false), event(DIRECTORY, true, true)];
        let copy = event(COPY, true, true);
        let all = [&key[..], std::slice::from_ref(&copy)].concat();
        assert_eq!(shown(&all), [(1, false), (1, true), (2, false)]);
        assert_eq!(shown(&key), [(1, false), (1, true)]);
        let asked = [&key[..], &key, &[copy]].concat();
        assert_eq!(shown(&asked), [(1, false), (1, false), (1, false), (2, false)]);
    }
}
