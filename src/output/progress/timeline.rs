//! When each step of a build ran: as JSON, or as a chart in SVG or HTML.
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::Phase;
use super::board::{Board, Step, seconds_between};
use crate::oci::digest::Digest;

/// Starts and ends of every step, in the order of starting.
#[derive(Debug)]
pub struct Timeline<'a> {
    spans: Vec<Span<'a>>,
    phases: &'a [Phase],
}

/// One step that has started.
#[derive(Clone, Debug, Serialize)]
pub struct Span<'a> {
    /// Digest of the step's vertex.
    pub digest: Digest,
    /// The step's name.
    pub name: &'a str,
    /// Digests of the vertices whose results it takes.
    pub inputs: &'a [Digest],
    /// When it started.
    pub started: Timestamp,
    /// When it ended; absent when the build stopped before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Why it ran again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'a str>,
}

impl<'a> Span<'a> {
    fn of(step: &'a Step) -> Option<Self> {
        Some(Self {
            digest: step.digest,
            name: &step.name,
            inputs: &step.inputs,
            started: step.started?,
            completed: step.completed,
            cached: step.cached,
            error: step.error.as_deref(),
            cause: step.cause.as_deref(),
        })
    }

    /// How long it ran, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.completed.map_or(0.0, |completed| seconds_between(self.started, completed))
    }
}

impl<'a> Timeline<'a> {
    /// The timeline of the steps on `board`, and of what kitwright did itself.
    #[must_use]
    pub fn of(board: &'a Board, phases: &'a [Phase]) -> Self {
        let mut spans: Vec<Span<'_>> = board.steps().iter().filter_map(Span::of).collect();
        spans.sort_by_key(|span| (span.started, span.name));
        Self { spans, phases }
    }

    /// The steps in the order of starting.
    #[must_use]
    pub fn spans(&self) -> &[Span<'a>] {
        &self.spans
    }

    /// Renders for a file of this name: `.svg` and `.html` are charts, all else is JSON.
    #[must_use]
    pub fn render(&self, path: &Path) -> String {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => self.svg(),
            Some("html" | "htm") => format!(
                "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Build timeline</title>\n{}",
                self.svg()
            ),
            _ => self.json(),
        }
    }

    fn json(&self) -> String {
        let document =
            serde_json::json!({ "version": 1, "phases": self.phases, "steps": self.spans() });
        format!("{document:#}\n")
    }

    /// A bar for each step, below the one that started before it.
    fn svg(&self) -> String {
        const ROW: usize = 18;
        const LABEL: f64 = 420.0;
        const CHART: f64 = 760.0;
        let spans = self.spans();
        let start = spans.iter().map(|span| span.started).min().unwrap_or_default();
        let end = spans.iter().filter_map(|span| span.completed).max().unwrap_or(start);
        let total = seconds_between(start, end).max(0.001);
        let height = (spans.len() + 2) * ROW;
        let width = LABEL + CHART + 20.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui,sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"4\" y=\"13\" font-weight=\"bold\">{} steps in {total:.2} s</text>\n",
            spans.len()
        );
        for (row, span) in spans.iter().enumerate() {
            let y = (row + 1) * ROW;
            let x = LABEL + seconds_between(start, span.started) / total * CHART;
            let bar = (span.seconds() / total * CHART).max(1.5);
            let color = match (&span.error, span.cached) {
                (Some(_), _) => "#d1242f",
                (None, true) => "#8c959f",
                (None, false) => "#0969da",
            };
            let (name, short) = (escaped(span.name), escaped(&shortened(span.name, 66)));
            let seconds = span.seconds();
            let text = y + 13;
            let top = y + 3;
            // The chart must not depend on how the writer answers: a String always takes it.
            let _ = writeln!(
                svg,
                "<g><title>{name}: {seconds:.3} s</title><text x=\"4\" y=\"{text}\">{short}</text>\
                 <rect x=\"{x:.1}\" y=\"{top}\" width=\"{bar:.1}\" height=\"12\" rx=\"2\" \
                 fill=\"{color}\"/></g>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::engine::status::{StatusEvent, VertexStatus};

    fn span(byte: u8, name: &str, from: i64, to: i64) -> StatusEvent {
        let at = |time| Some(Timestamp::from_millisecond(time).unwrap());
        StatusEvent::Vertex(VertexStatus {
            digest: Digest::from_bytes([byte; 32]),
            inputs: Vec::new(),
            name: name.into(),
            cached: false,
            started: at(from),
            completed: at(to),
            error: None,
            group: None,
        })
    }

    #[test]
    fn spans_are_in_the_order_of_starting() {
        let mut board = Board::new();
        board.record(&span(1, "second <&>", 500, 900));
        board.record(&span(2, "first", 0, 1000));
        board.explain(Digest::from_bytes([1; 32]), "evicted".into());
        let timeline = Timeline::of(&board, &[]);
        let names: Vec<_> = timeline.spans().iter().map(|span| span.name).collect();
        assert_eq!(names, ["first", "second <&>"]);
        let svg = timeline.render(Path::new("x.svg"));
        assert!(svg.contains("2 steps in 1.00 s"), "{svg}");
        assert!(svg.contains("second &lt;&amp;&gt;: 0.400 s"), "{svg}");
        let json: serde_json::Value =
            serde_json::from_str(&timeline.render(Path::new("x"))).unwrap();
        assert_eq!(json["steps"][1]["name"], "second <&>");
        assert_eq!(
            (&json["steps"][0]["cause"], &json["steps"][1]["cause"]),
            (&Value::Null, &"evicted".into())
        );
    }
}
