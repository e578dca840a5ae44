//! One cache, asked for all steps of a definition.
use std::collections::{BTreeMap, BTreeSet};

use super::super::config::{CacheConfig, Record, Stored, UNCOMPRESSED};
use super::super::keys::{self, Input, Key, Root, StepKey};
use super::{Contained, Place};
use crate::oci::digest::Digest;
use crate::oci::manifest::Descriptor;

/// What a cache knows of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its result.
    Held {
        /// The layers of the result.
        layers: BTreeMap<Digest, u64>,
        /// What the layers contain, lowest first, however they are compressed.
        content: Vec<String>,
        /// Whether the content of files was needed to find it.
        by_content: bool,
        /// Where in the cache it is; `None` when the cache has the step with other layers too.
        place: Option<Place>,
    },
    /// Its result, if the input has the content that it had.
    Perhaps {
        /// The input, as an index into the steps.
        input: usize,
        /// The layers of the newest result that it could be.
        layers: BTreeMap<Digest, u64>,
    },
    /// Its key alone.
    KeyOnly,
    /// Nothing.
    Nothing,
}

/// The records that stand for an output of a step.
#[derive(Clone, Debug, Default)]
struct Found {
    /// Those that are sure.
    sure: BTreeSet<usize>,
    /// Those that could turn out to be, the sure ones among them.
    perhaps: BTreeSet<usize>,
    /// Whether all sure ones were found by content.
    by_content: bool,
    /// The positions of the inputs whose content decides, and their steps.
    open: Vec<(usize, usize)>,
    /// An input of which it is open what it is.
    undecided: Option<usize>,
}

/// A cache's records, and what they say of each step.
pub(super) struct Lookup<'a> {
    config: &'a CacheConfig,
    by_digest: BTreeMap<Digest, Vec<usize>>,
    /// Records by what they hang on: the record, which input it is, and the selector.
    users: BTreeMap<(usize, usize, &'a str), Vec<usize>>,
    /// By step and output.
    found: BTreeMap<(usize, i64), Found>,
}

impl<'a> Lookup<'a> {
    /// Asks all `configs` for the steps.
    ///
    /// A step that one of them serves is not looked into any further, so nothing about it is open in
    /// the others either.
    pub(super) fn all(
        configs: impl Iterator<Item = (usize, &'a CacheConfig)>,
        steps: &[StepKey],
        contents: &Contained,
    ) -> Vec<(usize, Self)> {
        let mut lookups: Vec<(usize, Self)> =
            configs.map(|(by, config)| (by, Self::new(config))).collect();
        let mut outputs: BTreeSet<(usize, i64)> = (0..steps.len()).map(|at| (at, 0)).collect();
        let used = steps.iter().flat_map(|step| super::inputs(&step.key));
        outputs.extend(used.map(|input| (input.step, input.output)));
        for (at, output) in outputs {
            for (_, lookup) in &mut lookups {
                let found = lookup.ask(at, output, &steps[at], contents);
                lookup.found.insert((at, output), found);
            }
            if lookups.iter().any(|(_, lookup)| lookup.holds(at, output)) {
                for found in lookups.iter_mut().filter_map(|(_, l)| l.found.get_mut(&(at, output)))
                {
                    found.perhaps = found.sure.clone();
                }
            }
        }
        lookups
    }

    fn new(config: &'a CacheConfig) -> Self {
        let mut by_digest: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        let mut users: BTreeMap<(usize, usize, &str), Vec<usize>> = BTreeMap::new();
        for (at, record) in config.records.iter().enumerate() {
            by_digest.entry(record.digest).or_default().push(at);
            for (position, links) in record.inputs.iter().enumerate() {
                for link in links {
                    let key = (link.record, position, link.selector.as_str());
                    users.entry(key).or_default().push(at);
                }
            }
        }
        Self { config, by_digest, users, found: BTreeMap::new() }
    }

    /// Whether the cache has a result for an output of a step, for sure.
    fn holds(&self, at: usize, output: i64) -> bool {
        let found = self.found.get(&(at, output));
        found.is_some_and(|f| f.sure.iter().any(|at| !self.record(*at).results.is_empty()))
    }

    fn record(&self, at: usize) -> &'a Record {
        &self.config.records[at]
    }

    /// The records without inputs that have this digest.
    fn roots(&self, digest: &Digest) -> impl Iterator<Item = usize> {
        let records = self.by_digest.get(digest).into_iter().flatten().copied();
        records.filter(|at| self.record(*at).inputs.is_empty())
    }

    fn ask(&self, at: usize, output: i64, step: &StepKey, contents: &Contained) -> Found {
        if step.ignore_cache {
            return Found::default();
        }
        match &step.key {
            Key::Root(Root::Known(digests)) => {
                let records = digests.iter().map(|digest| keys::record(digest, output));
                let sure: BTreeSet<usize> =
                    records.flat_map(|record| self.roots(&record).collect::<Vec<_>>()).collect();
                Found { perhaps: sure.clone(), sure, ..Found::default() }
            }
            // It has no key of its own: only content counts.
            Key::Root(Root::Local(_)) | Key::Result(_) => Found::default(),
            Key::Root(Root::Unknown(_)) => {
                let roots = 0..self.config.records.len();
                let roots = roots.filter(|at| self.record(*at).inputs.is_empty());
                Found { perhaps: roots.collect(), ..Found::default() }
            }
            // Made from nothing, such as an inline document: it is found as a source is.
            Key::Op { digest, inputs } if inputs.is_empty() => {
                let sure: BTreeSet<usize> = self.roots(&keys::record(digest, output)).collect();
                Found { perhaps: sure.clone(), sure, ..Found::default() }
            }
            Key::Op { digest, inputs } => {
                self.ask_op(at, &keys::record(digest, output), inputs, contents)
            }
            Key::Other { .. } => {
                Found { perhaps: (0..self.config.records.len()).collect(), ..Found::default() }
            }
        }
    }

