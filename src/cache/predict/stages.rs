//! The order in which an engine is to be asked, so that an earlier cache wins.
//!
//! An engine that is given several caches asks all of them at once and takes the newest record. So it
//! is given one at a time: in each stage it loads what one cache is to serve, and what it has loaded
//! in a build it does not look up again.
use std::collections::{BTreeMap, BTreeSet};

use super::{Needed, Outcome, Prediction, Why};
use crate::oci::digest::Digest;

/// One solve of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The caches to import, as indexes into the refs.
    pub imports: Vec<usize>,
    /// The steps to solve; all of the definition in the last stage, where it is empty.
    pub vertices: Vec<Digest>,
}

impl Prediction {
    /// The solves that the build is made of, the last one for all that is left.
    ///
    /// A cache that serves nothing which an earlier one lacks is in none of them. Caches that only the
    /// engine can read come last, and only where the others do not cover the build.
    #[must_use]
    pub fn imports(&self) -> Vec<Stage> {
        let mut served: BTreeMap<usize, Vec<Digest>> = BTreeMap::new();
        let mut open: BTreeSet<usize> = BTreeSet::new();
        let mut has_rivals = false;
        for step in self.steps.iter().filter(|step| step.needed != Needed::No) {
            match step.outcome {
                Outcome::Served { by, .. } => served.entry(by).or_default().push(step.vertex),
                Outcome::Open { by, .. } => drop(open.insert(by)),
                Outcome::Runs(Why::Rival(_)) => has_rivals = true,
                Outcome::Source | Outcome::Runs(_) => {}
            }
        }
        if has_rivals {
            // Whoever is asked at the end could bring back what lost to an earlier cache.
            open.clear();
        } else if !self.is_covered() {
            open.extend(&self.opaque);
        }
        let mut stages: Vec<Stage> = served
            .into_iter()
            .map(|(by, vertices)| Stage { imports: vec![by], vertices })
            .collect();
        match stages.last_mut() {
            // One cache for the rest, and nothing else that could answer for its steps.
            Some(last) if !has_rivals && open.iter().all(|by| last.imports.contains(by)) => {
                last.vertices.clear();
            }
            _ => stages.push(Stage { imports: open.into_iter().collect(), vertices: Vec::new() }),
        }
        stages
    }
}
