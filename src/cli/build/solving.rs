//! Solves a build, and solves it again without a cache that broke.
mod attempt;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fetching::{self, Fetched};
use super::graphs::Graphs;
use super::holding::Held;
use super::mounts::{Filling, Mounts};
use super::staging::Staging;
use super::{Job, Plan, native};
use crate::cache::faults::{self, Import};
use crate::cache::github::layers::Layers;
use crate::cache::hierarchy;
use crate::cache::probe::{Answer, ProbedRef};
use crate::cache::watch::Watch;
use crate::cli::builder::Builder;
use crate::cli::explaining::Explaining;
use crate::cli::report::Failure;
use crate::engine::client::Client;
use crate::engine::failure::SolveError;
use crate::engine::open_session::Offer;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{CacheEntry, Export, SolveRequest, SolveResult};
use crate::fault::{Classified as _, Fault};
use crate::oci::digest::Digest;

pub(super) use attempt::{Ended, Work};

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
    /// What will tell why steps ran again.
    pub(super) explaining: Option<Explaining>,
    /// The build after its end, for the exports of caches.
    pub(super) held: Option<Held>,
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
            explaining: None,
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
            if let Some(explaining) = &mut self.explaining {
                explaining.beside(&watch);
            }
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
