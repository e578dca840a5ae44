//! A live view of a build on a terminal.
//!
//! Steps that have ended scroll away upwards, one line each; below them a region is drawn anew ten
//! times a second: the totals, and each running step with its stage, its time and the last line that
//! it wrote.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::View;
use super::board::{Board, Part, Step, seconds_between};
use super::plain::{bytes, write_failures};
use crate::engine::status::StatusEvent;
use crate::oci::digest::Digest;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const STAGE_WIDTH: usize = 14;
/// Colors that stages are told apart by: SGR parameters.
const STAGE_COLORS: [&str; 6] = ["36", "35", "33", "34", "32", "96"];

/// The live view.
pub struct Tty<W> {
    out: W,
    title: String,
    color: bool,
    size: fn() -> (usize, usize),
    began: Timestamp,
    /// Lines of the live region that stand on the screen now.
    drawn: usize,
    frame: usize,
    printed: BTreeSet<Digest>,
}

impl<W: Write + Send> Tty<W> {
    /// A view on the terminal `out`; `title` says what is built, `size` tells columns and rows.
    pub fn new(out: W, title: String, color: bool, size: fn() -> (usize, usize)) -> Self {
        let began = Timestamp::now();
        Self { out, title, color, size, began, drawn: 0, frame: 0, printed: BTreeSet::new() }
    }

    fn paint(&self, sgr: &str, text: &str) -> String {
        if self.color { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Replaces the live region by `above`, which stays, and a new live region.
    fn redraw(&mut self, above: &str, live: &[String]) {
        let mut frame = String::from("\x1b[?2026h");
        if self.drawn > 0 {
            let _ = write!(frame, "\x1b[{}A", self.drawn);
        }
        frame.push_str("\r\x1b[J");
        frame.push_str(above);
        for line in live {
            frame.push_str(line);
            frame.push('\n');
        }
        frame.push_str("\x1b[?2026l");
        self.drawn = live.len();
        // Progress that cannot be shown must not end the build.
        let _ = self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush());
    }

    fn live(&self, board: &Board, now: Timestamp) -> Vec<String> {
        let (columns, rows) = (self.size)();
        let mut lines = vec![self.header(board, now, columns)];
        let mut running: Vec<&Step> = board.steps().iter().filter(|step| step.running()).collect();
        running.sort_by_key(|step| step.number);
        let room = rows.saturating_sub(3).max(2);
        let with_output = running.len() * 2 <= room;
        for step in running.iter().take(room) {
            lines.push(self.step_line(step, self.spinner(), "36", step.seconds(now), columns));
            if with_output && let Some(detail) = detail(step) {
                let indent = " ".repeat(STAGE_WIDTH + 4);
                let text = fitted(&detail, columns.saturating_sub(STAGE_WIDTH + 7));
                lines.push(format!("{indent}{}", self.paint("2", &format!("│ {text}"))));
            }
        }
        if running.len() > room {
            lines.push(format!("   … and {} more", running.len() - room));
        }
        lines
    }

    fn header(&self, board: &Board, now: Timestamp, columns: usize) -> String {
        let done = board.steps().iter().filter(|step| step.completed.is_some()).count();
        let cached = board.steps().iter().filter(|step| step.cached).count();
        let total = board.steps().len();
        let elapsed = duration(seconds_between(self.began, now));
        let cached = if cached > 0 { format!(" · {cached} cached") } else { String::new() };
        let counts = format!("{elapsed} · {done}/{total} steps{cached}");
        let bar = bar(done, total, 20);
        let title = fitted(&self.title, columns.saturating_sub(counts.width() + 28));
        format!("{} {} {bar} {}", self.spinner(), self.paint("1", &title), self.paint("2", &counts))
    }

    fn spinner(&self) -> &'static str {
        SPINNER[self.frame % SPINNER.len()]
    }

    fn step_line(
        &self,
        step: &Step,
        mark: &str,
        sgr: &str,
        seconds: f64,
        columns: usize,
    ) -> String {
        let (stage, text) = step.stage_and_text();
        let stage = stage.unwrap_or_default();
        let name = stage.split(' ').next().unwrap_or_default();
        let hue = name.bytes().fold(0_usize, |sum, byte| sum * 31 + usize::from(byte));
        let color = STAGE_COLORS[hue % STAGE_COLORS.len()];
        let time = if step.cached { "cached".to_owned() } else { duration(seconds) };
        let stage = padded(&fitted(stage, STAGE_WIDTH), STAGE_WIDTH);
        let width = columns.saturating_sub(STAGE_WIDTH + 14).max(10);
        let text = padded(&fitted(&one_line(text), width), width);
        format!(
            " {} {} {text} {:>8}",
            self.paint(sgr, mark),
            self.paint(color, &stage),
            self.paint("2", &format!("{time:>8}"))
        )
    }

    fn ended(&mut self, step: &Step, now: Timestamp) -> String {
        let (columns, _) = (self.size)();
        let (mark, sgr) = match (&step.error, step.cached) {
            (Some(error), _) if error.contains("context canceled") => ("○", "2"),
            (Some(_), _) => ("✗", "31"),
            (None, true) => ("●", "2"),
            (None, false) => ("✓", "32"),
        };
        format!("{}\n", self.step_line(step, mark, sgr, step.seconds(now), columns))
    }

