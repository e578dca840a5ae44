//! What is known of every step of a build.
use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::engine::status::{Log, Progress, StatusEvent, VertexStatus};
use crate::oci::digest::Digest;

/// How many lines of a step's output are kept to be shown when it fails.
const KEPT_LINES: usize = 30;
/// A line longer than this is cut where it is kept.
const KEPT_LINE_BYTES: usize = 4096;

/// Every step that the daemon has announced, in the order it first started.
#[derive(Debug, Default)]
pub struct Board {
    steps: Vec<Step>,
    by_vertex: BTreeMap<Digest, usize>,
    announced: usize,
}

/// One vertex as people see it.
#[derive(Debug)]
pub struct Step {
    /// Its number in the output, counted from 1 in the order of starting; 0 before it starts.
    pub number: usize,
    /// Its digest.
    pub digest: Digest,
    /// Its whole name, e.g. `[go 2/4] RUN go install tool`.
    pub name: String,
    /// Digests of the vertices whose results it takes.
    pub inputs: Vec<Digest>,
    /// When it first started.
    pub started: Option<Timestamp>,
    /// When it last ended.
    pub completed: Option<Timestamp>,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it ran again, where that is known.
    pub cause: Option<String>,
    /// Parts with a progress of their own, such as layers, in the order of their ids.
    pub parts: BTreeMap<String, Part>,
    /// The end of its output.
    pub log: LogTail,
}

/// A part of a step that tells how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// For people.
    pub name: String,
    /// Done: bytes.
    pub current: i64,
    /// To do: bytes; zero when not known.
    pub total: i64,
    /// Whether it has ended.
    pub completed: bool,
}

/// The last lines that a step wrote.
#[derive(Debug, Default)]
pub struct LogTail {
    lines: VecDeque<String>,
    unfinished: Vec<u8>,
}

impl LogTail {
    /// Takes in bytes as written and returns the lines that they complete.
    pub fn push(&mut self, data: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if self.unfinished.ends_with(b"\n") {
                complete.push(self.take_line());
            }
        }
        if self.unfinished.len() > KEPT_LINE_BYTES * 16 {
            complete.push(self.take_line());
        }
        complete
    }

    /// Ends a last line that has no newline.
    pub fn flush(&mut self) -> Option<String> {
        (!self.unfinished.is_empty()).then(|| self.take_line())
    }

    fn take_line(&mut self) -> String {
        let bytes = std::mem::take(&mut self.unfinished);
        let text = String::from_utf8_lossy(&bytes);
        // A carriage return within a line overwrites it, as progress bars do.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or_default().to_owned();
        let mut kept = text.clone();
        kept.truncate(kept.floor_char_boundary(KEPT_LINE_BYTES));
        self.lines.push_back(kept);
        if self.lines.len() > KEPT_LINES {
            self.lines.pop_front();
        }
        text
    }

    /// The kept lines, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

impl Step {
    fn new(vertex: &VertexStatus) -> Self {
        Self {
            number: 0,
            digest: vertex.digest,
            name: vertex.name.clone(),
            inputs: vertex.inputs.clone(),
            started: None,
            completed: None,
            cached: false,
            error: None,
            cause: None,
            parts: BTreeMap::new(),
            log: LogTail::default(),
        }
    }

    /// Whether it has started and not ended.
    #[must_use]
    pub const fn running(&self) -> bool {
        self.started.is_some() && self.completed.is_none()
    }

    /// The seconds from its start to its end, or to `now`.
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> f64 {
        let Some(started) = self.started else { return 0.0 };
        seconds_between(started, self.completed.unwrap_or(now))
    }

    /// Splits a name such as `[go 2/4] RUN x` into stage (`go 2/4`) and the rest.
    #[must_use]
    pub fn stage_and_text(&self) -> (Option<&str>, &str) {
        let split = self.name.strip_prefix('[').and_then(|name| name.split_once("] "));
        split.map_or((None, &self.name), |(stage, text)| (Some(stage), text))
    }
}

/// The seconds between two times, not below zero.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

