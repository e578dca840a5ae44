//! Where the time of a build went, from the status messages that every client writes with
//! `--progress=rawjson`.
mod critical_path;
mod log;
mod phase;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::sample::Steps;
use critical_path::critical_path;
use log::{Vertex, messages};
use phase::Phase;

pub use phase::{BOOT, IMAGE_EXPORT, PHASES};

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
