//! Where two answers differ, told field by field.
use std::fmt::Write as _;

use base64::Engine as _;
use buildkit_rs_proto::pb;
use prost::Message as _;
use serde_json::Value;

use crate::outcome::{Failure, Outcome, PlatformResult, Vertex, Warning};
use crate::parsing::directive_offset;

/// Numbers of one comparison.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    pub vertices: usize,
    pub equal: usize,
}

/// Compares `ours` with `theirs`; `Err` says what differs.
pub fn compare(ours: &Outcome, theirs: &Outcome) -> (Count, Result<(), String>) {
    let mut count = Count::default();
    for (at, result) in theirs.results.iter().enumerate() {
        count.vertices += result.vertices.len();
        let known = ours.results.get(at).map(|ours| ours.vertices.as_slice()).unwrap_or_default();
        let equal = |vertex: &&Vertex| known.iter().any(|ours| ours.digest == vertex.digest);
        count.equal += result.vertices.iter().filter(equal).count();
    }
    (count, differences(ours, theirs))
}

fn differences(ours: &Outcome, theirs: &Outcome) -> Result<(), String> {
    if ours.forward != theirs.forward {
        return Err(format!("handed on to {:?}, not {:?}", ours.forward, theirs.forward));
    }
    match (&ours.error, &theirs.error) {
        (Some(ours), Some(theirs)) => same_failure(ours, theirs)?,
        (Some(ours), None) => return Err(format!("refused: {} {:?}", ours.message, ours.lines)),
        (None, Some(theirs)) => {
            return Err(format!("not refused: {} {:?}", theirs.message, theirs.lines));
        }
        (None, None) => {}
    }
    if ours.results.len() != theirs.results.len() {
        return Err(format!("{} platforms, not {}", ours.results.len(), theirs.results.len()));
    }
    for (ours, theirs) in ours.results.iter().zip(&theirs.results) {
        same_result(ours, theirs).map_err(|text| format!("{}: {text}", theirs.platform))?;
    }
    // The build of a file with errors stops before all findings are made; which are is up to chance.
    if theirs.error.is_some() {
        return Ok(());
    }
    same_warnings(ours, theirs)
}

/// The lines must be the same; words need not be. Where BuildKit blames no line we may, and where it blames
/// several instructions one of them will do.
fn same_failure(ours: &Failure, theirs: &Failure) -> Result<(), String> {
    if theirs.lines.is_empty() {
        return Ok(());
    }
    let offset = directive_offset(&Value::String(theirs.message.clone()));
    if theirs
        .lines
        .iter()
        .any(|lines| ours.lines.first().is_some_and(|ours| ours[0] == lines[0] + offset))
    {
        return Ok(());
    }
    Err(format!(
        "blames {:?}, not {:?}\n  ours:   {}\n  theirs: {}",
        ours.lines, theirs.lines, ours.message, theirs.message
    ))
}

/// Rules and lines must be the same; words are our own.
fn same_warnings(ours: &Outcome, theirs: &Outcome) -> Result<(), String> {
    let list = |outcome: &Outcome| {
        let rule = |message: &str| {
            let word = message.split(": ").next().unwrap_or_default();
            if word.contains(' ') || !message.ends_with(')') { "error" } else { word }.to_owned()
        };
        let key = |one: &Warning| {
            (rule(&one.message), one.lines.first().copied(), one.lines.last().copied())
        };
        let mut list: Vec<_> = outcome.warnings.iter().map(key).collect();
        list.sort();
        list
    };
    let (mut ours, theirs) = (list(ours), list(theirs));
    // Where BuildKit's error blames no line ours may.
    for (rule, first, last) in &mut ours {
        if rule == "error" && theirs.contains(&("error".to_owned(), None, None)) {
            (*first, *last) = (None, None);
        }
    }
    ours.sort();
    if ours == theirs {
        return Ok(());
    }
    Err(format!("findings differ\n  ours:   {ours:?}\n  theirs: {theirs:?}"))
}

fn same_result(ours: &PlatformResult, theirs: &PlatformResult) -> Result<(), String> {
    if ours.platform != theirs.platform {
        return Err(format!("platform {}", ours.platform));
    }
    for (at, (ours, theirs)) in ours.vertices.iter().zip(&theirs.vertices).enumerate() {
        same_vertex(ours, theirs).map_err(|text| {
            format!(
                "vertex {at} ({}): {text}",
                if theirs.name.is_empty() { &theirs.digest } else { &theirs.name }
            )
        })?;
    }
    if ours.vertices.len() != theirs.vertices.len() {
        return Err(format!("{} vertices, not {}", ours.vertices.len(), theirs.vertices.len()));
    }
    if ours.epoch != theirs.epoch {
        return Err(format!("epoch {:?}, not {:?}", ours.epoch, theirs.epoch));
    }
    if ours.config_digest != theirs.config_digest {
        return Err(format!(
            "the image config differs\n  ours:   {}\n  theirs: {}",
            ours.config, theirs.config
        ));
    }
    Ok(())
}

fn same_vertex(ours: &Vertex, theirs: &Vertex) -> Result<(), String> {
    if ours.digest != theirs.digest {
        return Err(format!("the op differs{}", op_differences(&ours.raw, &theirs.raw)));
    }
    let fields = [
        ("name", ours.name.clone(), theirs.name.clone()),
        ("group", ours.group.clone(), theirs.group.clone()),
        ("no_cache", ours.no_cache.to_string(), theirs.no_cache.to_string()),
        ("lines", format!("{:?}", ours.lines), format!("{:?}", theirs.lines)),
    ];
    for (field, ours, theirs) in fields {
        if ours != theirs {
            return Err(format!("metadata: {field}\n  ours:   {ours}\n  theirs: {theirs}"));
        }
    }
    // Only answers of the running oracle hold the rest.
    if !theirs.raw.is_empty() {
        for field in ["command", "caps"] {
            let (ours, theirs) = (&ours.extra[field], &theirs.extra[field]);
            let nothing = |value: &Value| value.is_null() || value == &serde_json::json!([]);
            if ours != theirs && !(nothing(ours) && nothing(theirs)) {
                return Err(format!("metadata: {field}\n  ours:   {ours}\n  theirs: {theirs}"));
            }
        }
    }
    Ok(())
}

/// The lines in which two ops differ when they are printed; without the raw op, ours alone.
fn op_differences(ours: &str, theirs: &str) -> String {
    let print = |raw: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(raw).unwrap_or_default();
        pb::Op::decode(bytes.as_slice())
            .map_or_else(|error| error.to_string(), |op| format!("{op:#?}"))
    };
    let ours_text = print(ours);
    if theirs.is_empty() {
        return format!("; ours is\n{ours_text}");
    }
    let theirs_text = print(theirs);
    let mut text = String::new();
    let (ours_lines, theirs_lines): (Vec<_>, Vec<_>) =
        (ours_text.lines().collect(), theirs_text.lines().collect());
    for line in ours_lines.iter().filter(|line| !theirs_lines.contains(line)) {
        let _ = write!(text, "\n  ours:   {}", line.trim());
    }
    for line in theirs_lines.iter().filter(|line| !ours_lines.contains(line)) {
        let _ = write!(text, "\n  theirs: {}", line.trim());
    }
    if text.is_empty() {
        let _ = write!(
            text,
            " only in the order or number of fields\n  ours:   {ours}\n  theirs: {theirs}"
        );
    }
    text
}
