//! Progress as JSON lines in the shape of BuildKit's `client.SolveStatus`, as
//! `docker buildx build --progress=rawjson` writes it.
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::board::Board;
use super::{Phase, View};
use crate::engine::status::{Log, Progress, StatusEvent, VertexStatus, Warning};

/// Writes one JSON object a line.
pub struct RawJson<W> {
    out: W,
}

impl<W: Write + Send> RawJson<W> {
    /// A view that writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> View for RawJson<W> {
    fn event(&mut self, _: &Board, event: &StatusEvent) {
        let (field, value) = match event {
            StatusEvent::Vertex(status) => ("vertexes", vertex(status)),
            StatusEvent::Progress(status) => ("statuses", progress(status)),
            StatusEvent::Log(status) => ("logs", log(status)),
            StatusEvent::Warning(status) => ("warnings", warning(status)),
        };
        let mut line = Map::new();
        line.insert(field.to_owned(), Value::Array(vec![value]));
        let _ = writeln!(self.out, "{}", Value::Object(line));
    }

    fn note(&mut self, _: &Board, line: &str) {
        let _ = writeln!(self.out, "{}", json!({ "notes": [line] }));
    }

    fn phase(&mut self, phase: &Phase) {
        let _ = writeln!(self.out, "{}", json!({ "phases": [phase] }));
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn finish(&mut self, _: &Board, _: bool) {
        let _ = self.out.flush();
    }
}

/// Leaves out what is not set, as Go's `omitempty` does.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

fn vertex(status: &VertexStatus) -> Value {
    without_nulls(json!({
        "digest": status.digest,
        "inputs": (!status.inputs.is_empty()).then_some(&status.inputs),
        "name": status.name,
        "started": status.started,
        "completed": status.completed,
        "cached": status.cached.then_some(true),
        "error": status.error,
    }))
}

fn progress(status: &Progress) -> Value {
    without_nulls(json!({
        "id": status.id,
        "vertex": status.vertex,
        "name": (!status.name.is_empty()).then_some(&status.name),
        "total": (status.total != 0).then_some(status.total),
        "current": status.current,
        "timestamp": status.timestamp,
        "started": status.started,
        "completed": status.completed,
    }))
}

fn log(status: &Log) -> Value {
    without_nulls(json!({
        "vertex": status.vertex,
        "stream": status.stream,
        "data": STANDARD.encode(&status.data),
        "timestamp": status.timestamp,
    }))
}

fn warning(status: &Warning) -> Value {
    let ranges: Vec<Value> = status
        .lines
        .iter()
        .map(|(first, last)| json!({ "start": { "line": first }, "end": { "line": last } }))
        .collect();
    without_nulls(json!({
        "vertex": status.vertex,
        "level": status.level,
        "short": STANDARD.encode(&status.short),
        "detail": status.detail.iter().map(|line| STANDARD.encode(line)).collect::<Vec<_>>(),
        "url": (!status.url.is_empty()).then_some(&status.url),
        "range": ranges,
    }))
}
