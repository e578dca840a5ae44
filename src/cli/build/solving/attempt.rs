//! One solve of a build: what is asked of the engine, in which way, and how it ended.
use std::sync::atomic::Ordering;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Solving;
use crate::cache::importing;
use crate::cache::watch::{Stall, Watch};
use crate::cli::build::events::{Lens, observed};
use crate::cli::build::guard::Guard;
use crate::cli::build::holding::{Held, Holding};
use crate::cli::build::staging::Staging;
use crate::cli::build::{Plan, fetching, native};
use crate::cli::builder::Builder;
use crate::cli::report::Failure;
use crate::engine::failure::SolveError;
use crate::engine::gateway;
use crate::engine::open_session::OpenSession;
use crate::engine::solve::{CacheEntry, Export, SolveRequest, SolveResult};
use crate::engine::status::StatusEvent;
use crate::plan::dockerfile::Compiled;

/// What one solve is for.
#[derive(Default)]
pub(in crate::cli::build) struct Work {
    /// Where the result goes.
    pub exports: Vec<Export>,
    /// Which caches are written.
    pub caches: Vec<CacheEntry>,
    /// Shows nothing but the export of a cache, under this name, and makes no attestations.
    pub only: Option<String>,
    /// What is solved instead of the whole plan.
    pub parts: Vec<pb::Definition>,
}

/// How a solve ended that failed.
pub(in crate::cli::build) enum Ended {
    /// As the engine says.
    Failed(SolveError),
    /// It was stopped because a cache does not come.
    Stalled(Vec<Stall>),
    /// The engine itself is gone.
    Gone(Failure),
}

/// How a solve reaches the engine.
enum Way<'a> {
    /// As one call, with the one graph or the frontend in it.
    Call,
    /// Through the gateway, which takes the graphs; `in_order` as the caches are staged, else all at once.
    Gateway { compiled: &'a Compiled, in_order: bool },
    /// Through the gateway, parts of the graph alone.
    Parts,
}

impl<'a> Solving<'a> {
    /// Solves once.
    pub(in crate::cli::build) async fn attempt(
        &mut self,
        work: Work,
        builder: &mut Builder,
        watch: &Watch,
        cancel: &CancellationToken,
    ) -> (String, Result<SolveResult, Ended>) {
        let request = self.request(&work);
        let way = self.way(&work);
        let solve_ref = request.solve_ref.clone();
        let (events, observer) = observed(watch, self.lens(&work), self.job.display.news());
        let stop = cancel.child_token();
        let limit = self.job.args.faults.cache_stall_timeout;
        let (mut session, holding) = self.session(&work, watch);
        let guarded = if self.is_guarded { request.cache_imports.clone() } else { Vec::new() };
        let guard = Guard::new(guarded, watch, limit, session.hurry());
        let deaf = session.deaf();
        let solving = async {
            let going = (&work, way, &guard);
            let result = self.solve_in(&mut session, request, events, &stop, going).await;
            match holding {
                Some(holding) if result.is_ok() => (result, Some(Held { session, holding })),
                _ => (session.end_with(result).await, None),
            }
        };
        let mut stalls = None;
        let (result, held) = {
            let mut solving = std::pin::pin!(solving);
            let private = builder.is_private();
            tokio::select! {
                result = solving.as_mut() => result,
                found = self.stalled(watch, limit, private) => {
                    if found.iter().any(|stall| matches!(stall, Stall::Manifest(_))) {
                        // It would not hear that it is to stop.
                        return (solve_ref, Err(Ended::Stalled(found)));
                    }
                    stalls = Some(found);
                    stop.cancel();
                    solving.await
                }
                error = builder.lost() => return (solve_ref, Err(Ended::Gone(error.into()))),
            }
        };
        self.held = held;
        // All that the engine said is known and shown before anybody goes by it.
        let _ = observer.await;
        self.is_deaf |= deaf.load(Ordering::Relaxed);
        let stuck = Some(guard.stuck()).filter(|stuck| !stuck.is_empty());
        let result = match (result, stuck.or(stalls)) {
            (Ok(result), _) => Ok(result),
            (Err(SolveError::Cancelled), Some(stalls)) if !cancel.is_cancelled() => {
                Err(Ended::Stalled(stalls))
            }
            (Err(error), _) => Err(match builder.why(&error).await {
                Some(cause) => Ended::Gone(cause),
                None => Ended::Failed(error),
            }),
        };
        (solve_ref, result)
    }

