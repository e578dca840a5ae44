//! Solves a build, and solves it again without a cache that broke.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use buildkit_rs_proto::pb;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::events::{Lens, observed};
use super::fetching::{self, Fetched};
use super::graphs::Graphs;
use super::guard::Guard;
use super::holding::Held;
use super::mounts::{Filling, Mounts};
use super::staging::Staging;
use super::{Job, Plan, native};
use crate::cache::faults::{self, Import};
use crate::cache::github::layers::Layers;
use crate::cache::probe::{Answer, ProbedRef};
use crate::cache::watch::{Stall, Watch};
use crate::cache::{hierarchy, importing};
use crate::cli::builder::Builder;
use crate::cli::report::Failure;
use crate::engine::client::Client;
use crate::engine::failure::SolveError;
use crate::engine::gateway;
use crate::engine::open_session::Offer;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{CacheEntry, Export, SolveRequest, SolveResult};
use crate::fault::{Classified as _, Fault};
use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;

/// How often results of a cache that broke are run before the build fails for them.
const ANEW_TRIES: u32 = 3;

/// A build that can be solved more than once.
pub(super) struct Solving<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) plan: &'a Plan,
    pub(super) client: Client,
    offer: Offer,
    pub(super) exports: Vec<Export>,
    /// What is known of the caches that are read.
    pub(super) answers: Vec<Answer>,
    /// In which order they are asked.
    pub(super) staging: Staging,
    /// The same caches, as the engine takes them.
    pub(super) imports: Vec<Import>,
    /// The layers of caches that kitwright reads for the engine.
    pub(super) layers: Vec<Arc<Layers>>,
    /// Caches that lie in the image itself.
    inline: Vec<CacheEntry>,
    round: u32,
    /// What ran in the solves so far.
    done: BTreeSet<Digest>,
    pub(super) graphs: Graphs,
    filling: Option<Filling>,
    /// Whether the engine keeps no record of the build.
    internal: bool,
    /// Whether a cache was left out after the build had begun.
    pub(super) broke: bool,
    /// How often what caches had served was run in place of that.
    anew_tries: u32,
    /// How often the rest of base images was fetched.
    pub(super) rest_tries: u32,
    /// Whether nobody could replace the engine if it hung in a cache import.
    is_guarded: bool,
    /// Whether the first solve names files that the engine has from an earlier build.
    pub(super) knows_files: bool,
    /// Whether the engine went on with a solve that it was told to stop.
    pub(super) is_deaf: bool,
    /// The build after its end, for the exports of caches.
    pub(super) held: Option<Held>,
}

/// What one solve is for.
#[derive(Default)]
pub(super) struct Work {
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
pub(super) enum Ended {
    /// As the engine says.
    Failed(SolveError),
    /// It was stopped because a cache does not come.
    Stalled(Vec<Stall>),
    /// The engine itself is gone.
    Gone(Failure),
}

/// Why a build failed.
pub(super) enum Failed {
    /// As the engine says.
    Solve(SolveError),
    /// For another reason.
    Other(Failure),
}

impl Failed {
    /// Whose fault it is.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Solve(error) => error.fault(),
            Self::Other(_) => Fault::Environment,
        }
    }
}

impl<'a> Solving<'a> {
    /// Offers everything that the build and the solves after it need.
    pub(super) fn open(
        job: &'a Job<'a>,
        plan: &'a Plan,
        builder: &Builder,
        session: SessionBuilder,
        exports: Vec<Export>,
        fetched: Fetched,
    ) -> Result<Self, Failure> {
        let mut request = SolveRequest::frontend("", Default::default());
        request.exports = exports;
        if let Plan::Native(compiled, _) = plan {
            native::describe(compiled, &mut request.exports);
        }
        let Fetched { imports: answers, staging, layers } = fetched;
        let offered = |answer| fetching::offered(answer, &layers);
        request.cache_imports = answers.iter().filter_map(offered).collect();
        request.cache_exports.clone_from(&job.caches.exports);
        let session = layers
            .iter()
            .fold(session, |session, layers| session.cache(&layers.entries().0, layers.clone()));
        let offer = Offer::new(&mut request, session)?;
        let mut imports: Vec<Import> = request.cache_imports.into_iter().map(Import::new).collect();
        for answer in &answers {
            let Answer::Ready(probed) = answer else { continue };
            if let Some(import) = imports.iter_mut().find(|import| import.name == probed.name) {
                import.probed = Some(probed.clone());
            }
        }
        let inline = job.inline_caches(request.exports.iter().map(|export| &export.attributes));
        let staging = staging.offered(imports.iter().map(|import| &import.entry));
        Ok(Self {
            job,
            plan,
            client: builder.client.clone(),
            offer,
            exports: request.exports,
            answers,
            staging,
            imports,
            layers,
            inline,
            round: 0,
            done: BTreeSet::new(),
            graphs: Graphs::default(),
            filling: None,
            // Nobody could read the private engine's.
            internal: builder.is_private() || !job.args.history.keeps_record(),
            broke: false,
            anew_tries: 0,
            rest_tries: 0,
            is_guarded: !builder.is_private(),
            knows_files: false,
            is_deaf: false,
            held: None,
        })
    }

