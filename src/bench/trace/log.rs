//! The messages in the log: what each vertex did when, and what kitwright did itself.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{covered, seconds};

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    vertexes: Vec<Message>,
    /// Kitwright's own work, which only it tells.
    #[serde(default)]
    phases: Vec<Own>,
}

/// What kitwright did itself, and when.
#[derive(Deserialize)]
pub(super) struct Own {
    pub name: String,
    pub started: Timestamp,
    pub completed: Timestamp,
}

/// What one message says of a vertex.
#[derive(Deserialize)]
struct Message {
    digest: String,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    name: String,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
    #[serde(default)]
    cached: bool,
}

/// What all messages together say of a vertex.
#[derive(Debug, Default)]
pub(super) struct Vertex {
    pub name: String,
    pub inputs: Vec<String>,
    pub cached: bool,
    /// When it worked, by start: a vertex rests while it waits for others.
    pub intervals: BTreeMap<Timestamp, Option<Timestamp>>,
}

impl Vertex {
    /// From when to when it worked, in seconds since 1970.
    pub(super) fn intervals(&self) -> impl Iterator<Item = (f64, f64)> {
        let ended = |(from, to): (&Timestamp, &Option<Timestamp>)| {
            to.map(|to| (seconds(*from), seconds(to)))
        };
        self.intervals.iter().filter_map(ended)
    }

    /// How long it worked, in seconds.
    pub(super) fn duration(&self) -> f64 {
        covered(self.intervals().collect())
    }
}

/// Reads the log's vertices, by their digest, and kitwright's own phases.
pub(super) fn messages(log: &str) -> (BTreeMap<String, Vertex>, Vec<Own>) {
    let mut vertices: BTreeMap<String, Vertex> = BTreeMap::new();
    let mut own = Vec::new();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
        own.extend(line.phases);
        for message in line.vertexes {
            let vertex = vertices.entry(message.digest).or_default();
            vertex.name = message.name;
            vertex.cached |= message.cached;
            if !message.inputs.is_empty() {
                vertex.inputs = message.inputs;
            }
            if let Some(started) = message.started {
                let end = vertex.intervals.entry(started).or_default();
                *end = message.completed.or(*end);
            }
        }
    }
    (vertices, own)
}
