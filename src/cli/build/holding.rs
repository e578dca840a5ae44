//! Has the engine keep what it found for a build until the build's caches are written.
//!
//! The image is out before the first cache export begins, and with its solve the engine would forget which
//! result every step has: each export would begin with the same search again, sync the context again and load
//! results for it. So when the image is being exported, and all steps are done, a [`Hold`] takes the
//! build's graphs, and the exports are made on those, in the session of the build.
//!
//! A hold that comes too late changes nothing: then each export is made as one that knows
//! nothing of the build.
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Plan;
use super::solving::{Solving, Work};
use crate::cache::watch::Watch;
use crate::engine::hold::{self, Hold, Subject};
use crate::engine::open_session::OpenSession;

/// How long the engine may take to say that a hold came in time: it says so at once or never.
const LIMIT: Duration = Duration::from_millis(300);

/// A build that has ended, and what is needed to go on with it.
pub(super) struct Held {
    pub(super) session: OpenSession,
    pub(super) holding: Holding,
}

/// How far a hold is.
pub(super) enum Holding {
    /// It begins with the first export, if the engine has told enough by then.
    Beginning(AbortOnDropHandle<Option<Hold>>),
    /// It came in time.
    Lasting { _hold: Hold },
}

impl Solving<'_> {
    /// Prepares to hold the build that `work` is, if a cache is written after it; `watch` sees it.
    pub(super) fn hold(&self, session: &str, work: &Work, watch: &Watch) -> Option<Holding> {
        let Plan::Native(compiled, _) = self.plan else { return None };
        // The graphs of what is run anew differ in more than their session.
        let is_build = work.only.is_none() && self.graphs.anew.is_empty();
        // What is read for the engine it knows in part until caches are written.
        if !is_build || self.exports_none() || !self.layers.is_empty() {
            return None;
        }
        let (compiled, graphs) = (compiled.clone(), self.graphs.clone());
        let (client, watch) = (self.client.clone(), watch.clone());
        let session = session.to_owned();
        let entitlements = self.job.request.entitlements.clone();
        let task = tokio::spawn(async move {
            watch.exporting().await;
            let definitions = compiled.platforms.iter().map(|platform| &platform.definition);
            let definitions = definitions.filter(|definition| !definition.is_empty());
            let graphs: Vec<_> = definitions.map(|d| graphs.of(d.to_pb())).collect();
            let began = graphs.iter().map(|graph| {
                let head = hold::head(graph)?;
                Some((head, watch.began(head)?))
            });
            let began = began.collect::<Option<_>>()?;
            let subject = Subject { session, graphs, entitlements };
            Some(Hold::begin(client, subject, began))
        });
        Some(Holding::Beginning(AbortOnDropHandle::new(task)))
    }

    /// Lets go of a build that was not held in time.
    pub(super) async fn keep_held(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        match held.holding.settled().await {
            Some(hold) => {
                held.holding = Holding::Lasting { _hold: hold };
                self.held = Some(held);
            }
            None => held.end().await,
        }
    }

    /// Has the engine forget the build.
    pub(super) async fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            held.end().await;
        }
    }

    /// Prepares for the export of a cache, after the solve that `watch` saw.
    pub(super) fn next_export(&mut self, watch: &Watch) {
        self.next_round(watch);
        self.graphs.anew.clear();
    }
}

impl Holding {
    /// The hold, if it came in time.
    async fn settled(&mut self) -> Option<Hold> {
        let Self::Beginning(beginning) = self else { return None };
        // Without an export it never begins.
        if !beginning.is_finished() {
            return None;
        }
        let mut hold = beginning.await.ok()??;
        let came = tokio::time::timeout(LIMIT, hold.came_in_time()).await;
        (came == Ok(true)).then_some(hold)
    }
}

impl Held {
    async fn end(self) {
        drop(self.holding);
        // What was built is out: how its session ends is nobody's business any more.
        let _ = self.session.end_with(Ok(Default::default())).await;
    }
}
