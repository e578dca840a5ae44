//! Where the time of a build went, from the status messages that every client writes with
//! `--progress=rawjson`.
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::sample::Steps;

/// What a build did when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Seconds by phase. Phases overlap: cache export runs beside image export, steps beside the
    /// transfer of the context. Together they cover all of the time from the client's start to its end.
    pub phases: BTreeMap<String, f64>,
    /// The longest chain of vertices that had to wait for each other, in seconds.
    pub critical_path: Option<f64>,
    /// The vertices of that chain that took longest, longest first.
    pub chain: Vec<(String, f64)>,
    /// Steps that ran, and those that the cache had.
    pub steps: Steps,
}

/// The phase in which the image is exported.
pub const IMAGE_EXPORT: &str = "image export";

/// The phase in which an engine is started, by the client or for it.
pub const BOOT: &str = "boot";

/// The names of all phases, in their usual order.
pub const PHASES: [&str; 11] = [
    Phase::Boot.name(),
    Phase::Plan.name(),
    Phase::Probe.name(),
    Phase::Submit.name(),
    Phase::Import.name(),
    Phase::Context.name(),
    Phase::Steps.name(),
    Phase::ImageExport.name(),
    Phase::CacheExport.name(),
    Phase::LookUp.name(),
    Phase::End.name(),
];

/// A part of a build that is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Boot,
    Plan,
    Probe,
    Submit,
    Import,
    Context,
    Steps,
    ImageExport,
    CacheExport,
    LookUp,
    End,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Boot => BOOT,
            Self::Plan => "plan",
            Self::Probe => "probe",
            Self::Submit => "submit",
            Self::Import => "import",
            Self::Context => "context",
            Self::Steps => "steps",
            Self::ImageExport => IMAGE_EXPORT,
            Self::CacheExport => "cache export",
            Self::LookUp => "look-up",
            Self::End => "end",
        }
    }

    /// The phase of a vertex of this name.
    fn of(name: &str) -> Self {
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        if begins(&["importing cache"]) {
            Self::Import
        } else if begins(&[
            "exporting cache",
            "exporting to GitHub Actions Cache",
            "preparing build cache",
        ]) {
            Self::CacheExport
        } else if begins(&[
            "exporting",
            "pushing",
            "sending tarball",
            "copying files",
            "importing to",
        ]) {
            Self::ImageExport
        } else if begins(&["[internal] load build context", "[context "])
            || name.ends_with("load from client")
        {
            Self::Context
        } else if begins(&["[internal]", "resolve image config"]) {
            Self::Plan
        } else {
            Self::Steps
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    vertexes: Vec<Message>,
    /// Kitwright's own work, which only it tells.
    #[serde(default)]
    phases: Vec<Own>,
}

#[derive(Deserialize)]
struct Own {
    name: String,
    started: Timestamp,
    completed: Timestamp,
}

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

#[derive(Debug, Default)]
struct Vertex {
    name: String,
    inputs: Vec<String>,
    cached: bool,
    /// When it worked, by start: a vertex rests while it waits for others.
    intervals: BTreeMap<Timestamp, Option<Timestamp>>,
}

impl Vertex {
    fn intervals(&self) -> impl Iterator<Item = (f64, f64)> {
        let ended = |(from, to): (&Timestamp, &Option<Timestamp>)| {
            to.map(|to| (seconds(*from), seconds(to)))
        };
        self.intervals.iter().filter_map(ended)
    }

    fn duration(&self) -> f64 {
        covered(self.intervals().collect())
    }
}

/// Reads the log of a client that ran from `began` to `ended`, in seconds since 1970.
///
/// Lines that are no status message are passed over: clients write others between them.
#[must_use]
pub fn read(log: &str, began: f64, ended: f64) -> Trace {
    let (vertices, own) = messages(log);
    let mut intervals: BTreeMap<Phase, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut first, mut last) = (ended, began);
    for vertex in vertices.values() {
        for (from, to) in vertex.intervals() {
            (first, last) = (first.min(from), last.max(to));
            intervals.entry(Phase::of(&vertex.name)).or_default().push((from, to));
        }
    }
    let first = first.max(began);
    let mut busy = began;
    for one in &own {
        let phase = match one.name.as_str() {
            BOOT => Phase::Boot,
            "probe" => Phase::Probe,
            _ => Phase::Plan,
        };
        // Planning begins with the process.
        let from = if phase == Phase::Plan { began } else { seconds(one.started) };
        busy = busy.max(seconds(one.completed));
        intervals.entry(phase).or_default().push((from, seconds(one.completed)));
    }
    // Of other clients nobody knows what they do before the engine starts to work.
    let before = if own.is_empty() { Phase::Plan } else { Phase::Submit };
    intervals.entry(before).or_default().push((busy, first.max(busy)));
    if last > began {
        intervals.entry(Phase::End).or_default().push((last, ended.max(last)));
    }
    let untold = uncovered(intervals.values().flatten().copied().collect());
    if !untold.is_empty() {
        intervals.insert(Phase::LookUp, untold);
    }
    let phases = intervals.into_iter().map(|(phase, all)| (phase.name().to_owned(), covered(all)));
    let (critical_path, chain) = critical_path(&vertices);
    let worked =
        |vertex: &&Vertex| !vertex.intervals.is_empty() && Phase::of(&vertex.name) == Phase::Steps;
    Trace {
        phases: phases.collect(),
        critical_path,
        chain,
        steps: Steps {
            ran: vertices.values().filter(worked).filter(|vertex| !vertex.cached).count(),
            cached: vertices.values().filter(worked).filter(|vertex| vertex.cached).count(),
        },
    }
}

