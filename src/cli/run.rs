//! `kitwright run`: runs a command in an image over the working tree and brings changed files back.
//!
//! The command is one exec op: the image is its root file system, the working tree a writable mount.
//! The engine exports the difference between the tree before and after as layers, whiteouts included,
//! which [`crate::output::changes`] applies to the disk.
mod graph;
mod ignored;
mod image;

use std::io::Write as _;
use std::path::PathBuf;

use buildkit_rs_proto::pb;
use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{EngineArgs, SecretArgs};
use super::builder::{self, Builder};
use super::report::Failure;
use super::{compilation, runtime, session};
use crate::cache::rest::{self, Base};
use crate::engine::failure::SolveError;
use crate::engine::identity;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{Export, ExportTarget, SolveRequest, SolveResult, solve};
use crate::engine::status::StatusEvent;
use crate::fault::{Classified, Fault};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::output::changes::{Changes, Tree};
use crate::plan::llb::session::in_session;
use crate::plan::pattern::{PatternError, Patterns};
use graph::RUN_NAME;
use ignored::ignored_by_git;

/// Run a command in an image over the working tree
///
/// Files that the command changes, makes or removes are changed on disk, with their modes; owners
/// stay as they were. What Git ignores, and `.git` itself, is not shown to the command.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The image, from the local image store or a registry
    image: String,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
    /// The working tree
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Where the working tree is mounted and the command starts
    #[arg(short, long, value_name = "PATH", default_value = "/work")]
    workdir: String,
    /// Environment variable; without `=VALUE` the value comes from the environment
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Pattern of files that the command is not shown, as in `.dockerignore`
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Show the command the files that Git ignores, too
    #[arg(long)]
    with_ignored: bool,
    /// Print the changed files on stdout
    #[arg(long)]
    print_changes: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Registry to use in place of another, e.g. `docker.io=mirror.example.com`
    #[arg(long, value_name = "HOST=MIRROR")]
    registry_mirror: Vec<String>,
}

/// A command that could not be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum RunError {
    #[error("invalid image `{image}`")]
    Image { image: String, source: ReferenceError },
    #[error("`--workdir {0}` is not an absolute path")]
    Workdir(String),
    #[error("working tree `{}` is not a directory", .0.display())]
    Tree(PathBuf),
    #[error("invalid pattern")]
    Pattern { source: PatternError },
    #[error("cannot ask Git which files it ignores: {0}")]
    #[diagnostic(help("`--with-ignored` shows the command all files"))]
    Git(String),
    #[error("cannot make a folder for the changed files")]
    Folder { source: std::io::Error },
    #[error("image `{image}` in the local image store cannot be used: {reason}")]
    #[diagnostic(help("pull it anew: `kitwright image pull {image}`"))]
    Stored { image: String, reason: String },
    #[error("the image's config cannot be read")]
    Config { source: serde_json::Error },
}

