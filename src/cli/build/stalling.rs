//! Notices that a solve stands still for a cache, and frees the engine from what it waits for.
use std::time::{Duration, Instant};

use super::Plan;
use super::solving::Solving;
use crate::cache::watch::{Stall, Watch};
use crate::cli::builder::Builder;
use crate::cli::report::Failure;

impl Solving<'_> {
    /// Makes the engine ready for another solve after one that stood still; `watch` saw that one.
    ///
    /// A manifest that does not come, and a layer of GitHub's service, the engine waits for whatever it is
    /// told, and with it everybody who needs the same layer. A private engine is replaced. A daemon
    /// cannot be: there, all that a cache has served is run in place of it, so that the next solve shares
    /// nothing with the one that goes on.
    pub(super) async fn come_free(
        &mut self,
        stalls: &[Stall],
        builder: &mut Builder,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let is_manifest = stalls.iter().any(|stall| matches!(stall, Stall::Manifest(_)));
        if (self.is_deaf || is_manifest) && builder.is_private() {
            self.replace_engine(builder).await?;
        }
        let again = if self.is_deaf { watch.loaded() } else { watch.fetching() };
        self.graphs.anew.extend(self.graphs.originals(again));
        Ok(())
    }

    /// Starts another private engine on the same state.
    ///
    /// An engine that reads a cache's manifest can neither be told to stop that, nor can it do
    /// anything else: its scheduler itself waits.
    async fn replace_engine(&mut self, builder: &mut Builder) -> Result<(), Failure> {
        self.job.display.note("the engine is stuck in a cache import: starting another").await;
        builder.give_back().await;
        *builder = self.job.args.start_engine()?.ready().await?;
        self.client = builder.client.clone();
        self.is_deaf = false;
        Ok(())
    }

    /// Waits until work for a cache has stood still for `limit`.
    ///
    /// A manifest that does not come counts only where the engine can be replaced: another one does
    /// nothing else any more, and does not hear that it is to stop.
    pub(super) async fn stalled(
        &self,
        watch: &Watch,
        limit: Duration,
        private: bool,
    ) -> Vec<Stall> {
        let holds = |blob| self.imports.iter().any(|import| import.may_hold(blob));
        let mut clock = tokio::time::interval(limit / 8 + Duration::from_millis(1));
        // Our own graphs are held back by a guard; a frontend's are not.
        let mut is_told = matches!(self.plan, Plan::Native(..));
        let mut is_free = !self.is_deaf;
        // Layers that kitwright fetches before the engine hears of them.
        let mut received: u64 = 0;
        loop {
            clock.tick().await;
            let now = self.layers.iter().map(|layers| layers.received()).sum();
            if std::mem::replace(&mut received, now) != now {
                watch.moved(Instant::now());
            }
            if !is_free && watch.is_quiet(Instant::now(), limit) {
                let line = "the daemon may wait for a layer of a cache that was left out, and nobody can tell \
                            it to stop that: if nothing more comes, end this build with Ctrl-C and restart \
                            the daemon";
                self.job.display.note(line).await;
                is_free = true;
            }
            let mut stalls = watch.stalled(Instant::now(), limit, holds);
            stalls.retain(|stall| !self.imports.is_empty() || !matches!(stall, Stall::Result(_)));
            if !private
                && !is_told
                && let Some(Stall::Manifest(name)) = stalls.first()
            {
                let line = format!(
                    "the daemon waits for the cache `{name}`, of which nothing comes, and nobody can \
                     tell it to stop that: end this build with Ctrl-C and leave the cache out"
                );
                self.job.display.note(line).await;
                is_told = true;
            }
            stalls.retain(|stall| private || !matches!(stall, Stall::Manifest(_)));
            if !stalls.is_empty() {
                return stalls;
            }
        }
    }
}
