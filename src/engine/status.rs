//! What a running build tells: the daemon's status messages as plain types.
//!
//! The daemon sends a vertex anew each time something about it changes, so a consumer keeps the
//! last one it has seen for each digest.
use std::collections::BTreeSet;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use buildkit_rs_proto::pb;
use bytes::Bytes;
use jiff::Timestamp;

use crate::oci::digest::Digest;

/// One piece of news about a running build, in the order the daemon sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusEvent {
    /// A vertex was announced, started, completed, failed or was found in the cache.
    Vertex(VertexStatus),
    /// Part of a vertex's work moved on, such as the download of one layer.
    Progress(Progress),
    /// A vertex wrote to its stdout or stderr.
    Log(Log),
    /// A vertex or the frontend warned of something.
    Warning(Warning),
}

impl StatusEvent {
    /// The vertex that it is about.
    #[must_use]
    pub const fn vertex(&self) -> Digest {
        match self {
            Self::Vertex(vertex) => vertex.digest,
            Self::Progress(progress) => progress.vertex,
            Self::Log(log) => log.vertex,
            Self::Warning(warning) => warning.vertex,
        }
    }
}

/// The state of a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexStatus {
    /// The digest of its op.
    pub digest: Digest,
    /// The vertices whose results it takes.
    pub inputs: Vec<Digest>,
    /// Its name, as the client gave it or the daemon made it from the op.
    pub name: String,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// When its work began, if it has.
    pub started: Option<Timestamp>,
    /// When its work ended, if it has.
    pub completed: Option<Timestamp>,
    /// Why it failed; empty means it did not.
    pub error: Option<String>,
    /// The vertices that are one step for people, such as those of a `COPY --link`.
    pub group: Option<ProgressGroup>,
}

/// Vertices that are shown as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressGroup {
    /// Equal for all vertices of the group.
    pub id: String,
    /// The group's name.
    pub name: String,
    /// Hides the group where its vertices have nothing to say.
    pub weak: bool,
}

/// How far a part of a vertex's work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The vertex.
    pub vertex: Digest,
    /// Names the part within the vertex, such as a layer's digest.
    pub id: String,
    /// What the part is, for people.
    pub name: String,
    /// What is done: bytes, or a count when `total` is zero.
    pub current: i64,
    /// What is to be done; zero when that is not known.
    pub total: i64,
    /// When this was measured.
    pub timestamp: Option<Timestamp>,
    /// When the part began, if it has.
    pub started: Option<Timestamp>,
    /// When the part ended, if it has.
    pub completed: Option<Timestamp>,
}

/// Output of a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The vertex.
    pub vertex: Digest,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
    /// 1 is stdout, 2 stderr.
    pub stream: i64,
    /// The bytes as written; they may end within a line or a character.
    pub data: Bytes,
}

/// A warning, such as a lint of the Dockerfile frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The vertex it is about.
    pub vertex: Digest,
    /// Its severity; smaller is more urgent.
    pub level: i64,
    /// One line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where to read about it; may be empty.
    pub url: String,
    /// The file it is about.
    pub source: Option<SourceFile>,
    /// The lines it is about, counted from one, first and last.
    pub lines: Vec<(u32, u32)>,
}

/// A file that a definition was made from, as the daemon knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its language, such as `Dockerfile`.
    pub language: String,
}

impl SourceFile {
    pub(crate) fn from_wire(info: pb::SourceInfo) -> Self {
        Self {
            name: info.filename,
            text: String::from_utf8_lossy(&info.data).into_owned(),
            language: info.language,
        }
    }
}

/// Turns wire ranges into first and last lines, as BuildKit reads them: an end before the start
/// stands for a single line.
pub(crate) fn lines(ranges: &[pb::Range]) -> Vec<(u32, u32)> {
    let line = |position: Option<&pb::Position>| {
        u32::try_from(position.map_or(0, |position| position.line)).unwrap_or(0)
    };
    ranges
        .iter()
        .map(|range| {
            let first = line(range.start.as_ref());
            (first, line(range.end.as_ref()).max(first))
        })
        .collect()
}

/// Splits one wire message into events; what names no valid digest is dropped.
///
/// A vertex that ended and has news of its work in the same message is announced as running before the
/// news and ends after it: nobody wants to read of a layer after its export was done.
pub fn events(message: control::StatusResponse) -> impl Iterator<Item = StatusEvent> {
    let news: Vec<StatusEvent> = (message.statuses.into_iter().filter_map(progress))
        .chain(message.logs.into_iter().filter_map(log))
        .chain(message.warnings.into_iter().filter_map(warning))
        .collect();
    let told: BTreeSet<Digest> = news.iter().map(StatusEvent::vertex).collect();
    let has_ended = move |vertex: &control::Vertex| {
        !told.is_empty()
            && vertex.completed.is_some()
            && vertex.digest.parse().is_ok_and(|digest| told.contains(&digest))
    };
    let ended: Vec<control::Vertex> =
        message.vertexes.iter().filter(|vertex| has_ended(vertex)).cloned().collect();
    // Read one by one: a message may tell of thousands.
    let announced = message.vertexes.into_iter().map(move |mut vertex| {
        if has_ended(&vertex) {
            (vertex.completed, vertex.error) = (None, String::new());
        }
        vertex
    });
    let read = |wire| vertex(wire).map(StatusEvent::Vertex);
    announced.filter_map(read).chain(news).chain(ended.into_iter().filter_map(read))
}