fn messages(log: &str) -> (BTreeMap<String, Vertex>, Vec<Own>) {
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

/// The longest way through the graph, and what is longest on it.
fn critical_path(vertices: &BTreeMap<String, Vertex>) -> (Option<f64>, Vec<(String, f64)>) {
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

/// The stretches between the intervals that none of them covers.
///
/// The engine announces a vertex's work, not how it finds out whether there is any: between two of them it looks
/// results up in its caches, above all.
fn uncovered(mut intervals: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    intervals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = Vec::new();
    let mut intervals = intervals.into_iter();
    let Some((_, mut until)) = intervals.next() else { return found };
    for (from, to) in intervals {
        if from > until {
            found.push((until, from));
        }
        until = until.max(to);
    }
    found
}

/// How much time the intervals cover together.
fn covered(mut intervals: Vec<(f64, f64)>) -> f64 {
    intervals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut total, mut until) = (0.0, f64::NEG_INFINITY);
    for (from, to) in intervals {
        total += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    total
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are below 2^52")]
fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(digest: &str, inputs: &[&str], name: &str, from: &str, to: &str) -> String {
        let at = |time: &str| format!("2026-01-02T03:04:{time}Z");
        serde_json::json!({"vertexes": [{
            "digest": digest, "inputs": inputs, "name": name, "started": at(from),
            "completed": at(to),
        }]})
        .to_string()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn phases_and_the_critical_path_are_found() {
        let log = [
            "# not a message".to_owned(),
            vertex("a", &[], "[internal] load build context", "01", "03"),
            vertex("b", &[], "docker-image://x", "02", "04"),
            vertex("c", &["a", "b"], "[2/3] RUN one", "04", "09"),
            // The second interval of a vertex that waited.
            vertex("c", &["a", "b"], "[2/3] RUN one", "09.5", "10"),
            vertex("d", &["b"], "[2/2] RUN other", "05", "06"),
            vertex("e", &[], "exporting to image", "10", "12"),
            vertex("f", &[], "exporting cache to registry", "11", "14"),
        ]
        .join("\n");
        let base = seconds("2026-01-02T03:04:00Z".parse().unwrap());
        let trace = read(&log, base, base + 15.0);
        let expected = [
            ("plan", 1.0),
            ("context", 2.0),
            ("steps", 7.5),
            ("image export", 2.0),
            ("cache export", 3.0),
            ("look-up", 0.5),
            ("end", 1.0),
        ];
        for (phase, length) in expected {
            assert!(near(trace.phases[phase], length), "{phase}: {:?}", trace.phases);
        }
        assert_eq!(trace.phases.len(), expected.len());
        assert!(near(trace.critical_path.unwrap(), 7.5), "{trace:?}");
        assert_eq!(trace.chain[0].0, "[2/3] RUN one");
        assert_eq!(trace.steps, Steps { ran: 3, cached: 0 });
    }

    #[test]
    fn kitwright_tells_its_own_part() {
        let phase = |name: &str, from: &str, to: &str| {
            let at = |time: &str| format!("2026-01-02T03:04:{time}Z");
            serde_json::json!({"phases": [{"name": name, "started": at(from), "completed": at(to)}]})
                .to_string()
        };
        let log = [
            phase("plan", "00.5", "02"),
            phase("boot", "01", "04"),
            phase("probe", "04", "04.5"),
            vertex("a", &[], "[1/1] RUN x", "05", "06"),
        ];
        let base = seconds("2026-01-02T03:04:00Z".parse().unwrap());
        let phases = read(&log.join("\n"), base, base + 6.0).phases;
        let expected =
            [("plan", 2.0), ("boot", 3.0), ("probe", 0.5), ("submit", 0.5), ("steps", 1.0)];
        for (phase, length) in expected {
            assert!(near(phases[phase], length), "{phase}: {phases:?}");
        }
    }

    #[test]
    fn what_no_vertex_tells_is_told_all_the_same() {
        let log = [
            vertex("a", &[], "[1/3] RUN x", "01", "02"),
            vertex("b", &["a"], "[2/3] RUN y", "04", "08"),
            // Within another, and right after it.
            vertex("c", &[], "[1/1] RUN z", "05", "06"),
            vertex("d", &["b"], "[3/3] RUN x", "08", "08"),
            vertex("e", &["d"], "exporting to image", "08.5", "09"),
        ];
        let base = seconds("2026-01-02T03:04:00Z".parse().unwrap());
        let phases = read(&log.join("\n"), base, base + 10.0).phases;
        assert!(near(phases["look-up"], 2.5), "{phases:?}");
        // Nothing overlaps but c, which is a step as b is: all of the ten seconds are told.
        assert!(near(phases.values().sum(), 10.0), "{phases:?}");
    }

    #[test]
    fn a_long_chain_and_a_log_without_messages_are_no_problem() {
        let log: Vec<String> = (0..30_000)
            .map(|n| vertex(&format!("{n}"), &[&format!("{}", n + 1)], "x", "01", "01.001"))
            .collect();
        let trace = read(&log.join("\n"), 0.0, 1.0);
        assert!((trace.critical_path.unwrap() - 30.0).abs() < 0.1, "{:?}", trace.critical_path);
        assert_eq!(read("nothing", 1.0, 3.0).phases["plan"], 2.0);
    }
}
