//! Progress as lines, in the format that `docker buildx build --progress=plain` made familiar.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::View;
use super::board::{Board, LogTail, Step, seconds_between};
use crate::engine::status::{Log, Progress, StatusEvent, VertexStatus, Warning};
use crate::oci::digest::Digest;

/// Writes one line after the other.
pub struct Plain<W> {
    out: W,
    /// The step that the last line was about.
    current: Option<usize>,
    logs: BTreeMap<Digest, LogTail>,
    ended: BTreeSet<Digest>,
    parts: BTreeSet<(Digest, String)>,
}

impl<W: Write + Send> Plain<W> {
    /// A view that writes to `out`.
    pub const fn new(out: W) -> Self {
        Self {
            out,
            current: None,
            logs: BTreeMap::new(),
            ended: BTreeSet::new(),
            parts: BTreeSet::new(),
        }
    }

    /// Writes a line about a step, under its name where the line before was about another one.
    fn line(&mut self, step: &Step, text: std::fmt::Arguments<'_>) {
        // Progress that cannot be shown must not end the build.
        let _ = self.switch_to(step).and_then(|()| writeln!(self.out, "#{} {text}", step.number));
    }

    fn switch_to(&mut self, step: &Step) -> std::io::Result<()> {
        if self.current == Some(step.number) {
            return Ok(());
        }
        if self.current.is_some() {
            writeln!(self.out)?;
        }
        self.current = Some(step.number);
        writeln!(self.out, "#{} {}", step.number, step.name)
    }

    fn vertex(&mut self, step: &Step, vertex: &VertexStatus) {
        if step.number == 0 {
            return;
        }
        if vertex.completed.is_none() {
            // The daemon goes through some vertices more than once; once is enough to read.
            if !self.ended.contains(&step.digest) {
                let _ = self.switch_to(step);
            }
            return;
        }
        if !self.ended.insert(step.digest) {
            return;
        }
        if let Some(line) = self.logs.get_mut(&step.digest).and_then(LogTail::flush) {
            self.line(step, format_args!("{line}"));
        }
        // What is fetched for a step that a cache has is told of as if the step had run.
        let is_cached = vertex.cached || step.cached && step.error.is_none();
        match (&vertex.error, is_cached) {
            (Some(error), _) if error.ends_with("context canceled") => {
                self.line(step, format_args!("CANCELED"));
            }
            (Some(error), _) => self.line(step, format_args!("ERROR: {error}")),
            (None, true) => self.line(step, format_args!("CACHED")),
            (None, false) => {
                let seconds = vertex
                    .started
                    .zip(vertex.completed)
                    .map_or(0.0, |(from, to)| seconds_between(from, to));
                self.line(step, format_args!("DONE {seconds:.1}s"));
            }
        }
    }

    /// Parts are named when they end, so that a long download does not fill the log.
    fn progress(&mut self, step: &Step, progress: &Progress) {
        let key = (progress.vertex, progress.id.clone());
        if step.number == 0 || progress.completed.is_none() || !self.parts.insert(key) {
            return;
        }
        let name = if progress.name.is_empty() { &progress.id } else { &progress.name };
        let seconds =
            progress.started.zip(progress.completed).map(|(from, to)| seconds_between(from, to));
        let took = seconds.map_or(String::new(), |seconds| format!(" {seconds:.1}s"));
        match (progress.current, progress.total) {
            (0, 0) => self.line(step, format_args!("{name}{took} done")),
            (current, 0) => self.line(step, format_args!("{name} {}{took} done", bytes(current))),
            (current, total) => {
                let (current, total) = (bytes(current), bytes(total));
                self.line(step, format_args!("{name} {current} / {total}{took} done"));
            }
        }
    }

    fn log(&mut self, step: &Step, log: &Log) {
        let seconds =
            step.started.zip(log.timestamp).map_or(0.0, |(from, to)| seconds_between(from, to));
        let lines = self.logs.entry(log.vertex).or_default().push(&log.data);
        for line in lines {
            self.line(step, format_args!("{seconds:.3} {line}"));
        }
    }

    fn warning(&mut self, warning: &Warning) {
        let at = warning
            .source
            .as_ref()
            .zip(warning.lines.first())
            .map_or(String::new(), |(source, (line, _))| format!(" ({}:{line})", source.name));
        let _ = writeln!(self.out, "\nWARN: {}{at}", warning.short);
        self.current = None;
    }
}

impl<W: Write + Send> View for Plain<W> {
    fn event(&mut self, board: &Board, event: &StatusEvent) {
        match event {
            StatusEvent::Vertex(vertex) => {
                if let Some(step) = board.step(vertex.digest) {
                    self.vertex(step, vertex);
                }
            }
            StatusEvent::Progress(progress) => {
                if let Some(step) = board.step(progress.vertex) {
                    self.progress(step, progress);
                }
            }
            StatusEvent::Log(log) => {
                if let Some(step) = board.step(log.vertex) {
                    self.log(step, log);
                }
            }
            StatusEvent::Warning(warning) => self.warning(warning),
        }
    }