    /// The lines of the steps that have ended since they were last printed.
    fn newly_ended(&mut self, board: &Board, now: Timestamp) -> String {
        let mut above = String::new();
        let mut ended: Vec<&Step> = board
            .steps()
            .iter()
            .filter(|step| step.completed.is_some() && !self.printed.contains(&step.digest))
            .collect();
        ended.sort_by_key(|step| (step.completed, step.number));
        for step in ended {
            self.printed.insert(step.digest);
            above.push_str(&self.ended(step, now));
        }
        above
    }
}

impl<W: Write + Send> View for Tty<W> {
    fn event(&mut self, _: &Board, event: &StatusEvent) {
        if let StatusEvent::Warning(warning) = event {
            let line = format!("{}\n", self.paint("33", &format!(" ! {}", warning.short)));
            self.redraw(&line, &[]);
        }
    }

    fn tick(&mut self, board: &Board) {
        let now = Timestamp::now();
        self.frame += 1;
        let above = self.newly_ended(board, now);
        let live = self.live(board, now);
        self.redraw(&above, &live);
    }

    fn note(&mut self, _: &Board, line: &str) {
        let line = format!("{}\n", self.paint("2", &format!(" · {line}")));
        self.redraw(&line, &[]);
    }

    fn finish(&mut self, board: &Board, failed: bool) {
        let now = Timestamp::now();
        let mut above = self.newly_ended(board, now);
        let cached = board.steps().iter().filter(|step| step.cached).count();
        let (mark, sgr, verb) =
            if failed { ("✗", "31", "failed") } else { ("✓", "32", "built") };
        let _ = writeln!(
            above,
            "{} {} {verb} in {}: {} steps, {cached} cached",
            self.paint(sgr, mark),
            self.paint("1", &self.title),
            duration(seconds_between(self.began, now)),
            board.steps().len(),
        );
        self.redraw(&above, &[]);
        if failed {
            let _ = write_failures(&mut self.out, board);
        }
        let _ = self.out.flush();
    }
}

/// What a running step does now: its transfers, else the last line it wrote.
fn detail(step: &Step) -> Option<String> {
    let open = |part: &&Part| !part.completed && part.total > 0;
    let parts: Vec<&Part> = step.parts.values().filter(open).collect();
    if parts.is_empty() {
        let counting = step.parts.values().rfind(|part| !part.completed);
        let line = step.log.lines().rev().find(|line| !line.trim().is_empty());
        return line
            .map(one_line)
            .or_else(|| counting.map(|part| format!("{} {}", part.name, bytes(part.current))));
    }
    let current: i64 = parts.iter().map(|part| part.current).sum();
    let total: i64 = parts.iter().map(|part| part.total).sum();
    let done = usize::try_from(current * 100 / total.max(1)).unwrap_or(0);
    let what =
        if parts.len() == 1 { parts[0].name.clone() } else { format!("{} parts", parts.len()) };
    Some(format!("{} {} / {}  {what}", bar(done, 100, 12), bytes(current), bytes(total)))
}

fn bar(done: usize, total: usize, width: usize) -> String {
    let full = (done * width).checked_div(total).unwrap_or(0).min(width);
    format!("{}{}", "━".repeat(full), "┄".repeat(width - full))
}

/// Makes text safe for one line of a terminal: control characters, which could be escape sequences
/// from a step's output, become spaces.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Cuts text to `width` columns.
fn fitted(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are small")]
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::status::{Log, VertexStatus};

    fn vertex(byte: u8, name: &str, completed: bool, cached: bool) -> StatusEvent {
        StatusEvent::Vertex(VertexStatus {
            digest: Digest::from_bytes([byte; 32]),
            inputs: Vec::new(),
            name: name.into(),
            cached,
            started: Some(Timestamp::UNIX_EPOCH),
            completed: completed.then_some(Timestamp::UNIX_EPOCH),
            error: None,
            group: None,
        })
    }

    #[test]
    fn ended_steps_scroll_away_and_running_ones_stay_below() {
        let mut board = Board::new();
        let mut text = Vec::new();
        let mut tty = Tty::new(&mut text, "ci:dev".into(), false, || (70, 10));
        board.record(&vertex(1, "[go 1/2] FROM x", true, true));
        board.record(&vertex(2, "[go 2/2] RUN make\tall", false, false));
        board.record(&StatusEvent::Log(Log {
            vertex: Digest::from_bytes([2; 32]),
            timestamp: None,
            stream: 1,
            data: "compiling \x1b[31mred\n".into(),
        }));
        tty.tick(&board);
        assert_eq!(tty.drawn, 3);
        tty.finish(&board, false);
        let text = String::from_utf8(text).unwrap();
        let (first, second) = text.split_once("\x1b[3A").expect("the region is drawn over");
        assert!(first.contains(" ● go 1/2         FROM x"), "{first:?}");
        assert!(first.contains("│ compiling  [31mred"), "{first:?}");
        assert!(first.contains("RUN make all"), "{first:?}");
        assert!(first.contains("1/2 steps · 1 cached"), "{first:?}");
        assert!(!second.contains("go 1/2"), "{second:?}");
        assert!(second.contains("✓ ci:dev built in"), "{second:?}");
    }

    #[test]
    fn text_is_cut_by_columns_not_characters() {
        assert_eq!(fitted("日本語", 6), "日本語");
        assert_eq!(fitted("日本語", 5), "日本…");
        assert_eq!(padded("日", 4), "日  ");
        assert_eq!(duration(61.5), "1m01s");
        assert_eq!(duration(3720.0), "1h02m");
    }
}
