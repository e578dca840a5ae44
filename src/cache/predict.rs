//! Which steps of a build its caches serve, before any engine is asked.
//!
//! Input: the cache keys of a definition ([`keys::of`](super::keys::of)), the caches in their order,
//! and what is known of the client's files. Output: a [`Prediction`]: for every step the first cache
//! that holds its result, or why it runs; which caches are needed at all, and in which order they are
//! to be asked so that an earlier one wins ([`Prediction::imports`]).
//!
//! It does what BuildKit's solver does with one cache at a time: a step is known when a record with
//! its digest hangs on records of all its inputs, by their keys or by the content that is read of
//! them. Where the content of an input is not known before it has been made, the answer is that it
//! may run. Pure: nothing is read here.
use std::collections::{BTreeMap, BTreeSet};

use super::config::CacheConfig;
use super::keys::{Key, Root, Selector, StepKey, local};
use crate::oci::digest::Digest;

mod lookup;
mod rivals;
mod stages;
mod why;

use lookup::{Known, Lookup};
use rivals::Rivals;
pub use stages::Stage;
pub use why::Why;

/// A cache in the order of the imports.
#[derive(Clone, Debug)]
pub struct CacheRef<'a> {
    /// What people call it: its reference.
    pub name: String,
    /// What it holds; `None` for a cache that only the engine can read.
    pub config: Option<&'a CacheConfig>,
}

/// Tells the content digest of parts of a client's directory, or why there is none.
pub trait Contents {
    /// The digest of what `selectors` name of the directory.
    ///
    /// # Errors
    ///
    /// A text that says why it is not known.
    fn digest(&self, directory: &local::Request, selectors: &[Selector]) -> Result<Digest, String>;
}

/// What is predicted of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// One entry for each op, in the definition's order.
    pub steps: Vec<Step>,
    /// The names of the caches.
    pub refs: Vec<String>,
    /// The caches that only the engine can read.
    opaque: Vec<usize>,
}

/// What is predicted of one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The op.
    pub vertex: Digest,
    /// What people call it.
    pub name: String,
    /// Whether the build comes to it.
    pub needed: Needed,
    /// What happens when it does.
    pub outcome: Outcome,
    /// The layers of its result in the cache that serves it, with their sizes.
    pub layers: BTreeMap<Digest, u64>,
    /// Where its result is in the cache that serves it; `None` where that is not certain.
    pub place: Option<Place>,
    /// The same of the results that it may turn out to be, by the cache that has them.
    candidates: BTreeMap<usize, BTreeMap<Digest, u64>>,
    /// The ops it uses, as indexes.
    inputs: Vec<usize>,
    /// Whether it uses nothing but first outputs.
    is_first_output: bool,
}

/// Where a cache has a result, as indexes into what the cache lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layers, lowest first.
    pub layers: Vec<usize>,
    /// The records that stand for the step.
    pub records: Vec<usize>,
}

/// Whether a build comes to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// What is built on it is served.
    No,
    /// That depends on content which is not known yet.
    Maybe,
    /// Yes.
    Yes,
}

/// What happens to a step that a build comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A source, or the reference to the result: it is not run.
    Source,
    /// A cache has it.
    Served {
        /// Which, as an index into the refs.
        by: usize,
        /// Whether it was found by the content of files, not by keys alone.
        by_content: bool,
    },
    /// A cache may have it: that depends on what an input will contain.
    Open {
        /// Which, as an index into the refs.
        by: usize,
        /// The input, as an index into the steps.
        input: usize,
    },
    /// It runs.
    Runs(Why),
}

