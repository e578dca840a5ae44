//! `kitwright build`: compiles a Dockerfile, has an engine solve it, and puts the result where it
//! belongs.
mod actions;
mod again;
mod ahead;
mod assembling;
mod caching;
mod causes;
mod check;
mod events;
mod fetching;
mod graphs;
mod guard;
mod history;
mod holding;
mod load;
mod mounts;
mod native;
mod outputs;
mod partial;
mod planning;
mod request;
mod result;
mod reuse;
mod solving;
mod staging;
mod stalling;
mod unsent;
mod unserved;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::args::{EngineArgs, OutputArgs, ProgressArgs, SecretArgs, SourceArgs};
use super::builder::{self, Builder, Starting};
use super::caching::{CacheArgs, Caches, Probing};
use super::compilation;
use super::display::Display;
use super::explaining::Explaining;
use super::report::Failure;
use super::runtime;
use super::source::Source;
use crate::cache::predict::Prediction;
use crate::cache::probe::Answer;
use crate::engine::failure::SolveError;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::SolveResult;
use crate::oci::registry::Client;
use actions::Actions;
use again::Again;
use mounts::{MountArgs, Mounts};
use outputs::Exports;
use planning::Plan;
use request::Request;
use reuse::{Found, Reuse};
use solving::{Failed, Solving};
use staging::Staging;

/// Build an image from a Dockerfile
#[derive(Debug, Args)]
pub(super) struct Build {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    faults: caching::FaultArgs,
    #[command(flatten)]
    assemble: assembling::AssembleArgs,
    #[command(flatten)]
    mounts: MountArgs,
    /// What compiles the Dockerfile: `native`, the engine's `dockerfile.v0`, or a frontend image
    #[arg(long, value_name = "FRONTEND", default_value = "native")]
    frontend: String,
    /// Look for an image with the same content key before building, and push its key after; the default where
    /// `KITWRIGHT_REUSE` is `true`
    #[arg(long, overrides_with = "no_reuse")]
    reuse: bool,
    /// Build in any case
    #[arg(long, overrides_with = "reuse")]
    no_reuse: bool,
    // A flag with a variable of its own would be in conflict with its opposite.
    #[arg(long, env = "KITWRIGHT_REUSE", hide = true)]
    reuse_by_default: bool,
    /// Build anew what is older than this and could have changed on the network, e.g. `12h`, `7d`
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = reuse::parse_duration)]
    reuse_max_age: Duration,
    /// Say why steps ran again, also from what is kept beside the image, and keep that there
    #[arg(long, env = "KITWRIGHT_EXPLAIN")]
    explain: bool,
    #[command(flatten)]
    again: again::AgainArgs,
    #[command(flatten)]
    history: history::HistoryArgs,
    /// Check the Dockerfile and build nothing
    #[arg(long)]
    check: bool,
    /// Write when each step ran to this file: JSON, or a chart for `.svg` and `.html`
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

/// A build whose flags have been checked and whose Dockerfile has been read.
struct Job<'a> {
    args: &'a Build,
    request: Request,
    caches: Caches,
    source: Source,
    /// One client for all that the build asks of registries, which shares connections and tokens.
    registry: Client,
    display: &'a Display,
    actions: Option<&'a Actions>,
    cancel: CancellationToken,
}

impl Build {
    pub(super) fn run(self) -> Result<(), Failure> {
        let request = Request::new(&self)?;
        let caches = Caches::read(&self.cache, Path::new("."))?;
        let source = Source::read(&self.source)?;
        if self.check {
            return runtime::block_on(self.check(&source));
        }
        runtime::block_on(self.build(request, caches, source))
    }

