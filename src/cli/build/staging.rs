//! Caches in an order that holds: what an earlier one serves is loaded before a later one is asked.
//!
//! See [`Prediction::imports`](crate::cache::predict::Prediction::imports). A build whose caches are
//! needed one after the other is opened as a gateway build: each early stage is a solve of its own,
//! with one cache, and the whole definition comes last.
use std::collections::BTreeSet;

use buildkit_rs_proto::pb;
use futures_util::future::try_join_all;

use super::graphs::Graphs;
use crate::cache::hierarchy;
use crate::cache::predict::{Prediction, Stage};
use crate::cache::probe::Answer;
use crate::cli::prediction;
use crate::cli::source::Source;
use crate::engine::failure::SolveError;
use crate::engine::gateway::{Bridge, SolveRef};
use crate::engine::solve::CacheEntry;
use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;

/// Which caches a build asks, and when.
pub(super) struct Staging {
    /// The caches, in order; nothing in place of one that the engine cannot be offered.
    entries: Vec<Option<CacheEntry>>,
    /// What is predicted of each platform; nothing when there is no order to make.
    pub(super) predictions: Vec<Prediction>,
    platforms: Vec<Platform>,
}

/// The stages of one platform.
struct Platform {
    early: Vec<Stage>,
    /// Positions of caches.
    last: Vec<usize>,
}

impl Staging {
    /// Asks all caches at once, as far as they can be used.
    pub(super) fn all(answers: &[Answer]) -> Self {
        Self::flat(answers.iter().filter_map(Answer::entry).cloned())
    }

    /// Asks `entries` at once.
    pub(super) fn flat(entries: impl IntoIterator<Item = CacheEntry>) -> Self {
        let entries = entries.into_iter().map(Some).collect();
        Self { entries, predictions: Vec::new(), platforms: Vec::new() }
    }

    /// The same with the caches as they are offered to the engine, by name.
    pub(super) fn offered<'a>(
        mut self,
        offered: impl Iterator<Item = &'a CacheEntry> + Clone,
    ) -> Self {
        for entry in &mut self.entries {
            let name = entry.as_ref().map(hierarchy::name);
            *entry = offered.clone().find(|one| Some(hierarchy::name(one)) == name).cloned();
        }
        self
    }

    /// Predicts what the caches serve of `compiled`, and asks only those that are needed.
    ///
    /// One cache needs no order, and reading the context for it would cost time: unless somebody
    /// asks to know what will run, it is just asked. What was `predicted` before is taken as it is.
    pub(super) fn of(
        source: &Source,
        compiled: &Compiled,
        answers: &[Answer],
        is_asked: bool,
        predicted: Option<Vec<Prediction>>,
    ) -> Self {
        let mut staging = Self::all(answers);
        if staging.entries.len() > 1 || (is_asked && !staging.entries.is_empty()) {
            let predict = || prediction::of(source, compiled, &prediction::refs(answers));
            staging.predictions = predicted.unwrap_or_else(predict);
        }
        staging.platforms = staging.predictions.iter().map(Platform::of).collect();
        staging
    }

    /// The layers that an engine could read of the cache that people call `name`.
    pub(super) fn layers_of(&self, name: &str) -> impl Iterator<Item = Digest> {
        self.predictions.iter().flat_map(move |prediction| {
            let by = prediction.refs.iter().position(|one| one == name);
            by.into_iter().flat_map(|by| prediction.layers_of(by))
        })
    }

    /// The steps that run or may run, where that is known.
    pub(super) fn expected(&self) -> Option<BTreeSet<Digest>> {
        let expected = self.predictions.iter().flat_map(Prediction::expected_to_run);
        (!self.predictions.is_empty()).then(|| expected.collect())
    }

    /// Whether the steps that are expected to run do so unless the engine has their results.
    pub(super) fn is_certain(&self) -> bool {
        self.entries.is_empty()
            || (!self.predictions.is_empty() && self.predictions.iter().all(Prediction::is_certain))
    }

    /// Whether the build has to be made in several solves.
    pub(super) fn is_staged(&self) -> bool {
        self.platforms.iter().any(|platform| !platform.early.is_empty())
    }

    /// All caches that are asked.
    pub(super) fn imports(&self) -> Vec<CacheEntry> {
        if self.platforms.is_empty() {
            return self.entries.iter().flatten().cloned().collect();
        }
        let stages = self.predictions.iter().flat_map(Prediction::imports);
        let used: BTreeSet<usize> = stages.flat_map(|stage| stage.imports).collect();
        self.named(used)
    }

    /// The caches of a platform's last solve.
    pub(super) fn last(&self, platform: usize) -> Vec<CacheEntry> {
        match self.platforms.get(platform) {
            Some(platform) => self.named(platform.last.iter().copied()),
            None => self.named(0..self.entries.len()),
        }
    }

    /// Loads what the earlier caches serve, one cache after the other.
    ///
    /// # Errors
    ///
    /// [`SolveError`] when a solve fails.
    pub(super) async fn prepare(
        &self,
        bridge: &Bridge,
        compiled: &Compiled,
        graphs: &Graphs,
    ) -> Result<Vec<SolveRef>, SolveError> {
        let mut prepared = Vec::new();
        let rounds = self.platforms.iter().map(|platform| platform.early.len()).max().unwrap_or(0);
        for round in 0..rounds {
            let mut solves = Vec::new();
            for (at, platform) in self.platforms.iter().enumerate() {
                let Some(stage) = platform.early.get(round) else { continue };
                let imports = self.named(stage.imports.iter().copied());
                for part in parts(compiled, at, &stage.vertices) {
                    let (part, imports) = (graphs.of(part), imports.clone());
                    solves.push(async move { bridge.solve(part, &imports, true).await });
                }
            }
            prepared.extend(try_join_all(solves).await?);
        }
        Ok(prepared)
    }

    fn named(&self, imports: impl IntoIterator<Item = usize>) -> Vec<CacheEntry> {
        let imports = imports.into_iter().filter_map(|at| self.entries.get(at));
        imports.flatten().cloned().collect()
    }
}

impl Platform {
    fn of(prediction: &Prediction) -> Self {
        let mut early = prediction.imports();
        let last = early.pop().map(|stage| stage.imports).unwrap_or_default();
        Self { early, last }
    }
}

/// The parts of a platform's definition that make `vertices`.
fn parts(compiled: &Compiled, platform: usize, vertices: &[Digest]) -> Vec<pb::Definition> {
    let definition = compiled.platforms.get(platform).map(|platform| &platform.definition);
    let part = |vertex: &Digest| definition.map(|definition| definition.part(*vertex, 0));
    vertices.iter().filter_map(part).collect()
}