fn vertex(wire: control::Vertex) -> Option<VertexStatus> {
    Some(VertexStatus {
        digest: wire.digest.parse().ok()?,
        inputs: wire.inputs.iter().filter_map(|input| input.parse().ok()).collect(),
        name: wire.name,
        cached: wire.cached,
        started: timestamp(wire.started),
        completed: timestamp(wire.completed),
        error: Some(wire.error).filter(|error| !error.is_empty()),
        group: wire.progress_group.map(|group| ProgressGroup {
            id: group.id,
            name: group.name,
            weak: group.weak,
        }),
    })
}

fn progress(wire: control::VertexStatus) -> Option<StatusEvent> {
    Some(StatusEvent::Progress(Progress {
        vertex: wire.vertex.parse().ok()?,
        id: wire.id,
        name: wire.name,
        current: wire.current,
        total: wire.total,
        timestamp: timestamp(wire.timestamp),
        started: timestamp(wire.started),
        completed: timestamp(wire.completed),
    }))
}

fn log(wire: control::VertexLog) -> Option<StatusEvent> {
    Some(StatusEvent::Log(Log {
        vertex: wire.vertex.parse().ok()?,
        timestamp: timestamp(wire.timestamp),
        stream: wire.stream,
        data: wire.msg,
    }))
}

fn warning(wire: control::VertexWarning) -> Option<StatusEvent> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    Some(StatusEvent::Warning(Warning {
        vertex: wire.vertex.parse().ok()?,
        level: wire.level,
        short: text(&wire.short),
        detail: wire.detail.iter().map(text).collect(),
        url: wire.url,
        source: wire.info.map(SourceFile::from_wire),
        lines: lines(&wire.ranges),
    }))
}

fn timestamp(wire: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    wire.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn splits_a_message_in_order_and_drops_what_has_no_digest() {
        let message = control::StatusResponse {
            vertexes: vec![
                control::Vertex {
                    digest: digest(1).to_string(),
                    inputs: vec![digest(2).to_string()],
                    name: "[1/2] RUN true".into(),
                    started: Some(prost_types::Timestamp { seconds: 5, nanos: 7 }),
                    completed: Some(prost_types::Timestamp { seconds: 6, nanos: 0 }),
                    error: "exit 1".into(),
                    ..Default::default()
                },
                control::Vertex { digest: "random:x".into(), ..Default::default() },
            ],
            logs: vec![control::VertexLog {
                vertex: digest(1).to_string(),
                stream: 2,
                msg: Bytes::from_static(b"no\n"),
                ..Default::default()
            }],
            ..Default::default()
        };
        let seen: Vec<_> = events(message).collect();
        assert_eq!(seen.len(), 3);
        let StatusEvent::Vertex(vertex) = &seen[0] else { panic!("{seen:?}") };
        assert_eq!((vertex.completed, vertex.error.as_deref()), (None, None));
        let StatusEvent::Vertex(vertex) = &seen[2] else { panic!("{seen:?}") };
        assert_eq!(vertex.inputs, [digest(2)]);
        assert_eq!(vertex.started, Some(Timestamp::new(5, 7).unwrap()));
        assert_eq!(vertex.completed, Some(Timestamp::new(6, 0).unwrap()));
        assert_eq!(vertex.error.as_deref(), Some("exit 1"));
        let StatusEvent::Log(log) = &seen[1] else { panic!("{seen:?}") };
        assert_eq!((log.stream, &log.data[..]), (2, &b"no\n"[..]));
    }

    #[test]
    fn a_vertex_that_ended_without_news_is_told_of_once() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let vertex = |byte, completed| control::Vertex {
            digest: digest(byte).to_string(),
            started: at(5),
            completed,
            ..Default::default()
        };
        let message = control::StatusResponse {
            vertexes: vec![vertex(1, at(6)), vertex(2, at(6)), vertex(3, None)],
            statuses: vec![control::VertexStatus {
                vertex: digest(2).to_string(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let seen: Vec<_> = events(message)
            .map(|event| match &event {
                StatusEvent::Vertex(vertex) => (event.vertex(), vertex.completed.is_some()),
                _ => (event.vertex(), false),
            })
            .collect();
        let expected = [(1, true), (2, false), (3, false), (2, false), (2, true)];
        assert_eq!(seen, expected.map(|(byte, ended)| (digest(byte), ended)));
    }

    #[test]
    fn reads_a_range_without_an_end_as_one_line() {
        let at = |line| Some(pb::Position { line, character: 0 });
        let ranges = [
            pb::Range { start: at(3), end: at(0) },
            pb::Range { start: at(4), end: at(6) },
            pb::Range { start: None, end: None },
        ];
        assert_eq!(lines(&ranges), [(3, 3), (4, 6), (0, 0)]);
    }
}