    /// Builds; a cache that breaks on the way is left out and the rest built again, on top of what
    /// is done.
    pub(super) async fn build(
        &mut self,
        builder: &mut Builder,
        mounts: Option<&mut Mounts>,
    ) -> Result<(String, SolveResult, Watch), (Failed, Watch)> {
        if let Some(mounts) = mounts {
            let (certain, cancel) = (self.staging.is_certain(), &self.job.cancel);
            self.filling = mounts.fill(&self.client, certain, cancel, self.job.display).await;
        }
        loop {
            let exports = self.exports.iter().map(Export::again).collect();
            let work = Work { exports, caches: self.inline.clone(), ..Work::default() };
            let watch = Watch::default();
            let cancel = self.job.cancel.clone();
            let packing = self.pack_ahead(&watch);
            let (solve_ref, result) = self.attempt(work, builder, &watch, &cancel).await;
            drop(packing);
            let (blamed, message) = match result {
                Ok(result) => {
                    self.tell_import_faults(&watch).await;
                    return Ok((solve_ref, result, watch));
                }
                Err(Ended::Gone(failure)) => return Err((Failed::Other(failure), watch)),
                Err(Ended::Stalled(stalls)) => {
                    if let Err(failure) = self.come_free(&stalls, builder, &watch).await {
                        return Err((Failed::Other(failure), watch));
                    }
                    let reason = "nothing came of it any more".to_owned();
                    (faults::stalled(&stalls, &self.imports), reason)
                }
                Err(Ended::Failed(error)) => {
                    let message = fetch_failure(&error);
                    if let Some(message) = &message
                        && self.fetches_rest(message).await
                    {
                        self.next_round(&watch);
                        continue;
                    }
                    let blamed = message.as_ref().map(|m| faults::culprits(m, &self.imports));
                    match (blamed, message) {
                        (Some(blamed), Some(message)) if !blamed.is_empty() => (blamed, message),
                        (_, Some(message)) if self.is_left_over(&message) => {
                            self.forget_loaded(&watch, &message).await;
                            continue;
                        }
                        _ => return Err((Failed::Solve(error), watch)),
                    }
                }
            };
            self.leave_out(&blamed, &message).await;
            self.next_round(&watch);
        }
    }

    /// Whether a build fails for what an earlier try has loaded of a cache that was then left out: the
    /// engine knows such a result, and the steps of the try may still be ending.
    fn is_left_over(&self, message: &str) -> bool {
        self.broke && self.anew_tries < ANEW_TRIES && faults::is_of_content(message)
    }

    /// Prepares to run what came from caches; `watch` saw the solve that failed.
    async fn forget_loaded(&mut self, watch: &Watch, message: &str) {
        self.anew_tries += 1;
        self.graphs.anew.extend(self.graphs.originals(watch.loaded()));
        let reason = faults::spoken(message);
        let line = format!("running what the cache had served: {reason}");
        self.job.display.note(line).await;
        self.next_round(watch);
    }

    /// Says which caches the engine could not read, and went on without.
    async fn tell_import_faults(&self, watch: &Watch) {
        for fault in watch.import_faults() {
            let reason = faults::spoken(&fault.message);
            let name = faults::called(&fault.what, &self.imports);
            self.job.display.note(format!("no cache from `{name}`: {reason}")).await;
        }
    }

    /// Takes imports out, and says so.
    async fn leave_out(&mut self, blamed: &[usize], message: &str) {
        self.broke = true;
        let mut index = 0;
        let mut dropped = Vec::new();
        self.imports.retain(|import| {
            let keep = !blamed.contains(&index);
            if !keep {
                dropped.push(import.name.clone());
            }
            index += 1;
            keep
        });
        self.answers.retain(|answer| {
            answer.entry().is_some_and(|entry| !dropped.contains(&hierarchy::name(entry)))
        });
        let staging = self.job.staging(self.plan, &self.answers, None);
        self.staging = staging.offered(self.imports.iter().map(|import| &import.entry));
        let reason = faults::spoken(message);
        for name in dropped {
            let line = format!("building on without the cache `{name}`: {reason}");
            self.job.display.note(line).await;
        }
    }