    async fn build(self, request: Request, caches: Caches, source: Source) -> Result<(), Failure> {
        let cancel = runtime::interruption();
        // The engine boots while the Dockerfile is compiled, unless it may not be needed at all.
        let starting = match self.reuses() {
            true => None,
            false => Some(self.start_engine()?),
        };
        let probing = caches.probe(&self.cache, &self.source.registry_mirror)?;
        let registry = compilation::registry(&self.source.registry_mirror)?;
        let again = Again::begin(&self, &source, &caches);
        let display = Display::start(&self.progress, self.title());
        let actions = Actions::find(&source);
        let job = Job {
            args: &self,
            request,
            caches,
            source,
            registry,
            display: &display,
            actions: actions.as_ref(),
            cancel,
        };
        // What was begun sets out before the Dockerfile is looked at.
        tokio::task::yield_now().await;
        let outcome = job.run(starting, probing, again).await;
        let shown = display.end(outcome.is_err()).await;
        if let Some(actions) = &actions {
            actions.end(&outcome, shown.as_ref());
        }
        if let (Some(path), Some(shown)) = (&self.timeline, &shown) {
            result::write(path, &shown.timeline().render(path))?;
        }
        outcome.map(drop)
    }

    const fn reuses(&self) -> bool {
        (self.reuse || self.reuse_by_default) && !self.no_reuse
    }

    fn start_engine(&self) -> Result<Starting, Failure> {
        builder::start(&self.engine, &self.source.registry_mirror)
    }

    /// What the live view calls the build.
    fn title(&self) -> String {
        let name = self.output.tag.first().or(self.source.target.as_ref());
        name.cloned().unwrap_or_else(|| {
            let folder = std::path::absolute(&self.source.context).unwrap_or_default();
            folder.file_name().map_or_else(|| "build".into(), |n| n.to_string_lossy().into_owned())
        })
    }
}

/// An image that was built or found.
struct Built {
    solve_ref: String,
    result: SolveResult,
}