/// Predicts what the caches serve of the steps.
#[must_use]
pub fn predict(keys: &[StepKey], refs: &[CacheRef<'_>], contents: &dyn Contents) -> Prediction {
    let contents = known_contents(keys, contents);
    let readable = refs.iter().enumerate().filter_map(|(at, r)| Some((at, r.config?)));
    let lookups = Lookup::all(readable, keys, &contents);
    let rivals = Rivals::find(keys, &lookups);
    let mut steps: Vec<Step> = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        let mut candidates = BTreeMap::new();
        let found = (&lookups[..], &rivals, &mut candidates);
        let (outcome, layers, place) = outcome(at, keys, &steps, found, &contents);
        steps.push(Step {
            vertex: key.vertex,
            name: key.name.clone(),
            needed: Needed::No,
            outcome,
            layers,
            place,
            candidates,
            inputs: inputs(&key.key).iter().map(|input| input.step).collect(),
            is_first_output: inputs(&key.key).iter().all(|input| input.output == 0),
        });
    }
    mark_needed(&mut steps, keys, &lookups);
    let opaque = refs.iter().enumerate().filter(|(_, r)| r.config.is_none()).map(|(at, _)| at);
    Prediction {
        steps,
        refs: refs.iter().map(|r| r.name.clone()).collect(),
        opaque: opaque.collect(),
    }
}

/// Content digests by step and input, where the input is a directory of the client.
type Contained = BTreeMap<(usize, usize), Result<Digest, String>>;

fn known_contents(keys: &[StepKey], contents: &dyn Contents) -> Contained {
    let mut known = Contained::new();
    for (at, step) in keys.iter().enumerate() {
        for (position, input) in inputs(&step.key).iter().enumerate() {
            if let (Key::Root(Root::Local(directory)), Some(selectors)) =
                (&keys[input.step].key, &input.content)
            {
                known.insert((at, position), contents.digest(directory, selectors));
            }
        }
    }
    known
}

fn inputs(key: &Key) -> &[super::keys::Input] {
    match key {
        Key::Root(_) => &[],
        Key::Op { inputs, .. } | Key::Other { inputs } => inputs,
        Key::Result(input) => std::slice::from_ref(input),
    }
}

