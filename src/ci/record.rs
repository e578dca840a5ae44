//! What a build left behind for people: its steps with their times, and its warnings.
//!
//! Read from `kitwright build --timeline FILE.json`, or from the JSON lines that `--progress=rawjson`
//! writes, kitwright's or `docker buildx`'s; and the image from `--metadata-file`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Classified, Fault};

/// The steps and warnings of one build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The steps in the order of starting.
    pub steps: Vec<Step>,
    /// What the engine warned of.
    pub warnings: Vec<Warning>,
}

/// One step of a build.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    /// Its digest.
    pub digest: String,
    /// Its name, such as `[go 2/4] RUN go version`.
    pub name: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Whether its result came from the cache.
    #[serde(default)]
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it ran again, where the build could tell.
    pub cause: Option<String>,
}

/// A warning about lines of the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it says.
    pub message: String,
    /// First and last line, from 1.
    pub lines: Option<(u32, u32)>,
}

/// The image that a build published, as its metadata file names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The manifest's or index's digest.
    #[serde(rename = "containerimage.digest")]
    pub digest: Option<String>,
    /// The references it was published under, divided by commas.
    #[serde(rename = "image.name")]
    pub name: Option<String>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is none of the kinds that a build writes.
    #[error("cannot parse `{}` as {kind}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Classified for RecordError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Step {
    /// How long it ran, in seconds; nothing from the cache takes time.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match (self.started, self.completed) {
            (Some(started), Some(completed)) if !self.cached => {
                completed.duration_since(started).as_secs_f64().max(0.0)
            }
            _ => 0.0,
        }
    }

    /// Whether people would call it a step: the engine's own housekeeping is none.
    #[must_use]
    pub fn is_instruction(&self) -> bool {
        self.name.starts_with('[') && !self.name.starts_with("[internal]")
    }
}

impl Record {
    /// Reads a timeline or a progress file.
    ///
    /// # Errors
    ///
    /// A [`RecordError`] that names the file.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let text = read(path)?;
        Self::parse(&text).map_err(|source| RecordError::Parse {
            path: path.to_owned(),
            kind: "a build's timeline or `rawjson` progress",
            source,
        })
    }

    /// Reads the text of a timeline or of progress.
    ///
    /// # Errors
    ///
    /// Where and why it is neither.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Timeline {
            steps: Vec<Step>,
        }
        if let Ok(timeline) = serde_json::from_str::<Timeline>(text) {
            return Ok(Self { steps: timeline.steps, warnings: Vec::new() });
        }
        let mut progress = Progress::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            progress.take(&serde_json::from_str(line)?);
        }
        Ok(progress.finish())
    }

    /// The time from the first start to the last end, in seconds.
    #[must_use]
    pub fn wall_seconds(&self) -> f64 {
        let start = self.steps.iter().filter_map(|step| step.started).min();
        let end = self.steps.iter().filter_map(|step| step.completed).max();
        match (start, end) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs_f64().max(0.0),
            _ => 0.0,
        }
    }
}

impl Metadata {
    /// Reads a metadata file; without one there is nothing to say.
    ///
    /// # Errors
    ///
    /// A [`RecordError`] that names the file.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let text = read(path)?;
        serde_json::from_str(&text).map_err(|source| RecordError::Parse {
            path: path.to_owned(),
            kind: "a build's metadata",
            source,
        })
    }
}

fn read(path: &Path) -> Result<String, RecordError> {
    fs_err::read_to_string(path)
        .map_err(|source| RecordError::Read { path: path.to_owned(), source })
}

/// Puts together what progress lines say bit by bit.
#[derive(Default)]
struct Progress {
    steps: BTreeMap<String, Step>,
    warnings: Vec<Warning>,
}

impl Progress {
    fn take(&mut self, status: &Value) {
        let items = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
        for vertex in items("vertexes") {
            let Ok(seen) = serde_json::from_value::<Step>(vertex.clone()) else { continue };
            match self.steps.get_mut(&seen.digest) {
                Some(step) => {
                    step.started = step.started.or(seen.started);
                    step.completed = seen.completed.or(step.completed);
                    step.cached |= seen.cached;
                    step.error = seen.error.or_else(|| step.error.take());
                }
                None => drop(self.steps.insert(seen.digest.clone(), seen)),
            }
        }
        self.warnings.extend(items("warnings").filter_map(warning));
    }

    fn finish(self) -> Record {
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        steps.retain(|step| step.started.is_some());
        steps.sort_by(|a, b| (a.started, &a.name).cmp(&(b.started, &b.name)));
        Record { steps, warnings: self.warnings }
    }
}

fn warning(value: &Value) -> Option<Warning> {
    let text = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let mut message = text(value.get("short")?)?;
    for detail in value.get("detail").and_then(Value::as_array).into_iter().flatten() {
        message.push('\n');
        message.push_str(&text(detail)?);
    }
    let line = |range: &Value, end: &str| {
        u32::try_from(range.get(end)?.get("line")?.as_u64()?).ok().filter(|line| *line > 0)
    };
    let range = value.get("range").and_then(|ranges| ranges.get(0));
    let lines = range.and_then(|range| Some((line(range, "start")?, line(range, "end")?)));
    Some(Warning { message, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_and_progress_lines_tell_the_same() {
        let timeline = r#"{"version": 1, "steps": [
            {"digest": "sha256:a", "name": "[go 1/2] RUN a", "inputs": [],
             "started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:02.5Z",
             "cached": false}]}"#;
        let lines = r#"{"vertexes":[{"digest":"sha256:a","name":"[go 1/2] RUN a"}]}
            {"vertexes":[{"digest":"sha256:a","name":"[go 1/2] RUN a","started":"2026-01-01T00:00:00Z"}]}
            {"vertexes":[{"digest":"sha256:a","name":"[go 1/2] RUN a","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:02.5Z"}]}
            {"statuses":[{"id":"x"}]}"#;
        let record = Record::parse(timeline).unwrap();
        assert_eq!(Record::parse(lines).unwrap(), record);
        assert!((record.wall_seconds() - 2.5).abs() < 1e-9);
        assert!((record.steps[0].seconds() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn warnings_keep_their_lines() {
        let line = format!(
            r#"{{"warnings":[{{"short":"{}","detail":["{}"],"range":[{{"start":{{"line":3}},"end":{{"line":4}}}}]}}]}}"#,
            STANDARD.encode("short"),
            STANDARD.encode("long")
        );
        let warnings = Record::parse(&line).unwrap().warnings;
        assert_eq!(warnings, [Warning { message: "short\nlong".into(), lines: Some((3, 4)) }]);
    }

    #[test]
    fn a_step_from_the_cache_takes_no_time() {
        let timeline = r#"{"steps": [{"digest": "sha256:a", "name": "[1/1] RUN a", "cached": true,
            "started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:02Z"}]}"#;
        let record = Record::parse(timeline).unwrap();
        assert!(record.steps[0].seconds().abs() < 1e-9);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert!(Record::parse("# not JSON").is_err());
    }
}