impl Board {
    /// A board on which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what the daemon sent.
    pub fn record(&mut self, event: &StatusEvent) {
        match event {
            StatusEvent::Vertex(vertex) => self.vertex(vertex),
            StatusEvent::Progress(progress) => self.progress(progress),
            StatusEvent::Log(log) => self.log(log),
            StatusEvent::Warning(_) => {}
        }
    }

    fn vertex(&mut self, vertex: &VertexStatus) {
        let at = *self.by_vertex.entry(vertex.digest).or_insert_with(|| {
            self.steps.push(Step::new(vertex));
            self.steps.len() - 1
        });
        let step = &mut self.steps[at];
        if step.number == 0 && (vertex.started.is_some() || vertex.cached) {
            self.announced += 1;
            step.number = self.announced;
        }
        step.started = step.started.or(vertex.started);
        step.completed = vertex.completed;
        step.cached |= vertex.cached;
        if vertex.error.is_some() {
            step.error.clone_from(&vertex.error);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let Some(step) = self.step_mut(progress.vertex) else { return };
        let name = if progress.name.is_empty() { &progress.id } else { &progress.name };
        let part = Part {
            name: name.clone(),
            current: progress.current,
            total: progress.total,
            completed: progress.completed.is_some(),
        };
        step.parts.insert(progress.id.clone(), part);
    }

    fn log(&mut self, log: &Log) {
        if let Some(step) = self.step_mut(log.vertex) {
            step.log.push(&log.data);
        }
    }

    /// Notes why a step ran again.
    pub fn explain(&mut self, step: Digest, cause: String) {
        if let Some(step) = self.step_mut(step) {
            step.cause = Some(cause);
        }
    }

    fn step_mut(&mut self, digest: Digest) -> Option<&mut Step> {
        let at = *self.by_vertex.get(&digest)?;
        self.steps.get_mut(at)
    }

    /// The step of a vertex.
    #[must_use]
    pub fn step(&self, digest: Digest) -> Option<&Step> {
        self.steps.get(*self.by_vertex.get(&digest)?)
    }

    /// Every step, in the order of announcement.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps that failed for a reason of their own, not because the build was stopped.
    pub fn failed(&self) -> impl Iterator<Item = &Step> {
        let own = |error: &String| !error.contains("context canceled");
        self.steps.iter().filter(move |step| step.error.as_ref().is_some_and(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_newlines_and_carriage_returns_overwrite() {
        let mut log = LogTail::default();
        assert_eq!(log.push(b"one\ntw"), ["one"]);
        assert_eq!(log.push(b"o\n 10%\r 20%\r\nlast"), ["two", " 20%"]);
        assert_eq!(log.flush().as_deref(), Some("last"));
        assert_eq!(log.flush(), None);
        assert_eq!(log.lines().collect::<Vec<_>>(), ["one", "two", " 20%", "last"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_cut() {
        let mut log = LogTail::default();
        for number in 0..100 {
            log.push(format!("{number}\n").as_bytes());
        }
        log.push("ä".repeat(KEPT_LINE_BYTES).as_bytes());
        log.flush();
        assert_eq!(log.lines().count(), KEPT_LINES);
        assert_eq!(log.lines().last().map(str::len), Some(KEPT_LINE_BYTES));
    }

    #[test]
    fn a_step_is_numbered_when_it_starts() {
        let vertex = |byte, started| {
            StatusEvent::Vertex(VertexStatus {
                digest: Digest::from_bytes([byte; 32]),
                inputs: Vec::new(),
                name: "[go 1/2] FROM x".into(),
                cached: false,
                started,
                completed: None,
                error: None,
                group: None,
            })
        };
        let mut board = Board::new();
        board.record(&vertex(1, None));
        board.record(&vertex(2, Some(Timestamp::UNIX_EPOCH)));
        board.record(&vertex(1, Some(Timestamp::UNIX_EPOCH)));
        let numbers: Vec<_> = board.steps().iter().map(|step| step.number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(board.steps()[0].stage_and_text(), (Some("go 1/2"), "FROM x"));
    }
}
