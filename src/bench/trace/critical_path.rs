//! The chain of vertices that a build could not be shorter than.
use std::collections::{BTreeMap, BTreeSet};

use super::log::Vertex;

/// The longest way through the graph, and what is longest on it.
pub(super) fn critical_path(
    vertices: &BTreeMap<String, Vertex>,
) -> (Option<f64>, Vec<(String, f64)>) {
    const SHOWN: usize = 5;
    let mut lengths: BTreeMap<&str, (f64, Option<&str>)> = BTreeMap::new();
    // A chain may have more vertices than the stack has room for calls.
    let mut open: Vec<&str> = vertices.keys().map(String::as_str).collect();
    let mut entered: BTreeSet<&str> = BTreeSet::new();
    while let Some(digest) = open.pop() {
        if lengths.contains_key(digest) {
            continue;
        }
        let vertex = &vertices[digest];
        let known = || vertex.inputs.iter().filter(|input| vertices.contains_key(*input));
        let missing: Vec<&str> =
            known().map(String::as_str).filter(|input| !lengths.contains_key(input)).collect();
        if !missing.is_empty() && entered.insert(digest) {
            open.push(digest);
            open.extend(missing);
            continue;
        }
        let longest = known()
            .filter_map(|input| lengths.get(input.as_str()).map(|found| (found.0, input.as_str())))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let length = vertex.duration() + longest.map_or(0.0, |(length, _)| length);
        lengths.insert(digest, (length, longest.map(|(_, input)| input)));
    }
    let last = lengths.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let Some((last, (length, _))) = last.filter(|(_, (length, _))| *length > 0.0) else {
        return (None, Vec::new());
    };
    let mut chain = Vec::new();
    let mut next = Some(*last);
    while let Some(digest) = next {
        chain.push((vertices[digest].name.clone(), vertices[digest].duration()));
        next = lengths[digest].1;
    }
    chain.retain(|(_, seconds)| *seconds > 0.0);
    chain.sort_by(|a, b| b.1.total_cmp(&a.1));
    chain.truncate(SHOWN);
    (Some(*length), chain)
}
