//! Tells of caches that the engine has read otherwise than the probe.
//!
//! The engine does not compare the digests of a cache's manifest and config: one that was changed on its way,
//! and that can still be read, is a cache without the steps in question, and nothing is reported. The same
//! holds for a tag that somebody moved between probe and import.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;

use super::Plan;
use super::solving::Solving;
use crate::cache::predict::{Needed, Outcome, Prediction};
use crate::cli::prediction;
use crate::oci::digest::Digest;

impl Solving<'_> {
    /// Says which caches hold steps that `ran` all the same.
    pub(super) async fn tell_unserved(&self, ran: &BTreeSet<Digest>) {
        for line in lines(&self.predicted(ran), ran) {
            self.job.display.note(line).await;
        }
    }

    /// What was predicted. Where nobody needed to know that before the build, it is asked only when the
    /// caches have served nothing at all: else reading the context for it costs more than it tells.
    fn predicted(&self, ran: &BTreeSet<Digest>) -> Vec<Prediction> {
        let Plan::Native(compiled, _) = self.plan else { return Vec::new() };
        if self.broke || self.answers.is_empty() {
            return Vec::new();
        }
        if !self.staging.predictions.is_empty() {
            return self.staging.predictions.clone();
        }
        let vertices = compiled.platforms.iter().flat_map(|platform| &platform.definition.vertices);
        let is_step = |op| matches!(op, Some(pb::op::Op::Exec(_) | pb::op::Op::File(_)));
        let mut steps = vertices.filter(|vertex| is_step(vertex.op().op));
        match steps.all(|step| ran.contains(&step.digest)) {
            true => prediction::of(&self.job.source, compiled, &prediction::refs(&self.answers)),
            false => Vec::new(),
        }
    }
}

/// A line for each cache that was to serve something that ran.
fn lines(predictions: &[Prediction], ran: &BTreeSet<Digest>) -> Vec<String> {
    let mut unserved: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for prediction in predictions {
        for step in &prediction.steps {
            if let Outcome::Served { by, .. } = step.outcome
                && step.needed == Needed::Yes
                && ran.contains(&step.vertex)
                && let Some(name) = prediction.refs.get(by)
            {
                unserved.entry(name).or_default().push(&step.name);
            }
        }
    }
    let line = |(cache, steps): (&str, Vec<&str>)| {
        let first = steps.first().copied().unwrap_or_default();
        let more = match steps.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!("the cache `{cache}` holds `{first}`{more}, but the engine did not find that in it")
    };
    unserved.into_iter().map(line).collect()
}
