//! `kitwright compile --verify`: asks the engine's own frontend for its definition and compares.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use futures_util::TryFutureExt as _;
use tokio::sync::mpsc;

use super::Compile;
use crate::cli::args::SecretArgs;
use crate::cli::builder::{self, Builder};
use crate::cli::compilation;
use crate::cli::locking;
use crate::cli::report::Failure;
use crate::cli::runtime;
use crate::cli::session::with_services;
use crate::cli::source::Source;
use crate::engine::failure::SolveError;
use crate::engine::gateway::{self, ClientResult, FrontendResult};
use crate::engine::session::SessionBuilder;
use crate::engine::solve::SolveRequest;
use crate::fault::{Classified, Fault};
use crate::oci::platform::Platform;
use crate::plan::dockerfile::{Compiled, CompiledPlatform};
use crate::plan::llb::compare;

/// The frontend that is asked.
const FRONTEND: &str = compilation::ENGINE_FRONTEND;

/// What the comparison found, or why there was none.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum VerifyError {
    #[error(
        "kitwright and the engine's `{FRONTEND}` compile this Dockerfile differently for {platform}"
    )]
    #[diagnostic(help("{difference}; `--frontend {FRONTEND}` builds with the engine's"))]
    Different { platform: String, difference: String },
    #[error("the engine's `{FRONTEND}` returned nothing for {0}")]
    Missing(String),
}

impl Classified for VerifyError {
    fn fault(&self) -> Fault {
        Fault::Internal
    }
}

impl Compile {
    /// Compiles, has the engine's frontend compile the same, and names the first difference.
    pub(super) async fn verify(&self, source: &Source) -> Result<Compiled, Failure> {
        let starting = builder::start(&self.engine, &self.source.registry_mirror)?;
        let builder = starting.ready().await?;
        let compared = self.compare(source, &builder).await;
        builder.release().await;
        compared
    }

    async fn compare(&self, source: &Source, builder: &Builder) -> Result<Compiled, Failure> {
        // Both sides must name the same session, as it lies inside digests.
        let session = SessionBuilder::new().id(self.session.clone());
        let dockerfile = compilation::parse_source(source)?;
        let mut options = compilation::options(source, session.session_id())?;
        if let Some(platform) = engine_platform(builder).await? {
            options.build_platforms = vec![platform];
        }
        let mut images = locking::images(&self.source, source, self.is_locked())?;
        let mirrors = &self.source.registry_mirror;
        let ours = compilation::compile_source(&dockerfile, &options, &mut images).err_into();
        let (ours, theirs) = tokio::try_join!(ours, ask(source, session, builder, mirrors))?;
        for platform in &ours.platforms {
            compare_platform(platform, &theirs, ours.multi_platform)?;
        }
        let count: usize =
            ours.platforms.iter().map(|platform| platform.definition.vertices.len()).sum();
        eprintln!("equal to the engine's `{FRONTEND}`: {count} vertices and the image config");
        Ok(ours)
    }
}

/// The platform that the engine's frontend takes when none is asked for.
async fn engine_platform(builder: &Builder) -> Result<Option<Platform>, Failure> {
    let workers = builder.client.workers().await?;
    let platform =
        workers.into_iter().next().and_then(|worker| worker.platforms.into_iter().next());
    Ok(platform.map(|platform| Platform {
        architecture: platform.architecture,
        os: platform.os,
        os_version: platform.os_version,
        os_features: platform.os_features,
        variant: platform.variant,
    }))
}

/// Has the engine's frontend compile; nothing is built.
async fn ask(
    source: &Source,
    mut session: SessionBuilder,
    builder: &Builder,
    mirrors: &[String],
) -> Result<FrontendResult, Failure> {
    session = session.shared_key(source.shared_key.clone());
    for (name, path) in &source.directories {
        session = session.directory(name, path);
    }
    for (name, path) in &source.layouts {
        session = session.layout(name, path);
    }
    let none = SecretArgs { secret: Vec::new(), ssh: Vec::new() };
    session = with_services(session, &none, compilation::registry(mirrors)?)?;
    let dockerfile = source.dockerfile_directory()?;
    if let Some(folder) = &dockerfile {
        session = session.directory("dockerfile", folder.path());
    }
    let mut options = source.options.clone();
    // Without a command line the frontend would look for a `# syntax=` itself.
    options.insert("cmdline".to_owned(), FRONTEND.to_owned());
    let mut request = SolveRequest::frontend(FRONTEND, BTreeMap::new());
    request.internal = true;
    let (events, mut shown) = mpsc::channel(64);
    let drain = tokio::spawn(async move { while shown.recv().await.is_some() {} });
    let cancel = runtime::interruption();
    let mut result = FrontendResult::default();
    let asked = gateway::build(
        &builder.client,
        request,
        session,
        events,
        &cancel,
        async |bridge| -> Result<ClientResult, SolveError> {
            result = bridge.frontend(FRONTEND, options, BTreeMap::new()).await?;
            Ok(ClientResult::default())
        },
    );
    asked.await?;
    drain.abort();
    Ok(result)
}

fn compare_platform(
    ours: &CompiledPlatform,
    theirs: &FrontendResult,
    multi_platform: bool,
) -> Result<(), VerifyError> {
    let platform = ours.platform.to_string();
    let different =
        |difference: String| VerifyError::Different { platform: platform.clone(), difference };
    let reference = if multi_platform { platform.as_str() } else { "" };
    let empty = pb::Definition::default();
    let definition = match theirs.refs.get(reference) {
        Some(solved) => solved.definition.as_ref().unwrap_or(&empty),
        None if ours.definition.is_empty() => &empty,
        None => return Err(VerifyError::Missing(platform)),
    };
    if let Some(difference) = compare::first_difference(&ours.definition, definition) {
        return Err(different(difference.to_string()));
    }
    let key = match multi_platform {
        true => format!("containerimage.config/{platform}"),
        false => "containerimage.config".to_owned(),
    };
    let config = theirs.metadata.get(&key).cloned().unwrap_or_default();
    let own = ours.config_json();
    if own == config {
        return Ok(());
    }
    let parse = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
    let found = compare::first_field("", &parse(&own), &parse(&config));
    let text = match found {
        Some((field, ours, theirs)) => {
            format!("image config, {field}: kitwright has {ours}, the engine {theirs}")
        }
        None => "image config: the bytes differ, the values do not".to_owned(),
    };
    Err(different(text))
}