    /// What is shown of the solve of `work`.
    fn lens(&self, work: &Work) -> Lens {
        let mut done = self.done.clone();
        done.insert(importing::vertex());
        Lens {
            round: self.round,
            graphs: self.graphs.clone(),
            done,
            export: work.only.clone(),
            known: self.knows_files && self.round == 0,
        }
    }

    /// The session of the build that is held, else one of the solve's own.
    fn session(&mut self, work: &Work, watch: &Watch) -> (OpenSession, Option<Holding>) {
        match self.held.take() {
            Some(Held { session, holding }) => (session, Some(holding)),
            None => {
                let session = self.offer.open(&self.client, self.graphs.session.clone());
                let holding = self.hold(session.id(), work, watch);
                (session, holding)
            }
        }
    }

    /// How the solve of `work` reaches the engine.
    fn way(&self, work: &Work) -> Way<'a> {
        match self.plan {
            _ if !work.parts.is_empty() => Way::Parts,
            Plan::Native(compiled, _) if self.needs_gateway(compiled, work) => {
                let is_staged = native::needs_gateway(compiled) && self.held.is_none();
                Way::Gateway { compiled, in_order: work.only.is_none() || is_staged }
            }
            _ => Way::Call,
        }
    }

    /// Solves in an open session, until `stop` says otherwise.
    async fn solve_in(
        &self,
        session: &mut OpenSession,
        request: SolveRequest,
        events: mpsc::Sender<StatusEvent>,
        stop: &CancellationToken,
        (work, way, guard): (&Work, Way<'_>, &Guard),
    ) -> Result<SolveResult, SolveError> {
        let client = &self.client;
        match way {
            Way::Parts => {
                let imports = request.cache_imports.clone();
                let parts = work.parts.iter().map(|part| self.graphs.of(part.clone())).collect();
                gateway::build_in(session, client, request, events, stop, async |bridge| {
                    guard.wait(bridge).await?;
                    native::parts(bridge, parts, &imports).await
                })
                .await
            }
            Way::Gateway { compiled, in_order } => {
                let flat = Staging::flat(request.cache_imports.iter().cloned());
                let order = match in_order {
                    true => (&self.graphs, &self.staging, self.filling.as_ref(), guard),
                    false => (&self.graphs, &flat, None, guard),
                };
                native::build(session, client, request, events, stop, compiled, order).await
            }
            Way::Call => session.solve(request, events, stop).await,
        }
    }

    fn needs_gateway(&self, compiled: &Compiled, work: &Work) -> bool {
        let ordered = self.filling.is_some() || self.staging.is_staged();
        native::needs_gateway(compiled)
            || (ordered && work.only.is_none())
            || (self.is_guarded && !self.imports.is_empty() && self.held.is_none())
    }

    fn request(&self, work: &Work) -> SolveRequest {
        let attestations = &self.job.request.attestations;
        let mut request = match self.plan {
            Plan::Frontend(name, options) => SolveRequest::frontend(name, options.clone()),
            Plan::Native(compiled, _) => {
                let graph = match &compiled.platforms[..] {
                    [only] if !self.needs_gateway(compiled, work) => {
                        self.graphs.marshal(&only.definition)
                    }
                    _ => Bytes::new(),
                };
                native::request(graph, attestations)
            }
        };
        if work.only.is_some() {
            request.frontend_options.retain(|name, _| !name.starts_with("attest:"));
        }
        request.exports = work.exports.iter().map(Export::again).collect();
        if self.held.is_none() {
            request.cache_imports = self.staging.imports();
            if work.only.is_some() {
                let whole = |import| fetching::whole(import, &self.layers);
                request.cache_imports = request.cache_imports.into_iter().map(whole).collect();
            }
        }
        request.cache_exports.clone_from(&work.caches);
        request.internal = self.internal || work.only.is_some();
        request.entitlements.clone_from(&self.job.request.entitlements);
        request
    }
}