impl Classified for RunError {
    fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } | Self::Git(_) | Self::Stored { .. } => Fault::Environment,
            _ => Fault::Usage,
        }
    }
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !self.workdir.starts_with('/') {
            return Err(RunError::Workdir(self.workdir).into());
        }
        if !self.directory.is_dir() {
            return Err(RunError::Tree(self.directory).into());
        }
        let reference = ImageReference::parse(&self.image)
            .map_err(|source| RunError::Image { image: self.image.clone(), source })?;
        let hidden = self.hidden()?;
        let changes = runtime::block_on(self.run_in(reference.tag_name_only(), hidden))?;
        if self.print_changes {
            print_changes(&changes)?;
        }
        let (written, removed) = (changes.written.len(), changes.removed.len());
        if written + removed > 0 {
            eprintln!("{written} changed, {removed} removed");
        }
        Ok(())
    }

    /// Patterns of what the command is not shown.
    fn hidden(&self) -> Result<Vec<String>, Failure> {
        let mut hidden = vec![".git".to_owned()];
        if !self.with_ignored {
            hidden.extend(ignored_by_git(&self.directory)?);
        }
        hidden.extend(self.exclude.iter().cloned());
        Ok(hidden)
    }

    async fn run_in(
        &self,
        reference: ImageReference,
        hidden: Vec<String>,
    ) -> Result<Changes, Failure> {
        let patterns = Patterns::parse(&hidden).map_err(|source| RunError::Pattern { source })?;
        let folder = tempfile::tempdir().map_err(|source| RunError::Folder { source })?;
        let archive = folder.path().join("changes.tar");
        let starting = builder::start(&self.engine, &self.registry_mirror)?;
        let registry = compilation::registry(&self.registry_mirror)?;
        let session = SessionBuilder::new().directory("context", &self.directory);
        let session = session::with_services(session, &self.secrets, registry.clone())?;
        let (image, base, session) = self.image(&reference, &registry, session).await?;
        let definition = self.definition(image, session.session_id(), &hidden);
        let mut builder = starting.ready().await?;
        let work = (definition, session, base.as_ref());
        let solved = self.solve(work, archive.clone(), &mut builder).await;
        builder.release().await;
        solved?;
        Ok(Tree::new(self.directory.clone(), patterns).apply(&archive)?)
    }

    /// Runs the command; a second time when the engine could not go on fetching the image, which it does
    /// before the command begins.
    async fn solve(
        &self,
        (definition, session, base): (pb::Definition, SessionBuilder, Option<&Base>),
        archive: PathBuf,
        builder: &mut Builder,
    ) -> Result<(), Failure> {
        let cancel = runtime::interruption();
        let work = (definition.clone(), session.clone());
        let mut solved = self.solve_once(work, archive.clone(), builder, &cancel).await?;
        if let (Err(error), Some(base)) = (&solved, base)
            && rest::is_cause_of(error)
        {
            rest::fetch(base, &builder.client, &cancel).await;
            let id = identity::random();
            let definition = in_session(definition, &id, &mut Default::default());
            let work = (definition, session.id(id));
            solved = self.solve_once(work, archive, builder, &cancel).await?;
        }
        match solved {
            Ok(_) => Ok(()),
            // The command has said itself what was wrong.
            Err(SolveError::Step(step)) if step.exit_code.is_some() => {
                eprintln!(
                    "error: the command ended with exit code {}",
                    step.exit_code.unwrap_or(1)
                );
                Err(Failure::silent(Fault::Build))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn solve_once(
        &self,
        (definition, session): (pb::Definition, SessionBuilder),
        archive: PathBuf,
        builder: &mut Builder,
        cancel: &CancellationToken,
    ) -> Result<Result<SolveResult, SolveError>, Failure> {
        let mut request = SolveRequest::definition(definition);
        request.entitlements.clone_from(&self.engine.allow);
        request.internal = true;
        let attributes = [("compression", "uncompressed"), ("force-compression", "true")];
        request.exports = vec![Export {
            kind: "oci".to_owned(),
            attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            target: ExportTarget::File(archive),
        }];
        let (events, shown) = mpsc::channel(1024);
        let show = tokio::spawn(pass_through(shown));
        let client = builder.client.clone();
        let solved = tokio::select! {
            solved = solve(&client, request, session, events, cancel) => solved,
            error = builder.lost() => return Err(error.into()),
        };
        // The command's last words come before our own.
        let _ = show.await;
        Ok(solved)
    }
}

/// Writes the command's output through, and nothing else of what the engine tells.
async fn pass_through(mut events: mpsc::Receiver<StatusEvent>) {
    let mut command = None;
    while let Some(event) = events.recv().await {
        match event {
            StatusEvent::Vertex(vertex) if vertex.name == RUN_NAME => command = Some(vertex.digest),
            StatusEvent::Log(log) if command == Some(log.vertex) => {
                // A closed pipe at the other end is not the command's business.
                let _ = if log.stream == 1 {
                    std::io::stdout().write_all(&log.data)
                } else {
                    std::io::stderr().write_all(&log.data)
                };
            }
            _ => {}
        }
    }
    let _ = std::io::stdout().flush();
}

fn print_changes(changes: &Changes) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = changes.written.iter().map(|path| ('M', path));
    for (mark, path) in written.chain(changes.removed.iter().map(|path| ('D', path))) {
        let printed = writeln!(out, "{mark} {}", path.display());
        printed.map_err(|source| super::report::StdoutError { source })?;
    }
    Ok(())
}
