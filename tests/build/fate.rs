//! What became of each step of a build, as the engine tells it, and what was predicted of it.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::kit::Project;
use crate::support::engine::{self, Engine};

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ran,
    Cached,
    Untouched,
    /// It has no inputs: the engine shows it as begun when it asks for its key.
    Source,
}

/// The fate of every step that is an instruction, by its name.
pub(crate) type Fates = BTreeMap<String, Fate>;

/// A prediction against what happened.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) right: usize,
    pub(crate) open: usize,
    pub(crate) wrong: Vec<String>,
}

impl Score {
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.open += other.open;
        self.wrong.extend(other.wrong);
    }
}

/// Long enough for a cache's probe on a busy machine: one that is left out serves nothing.
const PATIENT: &str = "--cache-timeout=60s";

pub(crate) fn fresh_engine() -> Engine {
    engine::start(engine::Options::default()).expect("an engine")
}

impl Project {
    /// The context of the base image, as flags.
    pub(crate) fn base_flags(&self) -> [String; 2] {
        [
            "--build-context".into(),
            format!("busybox=oci-layout://{}:latest", self.base.layout.display()),
        ]
    }

    /// Builds on `engine` and tells what became of each step.
    pub(crate) fn fates(&self, engine: &Engine, args: &[&str]) -> Fates {
        let base = self.base_flags();
        let mut all = vec!["build", ".", "--progress=rawjson", PATIENT, &base[0], &base[1]];
        all.extend(args);
        let ended = self.with_env(&all, &[("BUILDKIT_HOST", &engine.address)]).ok();
        fates(&ended.stderr)
    }

    /// What `kitwright plan` says of each step: its state, and the whole document.
    pub(crate) fn planned(&self, args: &[&str]) -> (BTreeMap<String, String>, Value) {
        let base = self.base_flags();
        let mut all = vec!["plan", ".", "--format=json", PATIENT, &base[0], &base[1]];
        all.extend(args);
        let ended = self.kitwright(&all).ok();
        let plan: Value = serde_json::from_str(&ended.stdout).expect("a JSON document");
        let mut states = BTreeMap::new();
        for platform in plan["platforms"].as_array().expect("platforms") {
            for step in platform["steps"].as_array().expect("steps") {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                states.insert(text(&step["name"]), text(&step["cache"]["state"]));
            }
        }
        (states, plan)
    }
}

fn fates(stream: &str) -> Fates {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let (mut started, mut cached) = (BTreeSet::new(), BTreeSet::new());
    let mut based = BTreeSet::new();
    for line in stream.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).expect(line);
        for vertex in event["vertexes"].as_array().into_iter().flatten() {
            let digest = vertex["digest"].as_str().unwrap_or_default().to_owned();
            names.insert(digest.clone(), vertex["name"].as_str().unwrap_or_default().to_owned());
            if vertex["inputs"].is_array() {
                based.insert(digest.clone());
            }
            if vertex["started"].is_string() {
                started.insert(digest.clone());
            }
            if vertex["cached"].as_bool() == Some(true) {
                cached.insert(digest);
            }
        }
    }
    let fate = |digest: &String| match (cached.contains(digest), started.contains(digest)) {
        _ if !based.contains(digest) => Fate::Source,
        (true, _) => Fate::Cached,
        (false, true) => Fate::Ran,
        (false, false) => Fate::Untouched,
    };
    // A download has the name of the step that copies it.
    let mut fates = Fates::new();
    for (digest, name) in &names {
        let fate = fate(digest);
        if fate != Fate::Source || !fates.contains_key(name) {
            fates.insert(name.clone(), fate);
        }
    }
    fates
}

/// Holds a prediction against what happened.
pub(crate) fn compare(planned: &BTreeMap<String, String>, fates: &Fates) -> Score {
    let mut score = Score::default();
    for (name, state) in planned {
        let fate = fates.get(name).copied().unwrap_or(Fate::Untouched);
        match (state.as_str(), fate) {
            ("source", _) | (_, Fate::Source) => {}
            ("served", Fate::Cached) | ("runs", Fate::Ran) => score.right += 1,
            // What lies below a served step is not looked at, or shown as cached along with it.
            ("not-needed", Fate::Cached | Fate::Untouched) => score.right += 1,
            ("may-run", _) => score.open += 1,
            _ => score.wrong.push(format!("`{name}`: planned {state}, happened {fate:?}")),
        }
    }
    score
}
