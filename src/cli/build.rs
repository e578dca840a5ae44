//! `kitwright build`: compiles a Dockerfile, has an engine solve it, and puts the result where it
//! belongs.
mod load;
mod outputs;
mod request;
mod result;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::args::{EngineArgs, OutputArgs, ProgressArgs, SecretArgs, SourceArgs};
use super::builder::{self, Builder, Starting};
use super::compilation::{self, Frontend};
use super::display::Display;
use super::locking;
use super::report::{Failure, StdoutError};
use super::runtime;
use super::source::Source;
use crate::engine::failure::SolveError;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{SolveRequest, SolveResult, solve};
use crate::plan::dockerfile::Compiled;
use outputs::Exports;
use request::Request;

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
    /// Import the build cache from, e.g. `type=registry,ref=user/app:cache` or just `user/app:cache`
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Export the build cache to, e.g. `type=registry,ref=user/app:cache,mode=max`
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// What compiles the Dockerfile: `native`, the engine's `dockerfile.v0`, or a frontend image
    #[arg(long, value_name = "FRONTEND", default_value = "native")]
    frontend: String,
    /// Write when each step ran to this file: JSON, or a chart for `.svg` and `.html`
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

/// A build whose flags have been checked and whose Dockerfile has been read.
struct Job<'a> {
    args: &'a Build,
    request: Request,
    source: Source,
    display: &'a Display,
    cancel: CancellationToken,
}

impl Build {
    pub(super) fn run(self) -> Result<(), Failure> {
        let request = Request::new(&self)?;
        let source = Source::read(&self.source)?;
        runtime::block_on(self.build(request, source))
    }

    async fn build(self, request: Request, source: Source) -> Result<(), Failure> {
        let cancel = runtime::interruption();
        // The engine boots while the Dockerfile is compiled.
        let starting = builder::start(&self.engine, &self.source.registry_mirror)?;
        let display = Display::start(&self.progress, self.title());
        let job = Job { args: &self, request, source, display: &display, cancel };
        let outcome = job.run(starting).await;
        let shown = display.end(outcome.is_err()).await;
        if let (Some(path), Some(shown)) = (&self.timeline, &shown) {
            result::write(path, &shown.timeline.render(path))?;
        }
        self.report(&outcome?)
    }

    /// What the live view calls the build.
    fn title(&self) -> String {
        let name = self.output.tag.first().or(self.source.target.as_ref());
        name.cloned().unwrap_or_else(|| {
            let folder = std::path::absolute(&self.source.context).unwrap_or_default();
            folder.file_name().map_or_else(|| "build".into(), |n| n.to_string_lossy().into_owned())
        })
    }

    /// Writes the result files, and the image ID to stdout if that is asked for.
    fn report(&self, built: &Built) -> Result<(), Failure> {
        let response = &built.result.exporter_response;
        if let Some(path) = &self.output.metadata_file {
            let metadata = result::metadata(response, &built.solve_ref);
            result::write(path, &format!("{metadata:#}"))?;
        }
        let id = result::image_id(response);
        if let (Some(path), Some(id)) = (&self.output.iidfile, id) {
            result::write(path, id)?;
        }
        if self.progress.quiet
            && let Some(id) = id
        {
            use std::io::Write as _;
            writeln!(std::io::stdout(), "{id}").map_err(|source| StdoutError { source })?;
        }
        Ok(())
    }
}

/// A build that succeeded.
struct Built {
    solve_ref: String,
    result: SolveResult,
}

/// The exporter attribute in which a solve without frontend carries the image's config.
const IMAGE_CONFIG: &str = "containerimage.config";

/// What the engine is to solve.
enum Plan {
    /// Our own definitions.
    Native(Box<Compiled>),
    /// A frontend that the engine runs, by its name.
    Frontend(String, BTreeMap<String, String>),
}

