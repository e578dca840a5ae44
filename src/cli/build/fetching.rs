//! Fetches what a build needs of GitHub's cache, before an engine that could not be replaced hears of it.
//!
//! See [`crate::cache::github::layers`] for why the engine does not do so itself.
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::staging::Staging;
use super::{Job, Plan};
use crate::cache::config::CacheConfig;
use crate::cache::github::layers::Layers;
use crate::cache::probe::{Answer, Place, ProbedRef};
use crate::cli::builder::Builder;
use crate::engine::solve::CacheEntry;
use crate::engine::state::StateDir;
use crate::oci::digest::Digest;

/// The caches of a build as its engine is to read them.
pub(super) struct Fetched {
    /// The caches, without the results that cannot be had.
    pub imports: Vec<Answer>,
    /// In which order they are asked.
    pub staging: Staging,
    /// The layers of those that kitwright reads.
    pub layers: Vec<Arc<Layers>>,
}

impl Job<'_> {
    /// Fetches the layers of GitHub's cache that the build may read, if kitwright is to do so.
    pub(super) async fn fetch(
        &self,
        plan: &Plan,
        mut imports: Vec<Answer>,
        order: Staging,
        builder: &Builder,
    ) -> Fetched {
        let mut fetched = Vec::new();
        // Which layers a frontend's graph needs nobody knows before.
        if let Plan::Native(compiled, _) = plan
            && self.args.faults.reads_for(builder)
        {
            fetched = self.layers(&imports);
            if !fetched.is_empty() {
                let began = Timestamp::now();
                let staging =
                    |imports: &[Answer]| Staging::of(&self.source, compiled, imports, true, None);
                let mut order = match order.predictions.is_empty() {
                    true => staging(&imports),
                    false => order,
                };
                while fetch_round(&fetched, &mut imports, &order).await {
                    order = staging(&imports);
                }
                self.display.phase("fetch", began, Timestamp::now()).await;
                for (name, reason) in fetched.iter().filter_map(|layers| layers.given_up()) {
                    let line = format!("building without layers of the cache `{name}`: {reason}");
                    self.display.note(line).await;
                }
                return Fetched { imports, staging: order, layers: fetched };
            }
        }
        Fetched { imports, staging: order, layers: fetched }
    }

    fn layers(&self, imports: &[Answer]) -> Vec<Arc<Layers>> {
        // Where temporary files are kept in memory, there may be no room for layers.
        let state = StateDir::from_env(|name| std::env::var_os(name)).ok();
        let folder = state.map(|state| state.root().to_owned()).filter(|root| root.is_dir());
        let folder = folder.unwrap_or_else(std::env::temp_dir);
        let limit = self.args.faults.cache_stall_timeout;
        let layers = |answer: &Answer| {
            let Answer::Ready(probed) = answer else { return None };
            let Place::Github(cache) = &probed.place else { return None };
            Some(Arc::new(Layers::new(cache.clone(), folder.clone(), limit)))
        };
        imports.iter().filter_map(layers).collect()
    }
}

/// Fetches what `staging` wants of the caches; takes out of `imports` what does not come, and tells
/// whether there was such.
async fn fetch_round(fetched: &[Arc<Layers>], imports: &mut [Answer], staging: &Staging) -> bool {
    let mut is_less = false;
    for layers in fetched {
        let wanted: BTreeSet<Digest> = staging.layers_of(layers.name()).collect();
        layers.fetch_all(&wanted).await;
        let missing = |layer: Digest| wanted.contains(&layer) && !layers.has(layer);
        if !wanted.iter().any(|layer| missing(*layer)) {
            continue;
        }
        is_less = true;
        // Who has given up on the service fetches nothing more.
        let is_over = layers.given_up().is_some();
        let lacks = |layer: Digest| missing(layer) || is_over && !layers.has(layer);
        for answer in imports.iter_mut() {
            match answer {
                Answer::Ready(probed) if probed.name == layers.name() => {
                    take_out(&mut probed.config, lacks);
                }
                _ => {}
            }
        }
    }
    is_less
}

/// Takes out the results that rest on layers which are lacking.
fn take_out(config: &mut CacheConfig, lacks: impl Fn(Digest) -> bool) {
    let lacking: BTreeSet<usize> = config
        .layers
        .iter()
        .enumerate()
        .filter(|(_, layer)| lacks(layer.digest))
        .map(|(at, _)| at)
        .collect();
    for record in &mut config.records {
        record.results.retain(|result| !result.layers.iter().any(|at| lacking.contains(at)));
    }
}

/// An import as the engine gets it: where kitwright has read it for the engine, as a local cache.
pub(super) fn offered(answer: &Answer, fetched: &[Arc<Layers>]) -> Option<CacheEntry> {
    match answer {
        Answer::Ready(probed) => Some(match layers_of(probed, fetched) {
            Some(layers) => layers.entries().0,
            None => probed.entry.clone(),
        }),
        other => other.entry().cloned(),
    }
}

fn layers_of<'a>(probed: &ProbedRef, fetched: &'a [Arc<Layers>]) -> Option<&'a Arc<Layers>> {
    fetched.iter().find(|layers| layers.name() == probed.name)
}

/// The same import for the export of a cache: with all layers.
pub(super) fn whole(import: CacheEntry, fetched: &[Arc<Layers>]) -> CacheEntry {
    let entries = fetched.iter().map(|layers| layers.entries());
    let mut wholes = entries.filter(|(part, _)| *part == import).map(|(_, whole)| whole);
    wholes.next().unwrap_or(import)
}