impl Job<'_> {
    async fn run(
        self,
        starting: Option<Starting>,
        probing: Probing,
        mut again: Again,
    ) -> Result<Built, Failure> {
        let began = Timestamp::now();
        let session = SessionBuilder::new();
        let plan = match self.interruptible(self.plan(session.session_id(), &mut again)).await {
            Ok(plan) => plan,
            Err(failure) => {
                if let Some(starting) = starting {
                    starting.abandon();
                }
                return Err(failure);
            }
        };
        self.display.phase("plan", began, Timestamp::now()).await;
        let reuse = match starting {
            Some(_) => None,
            None => self.interruptible(self.look_for(&plan)).await?,
        };
        let reuse = match reuse {
            Some(Found::Image(result)) => {
                let built = Built { solve_ref: session.session_id().to_owned(), result };
                return self.args.report(&built).map(|()| built);
            }
            Some(Found::Nothing(reuse)) => Some(reuse),
            None => None,
        };
        let starting = match starting {
            Some(starting) => starting,
            None => self.args.start_engine()?,
        };
        let waiting = Timestamp::now();
        let imports = self.imports(probing).await;
        if !imports.is_empty() {
            self.display.phase("probe", waiting, Timestamp::now()).await;
        }
        let foreseen = self.foresee(&plan, &imports);
        let mut after = (reuse, self.explaining(&plan)?);
        let solve_ref = session.session_id();
        if let Some(ended) = self.without_engine(&plan, &foreseen, solve_ref, &mut after).await {
            starting.abandon();
            return ended;
        }
        let staging = self.staging(&plan, &imports, foreseen.predictions);
        let mounts = self.mounts(&plan, staging.expected().as_ref()).await?;
        let mut builder = match mounts {
            Some(_) => self.interruptible(starting.ready()).await?,
            None => self.interruptible(starting.reached()).await?,
        };
        if builder.is_private() {
            self.display.phase("boot", builder.booted.0, builder.booted.1).await;
        }
        let caches = (imports, staging, mounts);
        let after = (after.0, after.1, again);
        let built = self.solve(plan, session, caches, after, &mut builder).await;
        builder.release().await;
        built
    }

    /// The imports that can be used; says which cannot.
    async fn imports(&self, probing: Probing) -> Vec<Answer> {
        let (usable, dropped) = probing.ready().await;
        for line in self.caches.notes.iter().cloned().chain(dropped) {
            self.display.note(line).await;
        }
        usable
    }

    /// Which caches are asked, and in which order.
    fn staging(
        &self,
        plan: &Plan,
        imports: &[Answer],
        predicted: Option<Vec<Prediction>>,
    ) -> Staging {
        match plan {
            Plan::Native(compiled, _) => {
                let is_asked = self.args.mounts.are_kept();
                Staging::of(&self.source, compiled, imports, is_asked, predicted)
            }
            Plan::Frontend(..) => Staging::all(imports),
        }
    }

    /// Does `work` until the user interrupts it.
    async fn interruptible<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.cancel.cancelled() => Err(SolveError::Cancelled.into()),
        }
    }

    /// The session's services: contexts, layouts, secrets, agents, credentials.
    fn session(&self, session: SessionBuilder) -> Result<SessionBuilder, Failure> {
        let mut session = session.shared_key(self.source.shared_key.clone());
        for (name, path) in &self.source.directories {
            session = session.directory(name, path);
        }
        for (name, path) in &self.source.layouts {
            session = session.layout(name, path);
        }
        super::session::with_services(session, &self.args.secrets, self.registry.clone())
    }

    /// Builds, hands the result out, and then writes the caches.
    async fn solve(
        &self,
        plan: Plan,
        session: SessionBuilder,
        (imports, staging, mut mounts): (Vec<Answer>, Staging, Option<Mounts>),
        (reuse, explaining, again): (Option<Box<Reuse>>, Option<Explaining>, Again),
        builder: &mut Builder,
    ) -> Result<Built, Failure> {
        let id = session.session_id().to_owned();
        let mut session = again.offered(self.session(session)?);
        // Kept until the build has ended.
        let dockerfile = match plan {
            Plan::Frontend(..) => self.source.dockerfile_directory()?,
            Plan::Native(..) => None,
        };
        if let Some(directory) = &dockerfile {
            session = session.directory("dockerfile", directory.path());
        }
        let fetched = self.fetch(&plan, imports, staging, builder);
        let fetched = self.interruptible(async { Ok(fetched.await) }).await?;
        let Exports { exports, loads } = Exports::prepare(&self.request)?;
        let mut solving = Solving::open(self, &plan, builder, session, exports, fetched)?;
        solving.knows_files = again.is_unchanged();
        solving.explaining = explaining;
        let ended = solving.build(builder, mounts.as_mut()).await;
        let fault = ended.as_ref().err().map(|(failed, _)| failed.fault());
        again.keep(&id, fault);
        let (solve_ref, result, watch) = match ended {
            Ok(built) => built,
            Err((failed, watch)) => {
                solving.export_finished(builder, &watch).await;
                return Err(match failed {
                    Failed::Solve(error @ SolveError::Session(_)) => {
                        load::cause(loads, error).await
                    }
                    Failed::Solve(error) => error.into(),
                    Failed::Other(failure) => failure,
                });
            }
        };
        for load in loads {
            let place = load.finish(&result).await?;
            self.display.note(place).await;
        }
        let built = Built { solve_ref, result };
        self.deliver(&built, reuse.as_deref()).await?;
        let ran = solving.ran(&watch);
        solving.tell_unserved(&ran).await;
        if let Some(mounts) = mounts {
            mounts.save(&ran, &builder.client, &self.cancel, self.display).await;
        }
        self.explain(solving.explaining.take(), &built, &ran).await;
        let unwritten = solving.export_caches(builder, &watch).await?;
        self.keep_cache(reuse.as_deref(), &unwritten).await;
        Ok(built)
    }

    /// Says what was built, writes the result files and gives the image its key.
    async fn deliver(&self, built: &Built, reuse: Option<&Reuse>) -> Result<(), Failure> {
        let names: Vec<_> = built.result.image_names().map(str::to_owned).collect();
        if let Some(digest) = built.result.image_digest() {
            let line = match names.is_empty() {
                true => format!("built {digest}"),
                false => format!("built {} as {digest}", names.join(", ")),
            };
            self.display.note(line).await;
        }
        self.args.report(built)?;
        if let Some(reuse) = reuse {
            let note = reuse.keep(&built.result.exporter_response).await?;
            self.display.notes(note).await;
        }
        Ok(())
    }
}