impl Job<'_> {
    async fn run(self, starting: Starting) -> Result<Built, Failure> {
        let session = SessionBuilder::new();
        let plan = match self.interruptible(self.plan(session.session_id())).await {
            Ok(plan) => plan,
            Err(failure) => {
                starting.abandon();
                return Err(failure);
            }
        };
        let mut builder = self.interruptible(starting.ready()).await?;
        let built = self.solve(plan, session, &mut builder).await;
        builder.release().await;
        built
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

    /// Compiles the Dockerfile, or leaves that to a frontend of the engine.
    async fn plan(&self, session: &str) -> Result<Plan, Failure> {
        let (frontend, note) = Frontend::choose(&self.args.frontend, &self.source);
        if let Some(note) = note {
            self.display.note(note).await;
        }
        let mut options = self.source.options.clone();
        options.extend(self.request.attestations.clone());
        match frontend {
            Frontend::Native => {}
            // Without a command line the frontend would look for a `# syntax=` itself.
            Frontend::Engine(name) => {
                options.insert("cmdline".into(), name.clone());
                return Ok(Plan::Frontend(name, options));
            }
            Frontend::Image(image) => {
                options.insert("source".into(), image.clone());
                options.insert("cmdline".into(), image);
                return Ok(Plan::Frontend("gateway.v0".into(), options));
            }
        }
        let dockerfile = compilation::parse_source(&self.source)?;
        let options = compilation::options(&self.source, session)?;
        let arguments = &self.args.source;
        let mut images = locking::images(arguments, &self.source, arguments.locked)?;
        let compiled = compilation::compile_source(&dockerfile, &options, &mut images).await?;
        Ok(Plan::Native(Box::new(compiled)))
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
        let registry = compilation::registry(&self.args.source.registry_mirror)?;
        super::session::with_services(session, &self.args.secrets, registry)
    }

    async fn solve(
        &self,
        plan: Plan,
        session: SessionBuilder,
        builder: &mut Builder,
    ) -> Result<Built, Failure> {
        let mut session = self.session(session)?;
        // Kept until the build has ended.
        let dockerfile = match plan {
            Plan::Frontend(..) => self.source.dockerfile_directory()?,
            Plan::Native(_) => None,
        };
        if let Some(directory) = &dockerfile {
            session = session.directory("dockerfile", directory.path());
        }
        let Exports { mut exports, loads } = Exports::prepare(&self.request)?;
        let mut request = match plan {
            Plan::Frontend(name, options) => SolveRequest::frontend(name, options),
            Plan::Native(compiled) => {
                let platform = &compiled.platforms[0];
                for export in &mut exports {
                    if let Some(epoch) = platform.epoch {
                        let key = "source-date-epoch".to_owned();
                        export.attributes.entry(key).or_insert_with(|| epoch.to_string());
                    }
                    export.attributes.insert(
                        IMAGE_CONFIG.into(),
                        String::from_utf8_lossy(&platform.config_json()).into_owned(),
                    );
                }
                let mut request = SolveRequest::definition(platform.definition.to_pb());
                request.frontend_options.clone_from(&self.request.attestations);
                request
            }
        };
        request.exports = exports;
        request.cache_imports.clone_from(&self.request.cache_from);
        request.cache_exports.clone_from(&self.request.cache_to);
        request.entitlements.clone_from(&self.request.entitlements);
        let solve_ref = request.solve_ref.clone();
        let client = builder.client.clone();
        let result = tokio::select! {
            result = solve(&client, request, session, self.display.events(), &self.cancel) => result,
            error = builder.lost() => return Err(error.into()),
        };
        // A private engine's supervisor knows better why the connection broke.
        if matches!(result, Err(SolveError::Lost { .. }))
            && let Some(error) = builder.cause_of_death().await
        {
            return Err(error.into());
        }
        let result = result?;
        for load in loads {
            let place = load.finish().await?;
            self.display.note(place).await;
        }
        Ok(Built { solve_ref, result })
    }
}