    fn note(&mut self, _: &Board, line: &str) {
        let gap = if self.current.take().is_some() { "\n" } else { "" };
        let _ = writeln!(self.out, "{gap}{line}");
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn finish(&mut self, board: &Board, failed: bool) {
        if failed {
            let _ = write_failures(&mut self.out, board);
        }
        let _ = self.out.flush();
    }
}

/// Writes the end of the output of every step that failed.
///
/// # Errors
///
/// Whatever `out` answers.
pub fn write_failures(out: &mut impl Write, board: &Board) -> std::io::Result<()> {
    for step in board.failed().filter(|step| step.log.lines().next().is_some()) {
        writeln!(out, "------\n > {}:", step.name)?;
        for line in step.log.lines() {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "------")?;
    }
    Ok(())
}

/// A number of bytes for people, in decimal units as BuildKit prints them.
#[must_use]
pub fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = count as f64;
    if value < 1000.0 {
        return format!("{count}B");
    }
    let mut unit = "B";
    for next in UNITS {
        if value < 999.995 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.2}{unit}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(milliseconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millisecond(milliseconds).unwrap())
    }

    fn vertex(byte: u8, name: &str, started: i64, completed: Option<i64>) -> VertexStatus {
        VertexStatus {
            digest: Digest::from_bytes([byte; 32]),
            inputs: Vec::new(),
            name: name.into(),
            cached: false,
            started: at(started),
            completed: completed.and_then(at),
            error: None,
            group: None,
        }
    }

    fn log(byte: u8, time: i64, data: &'static str) -> StatusEvent {
        StatusEvent::Log(Log {
            vertex: Digest::from_bytes([byte; 32]),
            timestamp: at(time),
            stream: 1,
            data: data.into(),
        })
    }

    fn shown(events: Vec<StatusEvent>, failed: bool) -> String {
        let mut board = Board::new();
        let mut text = Vec::new();
        let mut plain = Plain::new(&mut text);
        for event in events {
            board.record(&event);
            plain.event(&board, &event);
        }
        plain.finish(&board, failed);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn two_steps_at_once_are_told_apart() {
        let cached = VertexStatus { cached: true, ..vertex(2, "[b 1/1] COPY x", 0, Some(0)) };
        let text = shown(
            vec![
                StatusEvent::Vertex(vertex(1, "[a 1/1] RUN x", 0, None)),
                log(1, 50, "hello\nwor"),
                StatusEvent::Vertex(cached),
                log(1, 70, "ld\n"),
                StatusEvent::Vertex(vertex(1, "[a 1/1] RUN x", 0, Some(1200))),
            ],
            false,
        );
        let expected = "#1 [a 1/1] RUN x\n#1 0.050 hello\n\n#2 [b 1/1] COPY x\n#2 CACHED\n\n\
                        #1 [a 1/1] RUN x\n#1 0.070 world\n#1 DONE 1.2s\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_fetched_for_a_cached_step_does_not_make_it_one_that_ran() {
        let cached =
            |completed| VertexStatus { cached: true, ..vertex(1, "[a 1/1] RUN x", 0, completed) };
        let text = shown(
            vec![
                StatusEvent::Vertex(cached(None)),
                StatusEvent::Vertex(vertex(1, "[a 1/1] RUN x", 0, Some(700))),
                StatusEvent::Vertex(cached(Some(800))),
            ],
            false,
        );
        assert_eq!(text, "#1 [a 1/1] RUN x\n#1 CACHED\n");
    }

    #[test]
    fn a_failed_step_shows_the_end_of_its_output_again() {
        let failed = VertexStatus {
            error: Some("exit code: 1".into()),
            ..vertex(1, "RUN false", 0, Some(10))
        };
        let stopped = VertexStatus {
            error: Some("context canceled".into()),
            ..vertex(2, "RUN sleep", 0, Some(10))
        };
        let text = shown(
            vec![
                StatusEvent::Vertex(vertex(1, "RUN false", 0, None)),
                log(1, 5, "no such thing\n"),
                StatusEvent::Vertex(failed),
                StatusEvent::Vertex(stopped),
            ],
            true,
        );
        let expected = "#1 RUN false\n#1 0.005 no such thing\n#1 ERROR: exit code: 1\n\n\
                        #2 RUN sleep\n#2 CANCELED\n------\n > RUN false:\nno such thing\n------\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn bytes_are_decimal() {
        let texts = [0, 999, 1000, 999_999, 12_345_678].map(bytes);
        assert_eq!(texts, ["0B", "999B", "1.00kB", "1.00MB", "12.35MB"]);
    }
}
