//! Base images that a solve left half fetched: the rest of them is fetched before the next one.
//!
//! See [`crate::cache::rest`] for why the engine cannot do so by itself.
use std::collections::BTreeSet;

use super::Plan;
use super::solving::Solving;
use crate::cache::rest::{self, Base};

/// How often that is done for one build: what a failed solve fetches may still be ending.
const TRIES: u32 = 3;

impl Solving<'_> {
    /// Prepares to solve again when `message` says that the engine has a part of a base image; `false`
    /// when that would be of no use.
    pub(super) async fn fetches_rest(&mut self, message: &str) -> bool {
        if !rest::is_cause(message) || self.rest_tries == TRIES {
            return false;
        }
        self.rest_tries += 1;
        let Plan::Native(compiled, _) = self.plan else { return false };
        let layouts = &self.job.source.layouts;
        let definitions = compiled.platforms.iter().map(|platform| &platform.definition);
        let bases: BTreeSet<Base> = definitions.flat_map(|d| rest::bases(d, layouts)).collect();
        if bases.is_empty() {
            return false;
        }
        let line = "the engine has a part of a base image: fetching the rest";
        self.job.display.note(line).await;
        for base in &bases {
            rest::fetch(base, &self.client, &self.job.cancel).await;
        }
        true
    }
}