    /// Solves once.
    pub(super) async fn attempt(
        &mut self,
        work: Work,
        builder: &mut Builder,
        watch: &Watch,
        cancel: &CancellationToken,
    ) -> (String, Result<SolveResult, Ended>) {
        let request = self.request(&work);
        let through_gateway = match self.plan {
            Plan::Native(compiled, _) => self.needs_gateway(compiled, &work),
            Plan::Frontend(..) => false,
        };
        let solve_ref = request.solve_ref.clone();
        let mut lens = Lens {
            round: self.round,
            graphs: self.graphs.clone(),
            done: self.done.clone(),
            export: work.only.clone(),
            known: self.knows_files && self.round == 0,
        };
        lens.done.insert(importing::vertex());
        let (events, observer) = observed(watch, lens, self.job.display.news());
        let stop = cancel.child_token();
        let limit = self.job.args.faults.cache_stall_timeout;
        let is_held = self.held.is_some();
        let (mut session, holding) = match self.held.take() {
            Some(Held { session, holding }) => (session, Some(holding)),
            None => {
                let session = self.offer.open(&self.client, self.graphs.session.clone());
                let holding = self.hold(session.id(), &work, watch);
                (session, holding)
            }
        };
        let guarded = if self.is_guarded { request.cache_imports.clone() } else { Vec::new() };
        let guard = Guard::new(guarded, watch, limit, session.hurry());
        let deaf = session.deaf();
        let solving = async {
            let (open, client) = (&mut session, &self.client);
            let result = match self.plan {
                _ if !work.parts.is_empty() => {
                    let imports = request.cache_imports.clone();
                    let parts = work.parts.iter().map(|part| self.graphs.of(part.clone()));
                    let parts = parts.collect();
                    gateway::build_in(open, client, request, events, &stop, async |bridge| {
                        guard.wait(bridge).await?;
                        native::parts(bridge, parts, &imports).await
                    })
                    .await
                }
                Plan::Native(compiled, _) if through_gateway => {
                    let flat = Staging::flat(request.cache_imports.iter().cloned());
                    let is_staged = native::needs_gateway(compiled) && !is_held;
                    let order = match work.only.is_none() || is_staged {
                        true => (&self.graphs, &self.staging, self.filling.as_ref(), &guard),
                        false => (&self.graphs, &flat, None, &guard),
                    };
                    native::build(open, client, request, events, &stop, compiled, order).await
                }
                _ => open.solve(request, events, &stop).await,
            };
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
        let stuck = guard.stuck();
        self.is_deaf |= deaf.load(Ordering::Relaxed);
        let result = match result {
            Ok(result) => Ok(result),
            Err(SolveError::Cancelled) if !stuck.is_empty() && !cancel.is_cancelled() => {
                Err(Ended::Stalled(stuck))
            }
            Err(SolveError::Cancelled) if stalls.is_some() && !cancel.is_cancelled() => {
                Err(Ended::Stalled(stalls.unwrap_or_default()))
            }
            Err(error) => Err(match builder.why(&error).await {
                Some(cause) => Ended::Gone(cause),
                None => Ended::Failed(error),
            }),
        };
        (solve_ref, result)
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

    /// What the probe of a cache that is read has found.
    pub(super) fn probed(&self, name: &str) -> Option<&ProbedRef> {
        self.imports.iter().find(|import| import.name == name)?.probed.as_deref()
    }

    /// Whether a vertex has run in a solve before this round.
    pub(super) fn has_run(&self, vertex: Digest) -> bool {
        self.done.contains(&vertex)
    }

    /// Prepares for a further solve after the one that `watch` saw.
    pub(super) fn next_round(&mut self, watch: &Watch) {
        self.done = self.ran(watch);
        self.round += 1;
        let compiled = match self.plan {
            Plan::Native(compiled, _) => Some(&**compiled),
            Plan::Frontend(..) => None,
        };
        self.graphs.anew.retain(|digest| !self.done.contains(digest));
        // What is held is known under the graphs that it was built with.
        if self.held.is_none() {
            self.graphs.next(compiled);
        }
    }

    /// What has run in all solves, the last of which `watch` saw.
    pub(super) fn ran(&self, watch: &Watch) -> BTreeSet<Digest> {
        let mut ran = self.graphs.originals(watch.ran());
        ran.extend(&self.done);
        ran
    }
}

/// What the engine says of a build that failed for want of content; `None` when a command ran and
/// failed, or something else is wrong.
fn fetch_failure(error: &SolveError) -> Option<String> {
    match error {
        SolveError::Environment(error) | SolveError::Step(error) | SolveError::Input(error) => {
            error.exit_code.is_none().then(|| error.message.clone())
        }
        _ => None,
    }
}