/// What happens to a step, given what happens to the `below` ones.
fn outcome(
    at: usize,
    keys: &[StepKey],
    below: &[Step],
    (lookups, rivals, candidates): (
        &[(usize, Lookup<'_>)],
        &Rivals,
        &mut BTreeMap<usize, BTreeMap<Digest, u64>>,
    ),
    contents: &Contained,
) -> (Outcome, BTreeMap<Digest, u64>, Option<Place>) {
    let without_layers = |outcome| (outcome, BTreeMap::new(), None);
    if matches!(keys[at].key, Key::Root(_) | Key::Result(_)) {
        return without_layers(Outcome::Source);
    }
    let mut rival = None;
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (by, lookup) in lookups {
        let known = lookup.find(at);
        if !matches!(known, Known::Held { .. } | Known::Perhaps { .. }) {
            continue;
        }
        if let Some(found) = rivals.of(*by, at) {
            rival = rival.or(Some(found));
            continue;
        }
        match known {
            Known::Held { layers, by_content, place, .. } => {
                return (Outcome::Served { by: *by, by_content }, layers, place);
            }
            Known::Perhaps { input, layers } => {
                candidates.insert(*by, layers);
                open.push((*by, input));
            }
            Known::KeyOnly | Known::Nothing => {}
        }
    }
    // The cache that serves the input knows best what that contains.
    let serves = |(by, input): &&(usize, usize)| {
        let served = below.get(*input).map(|step| &step.outcome);
        matches!(served, Some(Outcome::Served { by: server, .. }) if server == by)
    };
    if let Some((by, input)) = open.iter().find(serves).or(open.first()) {
        return without_layers(Outcome::Open { by: *by, input: *input });
    }
    let why = rival.map_or_else(|| why::why(at, keys, lookups, contents), Why::Rival);
    without_layers(Outcome::Runs(why))
}

/// Walks from the result to what it needs: nothing below a step that is served.
fn mark_needed(steps: &mut [Step], keys: &[StepKey], lookups: &[(usize, Lookup<'_>)]) {
    if let Some(last) = steps.last_mut() {
        last.needed = Needed::Yes;
    }
    for at in (0..steps.len()).rev() {
        let needed = steps[at].needed;
        if needed == Needed::No {
            continue;
        }
        for (position, input) in inputs(&keys[at].key).iter().enumerate() {
            let is_local = matches!(keys[input.step].key, Key::Root(Root::Local(_)));
            let wanted = match &steps[at].outcome {
                Outcome::Source | Outcome::Runs(_) => needed,
                // The files of a directory are sent to be looked at.
                Outcome::Served { by_content: true, .. } if is_local => needed,
                Outcome::Served { .. } => Needed::No,
                Outcome::Open { by, .. } => {
                    let opens = lookups.iter().find(|(r, _)| r == by);
                    match opens.is_some_and(|(_, lookup)| lookup.hangs_on(at, position)) {
                        true => needed,
                        false => Needed::Maybe,
                    }
                }
            };
            let step = &mut steps[input.step];
            step.needed = step.needed.max(wanted);
        }
    }
}

impl Prediction {
    /// The steps that will run, and those that may: what is to be prepared for them.
    #[must_use]
    pub fn expected_to_run(&self) -> BTreeSet<Digest> {
        let runs = |step: &&Step| {
            step.needed != Needed::No
                && matches!(step.outcome, Outcome::Runs(_) | Outcome::Open { .. })
        };
        self.steps.iter().filter(runs).map(|step| step.vertex).collect()
    }

    /// Whether every step is known to run or not to.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let certain = |step: &Step| match step.needed {
            Needed::No => true,
            Needed::Maybe => !matches!(step.outcome, Outcome::Runs(_) | Outcome::Open { .. }),
            Needed::Yes => !matches!(step.outcome, Outcome::Open { .. }),
        };
        self.opaque.is_empty() && self.steps.iter().all(certain)
    }

    /// The cache that serves the result, and where it has that.
    ///
    /// `None` unless both are certain and nothing has to run for it.
    #[must_use]
    pub fn result(&self) -> Option<(usize, &Place)> {
        let [.., last] = &self.steps[..] else { return None };
        let [head] = last.inputs[..] else { return None };
        let step = self.steps.get(head).filter(|_| last.is_first_output && self.is_covered())?;
        match (&step.outcome, &step.place) {
            (Outcome::Served { by, .. }, Some(place)) => Some((*by, place)),
            _ => None,
        }
    }

    /// Whether a step runs whatever the files of directories contain; asked of a prediction without them.
    #[must_use]
    pub fn surely_runs(&self) -> bool {
        let runs =
            |step: &Step| step.needed == Needed::Yes && matches!(step.outcome, Outcome::Runs(_));
        self.steps.iter().any(runs)
    }

    /// Whether the caches hold everything that the result needs.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.expected_to_run().is_empty()
    }

    /// The layers that an engine could read of the cache `by`: those of what it serves, and may serve.
    pub fn layers_of(&self, by: usize) -> impl Iterator<Item = Digest> {
        let needed = self.steps.iter().filter(|step| step.needed != Needed::No);
        needed.flat_map(move |step| {
            let layers = match &step.outcome {
                Outcome::Served { by: server, .. } if *server == by => Some(&step.layers),
                Outcome::Open { .. } => step.candidates.get(&by),
                _ => None,
            };
            layers.into_iter().flat_map(|layers| layers.keys().copied())
        })
    }

    /// The bytes of layers that steps which run or may run read.
    ///
    /// Layers of a result that is only passed on to a registry stay where they are.
    #[must_use]
    pub fn pulled(&self) -> u64 {
        let runs = self.expected_to_run();
        let users = self.steps.iter().filter(|step| runs.contains(&step.vertex));
        let read: BTreeSet<usize> = users.flat_map(|step| step.inputs.iter().copied()).collect();
        let layers = read.iter().flat_map(|at| &self.steps[*at].layers);
        layers.collect::<BTreeMap<_, _>>().values().copied().sum()
    }
}

#[cfg(test)]
mod tests;
