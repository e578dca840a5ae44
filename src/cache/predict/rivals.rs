//! Results that an earlier cache has in another version.
//!
//! A cache holds a step on what it holds of the steps below: a result of a later cache brings its own
//! versions of these along. Where an earlier cache has one of them in another version, that one is to
//! be in the image, so the later cache's result is not to be used.
use std::collections::BTreeMap;

use super::super::keys::StepKey;
use super::inputs;
use super::lookup::{Known, Lookup};

/// For each cache, the steps whose results rest on a version that lost.
pub(super) struct Rivals(BTreeMap<(usize, usize), usize>);

impl Rivals {
    /// Compares what the caches hold of every step.
    pub(super) fn find(keys: &[StepKey], lookups: &[(usize, Lookup<'_>)]) -> Self {
        let mut rivals = BTreeMap::new();
        if lookups.len() < 2 {
            return Self(rivals);
        }
        let mut lost: BTreeMap<(usize, usize), bool> = BTreeMap::new();
        for (at, step) in keys.iter().enumerate() {
            let mut first: Option<Vec<String>> = None;
            for (by, lookup) in lookups {
                let below = inputs(&step.key).iter().find_map(|input| {
                    let loses = lost.get(&(*by, input.step)).copied().unwrap_or(false);
                    let inherited = || rivals.get(&(*by, input.step)).copied();
                    if loses { Some(input.step) } else { inherited() }
                });
                if let Some(step) = below {
                    rivals.insert((*by, at), step);
                    lost.insert((*by, at), true);
                    continue;
                }
                if let Known::Held { content, .. } = lookup.find(at) {
                    match &first {
                        None => first = Some(content),
                        Some(winner) => drop(lost.insert((*by, at), *winner != content)),
                    }
                }
            }
        }
        Self(rivals)
    }

    /// The step below `at` of which `by` has a version that lost.
    pub(super) fn of(&self, by: usize, at: usize) -> Option<usize> {
        self.0.get(&(by, at)).copied()
    }
}