    /// The records of an op: those with its digest that hang on all its inputs.
    fn ask_op(&self, at: usize, digest: &Digest, inputs: &[Input], contents: &Contained) -> Found {
        let mut found = Found::default();
        let mut by_keys: Option<BTreeSet<usize>> = None;
        for (position, input) in inputs.iter().enumerate() {
            let below = self.found.get(&(input.step, input.output));
            let users = |records: &BTreeSet<usize>, selector: &str| -> BTreeSet<usize> {
                let users =
                    records.iter().filter_map(|r| self.users.get(&(*r, position, selector)));
                users.flatten().copied().filter(|r| self.record(*r).digest == *digest).collect()
            };
            if below.is_some_and(|below| below.perhaps != below.sure) {
                found.undecided.get_or_insert(input.step);
            }
            let keyed = below.map(|b| users(&b.sure, &input.selector)).unwrap_or_default();
            let mut perhaps = below.map(|b| users(&b.perhaps, &input.selector)).unwrap_or_default();
            let mut sure = keyed.clone();
            match (&input.content, contents.get(&(at, position))) {
                (None, _) => {}
                (Some(_), Some(Ok(content))) => {
                    let roots = self.roots(&keys::content_record(content)).collect();
                    sure.extend(users(&roots, ""));
                }
                (Some(_), _) => {
                    let more = self.with_content(digest, position);
                    if !more.is_subset(&sure) {
                        found.open.push((position, input.step));
                    }
                    perhaps.extend(more);
                }
            }
            perhaps.extend(&sure);
            by_keys = Some(match by_keys {
                None => keyed,
                Some(others) => &others & &keyed,
            });
            let first = position == 0;
            found.sure = if first { sure } else { &found.sure & &sure };
            found.perhaps = if first { perhaps } else { &found.perhaps & &perhaps };
        }
        let by_keys = by_keys.unwrap_or_default();
        found.by_content = !by_keys.iter().any(|r| !self.record(*r).results.is_empty());
        found
    }

    /// The records of `digest` that hang on some content of an input.
    fn with_content(&self, digest: &Digest, position: usize) -> BTreeSet<usize> {
        let by_content = |at: &usize| {
            let links = self.record(*at).inputs.get(position).into_iter().flatten();
            let mut whole = links.filter(|link| link.selector.is_empty());
            whole.any(|link| self.record(link.record).inputs.is_empty())
        };
        let records = self.by_digest.get(digest).into_iter().flatten().copied();
        records.filter(by_content).collect()
    }

    /// What the cache knows of a step's first output.
    pub(super) fn find(&self, at: usize) -> Known {
        let Some(found) = self.found.get(&(at, 0)) else { return Known::Nothing };
        let results = |records: &BTreeSet<usize>| {
            let results = records.iter().flat_map(|at| &self.record(*at).results);
            results.max_by_key(|result| result.created_at)
        };
        let layers =
            |result: &'a Stored| result.layers.iter().filter_map(|at| self.config.layers.get(*at));
        let sizes = |result| layers(result).map(|layer| (layer.digest, layer.size)).collect();
        if let Some(result) = results(&found.sure) {
            let content = |layer: &Descriptor| {
                let uncompressed = layer.annotations.get(UNCOMPRESSED).cloned();
                uncompressed.unwrap_or_else(|| layer.digest.to_string())
            };
            return Known::Held {
                layers: sizes(result),
                content: layers(result).map(content).collect(),
                by_content: found.by_content,
                place: self.has_one_chain(&found.sure).then(|| Place {
                    layers: result.layers.clone(),
                    records: found.sure.iter().copied().collect(),
                }),
            };
        }
        if let Some(result) = results(&found.perhaps) {
            return Known::Perhaps {
                input: found.open.first().map(|open| open.1).or(found.undecided).unwrap_or(at),
                layers: sizes(result),
            };
        }
        if found.sure.is_empty() { Known::Nothing } else { Known::KeyOnly }
    }

    /// Whether all results of `records` have the same layers.
    fn has_one_chain(&self, records: &BTreeSet<usize>) -> bool {
        let results = records.iter().flat_map(|at| &self.record(*at).results);
        let digest = |at: &usize| self.config.layers.get(*at).map(|layer| layer.digest);
        let mut chains = results.map(|result| result.layers.iter().map(digest));
        let Some(first) = chains.next() else { return false };
        chains.all(|chain| chain.eq(first.clone()))
    }

    /// Whether it is the content of this input that decides.
    pub(super) fn hangs_on(&self, at: usize, position: usize) -> bool {
        let found = self.found.get(&(at, 0));
        found.is_some_and(|found| found.open.iter().any(|open| open.0 == position))
    }

    /// Whether the cache knows an output of a step, with or without its result.
    pub(super) fn knows(&self, step: usize, output: i64) -> bool {
        self.found.get(&(step, output)).is_some_and(|found| !found.sure.is_empty())
    }

    /// Whether the cache has the step on any inputs.
    pub(super) fn has_digest(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }
}
