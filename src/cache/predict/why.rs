//! Why a step runs though there are caches.
use super::super::keys::{self, Key, Root, StepKey};
use super::lookup::{Known, Lookup};
use super::{Contained, Needed, Outcome, Prediction, Step, inputs};

/// Why a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No cache was given that can be read.
    NoCache,
    /// The build is told not to ask for it.
    Ignored,
    /// The step itself is new: no cache has it on any input.
    New,
    /// An input is not what any cache has the step on; the index of the input's step.
    Input(usize),
    /// The files that it reads of a directory are not those of any cache; the directory's name.
    Files(String),
    /// The files cannot be digested; the directory's name and the reason.
    Unreadable(String, String),
    /// A cache has its key, but kept no result for it.
    KeyOnly,
    /// A cache has it on another version of a step than an earlier cache; the index of that step.
    Rival(usize),
    /// Its key cannot be computed.
    UnknownKey,
}

/// Finds the first cause in the order of what a reader can act on.
pub(super) fn why(
    at: usize,
    steps: &[StepKey],
    lookups: &[(usize, Lookup<'_>)],
    contents: &Contained,
) -> Why {
    let step = &steps[at];
    if step.ignore_cache {
        return Why::Ignored;
    }
    if lookups.is_empty() {
        return Why::NoCache;
    }
    let Key::Op { digest, .. } = &step.key else { return Why::UnknownKey };
    if lookups.iter().any(|(_, lookup)| lookup.find(at) == Known::KeyOnly) {
        return Why::KeyOnly;
    }
    let record = keys::record(digest, 0);
    if !lookups.iter().any(|(_, lookup)| lookup.has_digest(&record)) {
        return Why::New;
    }
    let mut files = None;
    for (position, input) in inputs(&step.key).iter().enumerate() {
        if let Key::Root(Root::Local(directory)) = &steps[input.step].key {
            files.get_or_insert(match contents.get(&(at, position)) {
                Some(Err(reason)) => Why::Unreadable(directory.name.clone(), reason.clone()),
                _ => Why::Files(directory.name.clone()),
            });
        } else if !lookups.iter().any(|(_, lookup)| lookup.knows(input.step, input.output)) {
            return Why::Input(input.step);
        }
    }
    files.unwrap_or(Why::New)
}

impl Prediction {
    /// What happens to a step, in words for people.
    #[must_use]
    pub fn tell(&self, step: &Step) -> String {
        let name = |by: &usize| self.refs.get(*by).map_or("a cache", String::as_str);
        match &step.outcome {
            Outcome::Source => "source".to_owned(),
            _ if step.needed == Needed::No => "not needed".to_owned(),
            Outcome::Served { by, .. } => format!("served by {}", name(by)),
            Outcome::Open { by, input } => format!(
                "may run: {} has it if what it reads of `{}` is what it was",
                name(by),
                self.name(*input)
            ),
            Outcome::Runs(why) if step.needed == Needed::Maybe => {
                format!("may run: {}", self.reason(why))
            }
            Outcome::Runs(why) => format!("runs: {}", self.reason(why)),
        }
    }

    fn reason(&self, why: &Why) -> String {
        match why {
            Why::NoCache => "no cache can be read".to_owned(),
            Why::Ignored => "the cache is not to be used for it".to_owned(),
            Why::New => "no cache has this step".to_owned(),
            Why::Input(input) => format!("no cache has it on this `{}`", self.name(*input)),
            Why::Files(directory) => format!("files of `{directory}` that it reads have changed"),
            Why::Unreadable(directory, reason) => {
                format!("files of `{directory}` that it reads are not known: {reason}")
            }
            Why::KeyOnly => "the caches know the step but kept no result of it".to_owned(),
            Why::Rival(step) => format!(
                "a later cache has it on another `{}` than an earlier cache",
                self.name(*step)
            ),
            Why::UnknownKey => "its key cannot be computed".to_owned(),
        }
    }

    fn name(&self, step: usize) -> &str {
        match self.steps.get(step).map(|step| step.name.as_str()) {
            None | Some("") => "an unnamed step",
            Some(name) => name,
        }
    }
}
