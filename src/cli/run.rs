//! `kitwright run`: runs a command in an image over the working tree and brings changed files back.
//!
//! The command is one exec op: the image is its root file system, the working tree a writable mount.
//! The engine exports the difference between the tree before and after as layers, whiteouts included,
//! which [`crate::output::changes`] applies to the disk.
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use buildkit_rs_proto::pb;
use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{EngineArgs, SecretArgs};
use super::builder::{self, Builder};
use super::image::local_store;
use super::report::Failure;
use super::{compilation, runtime, session};
use crate::cache::rest::{self, Base};
use crate::engine::failure::SolveError;
use crate::engine::identity;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{Export, ExportTarget, SolveRequest, SolveResult, solve};
use crate::engine::status::StatusEvent;
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::store::StoreError;
use crate::output::changes::{Changes, Tree};
use crate::plan::llb::session::in_session;
use crate::plan::llb::wire;
use crate::plan::pattern::{PatternError, Patterns};

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

/// An image as a source op, and what its config says of commands.
struct Image {
    source: pb::SourceOp,
    env: Vec<String>,
    user: String,
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

    /// Finds the image: in the local store, else in its registry.
    async fn image(
        &self,
        reference: &ImageReference,
        registry: &crate::oci::registry::Client,
        session: SessionBuilder,
    ) -> Result<(Image, Option<Base>, SessionBuilder), Failure> {
        const STORE: &str = "images";
        let platform = Platform::host();
        let store = local_store()?;
        match store.find(reference) {
            Ok(found) => {
                let digest = found.descriptor.digest;
                let config = super::images::layout_config(store.root(), digest, &platform)
                    .map_err(|reason| RunError::Stored { image: self.image.clone(), reason })?;
                let attrs = [
                    ("oci.session".to_owned(), session.session_id().to_owned()),
                    ("oci.store".to_owned(), STORE.to_owned()),
                ];
                let source = pb::SourceOp {
                    identifier: format!("oci-layout://{}@{digest}", reference.name()),
                    attrs: attrs.into(),
                };
                let session = session.layout(STORE, store.root());
                let base = Base { layout: store.root().to_owned(), digest, platform };
                Ok((Image::new(source, &config)?, Some(base), session))
            }
            Err(StoreError::NoImage(_)) => {
                let resolved = registry.resolve(reference, &platform).await?;
                let pinned = reference.clone().with_digest(resolved.root.digest);
                let source = pb::SourceOp {
                    identifier: format!("docker-image://{pinned}"),
                    attrs: Default::default(),
                };
                Ok((Image::new(source, &resolved.config)?, None, session))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The graph: image and tree, the command, and the difference that it makes to the tree.
    fn definition(&self, image: Image, session: &str, hidden: &[String]) -> pb::Definition {
        let platform = pb::Platform::from(&Platform::host());
        let tree = pb::SourceOp {
            identifier: "local://context".to_owned(),
            attrs: [
                ("local.session".to_owned(), session.to_owned()),
                ("local.sharedkeyhint".to_owned(), "run".to_owned()),
                ("local.excludepatterns".to_owned(), serde_json::json!(hidden).to_string()),
            ]
            .into(),
        };
        let mut graph = Graph::default();
        let tree = graph.add(Vec::new(), pb::op::Op::Source(tree), None, "load working tree");
        let root = pb::op::Op::Source(image.source.clone());
        let name = format!("load {}", self.image);
        let root = graph.add(Vec::new(), root, Some(platform.clone()), &name);
        let exec = pb::op::Op::Exec(self.exec(&image));
        let exec = graph.add(vec![(root, 0), (tree, 0)], exec, Some(platform), RUN_NAME);
        let diff = pb::DiffOp {
            lower: Some(pb::LowerDiffInput { input: 0 }),
            upper: Some(pb::UpperDiffInput { input: 1 }),
        };
        let inputs = vec![(tree, 0), (exec, 1)];
        let diff = graph.add(inputs, pb::op::Op::Diff(diff), None, "compare working trees");
        // It runs because it was asked to run, whatever the cache says.
        graph.metadata.entry(exec.to_string()).or_default().ignore_cache = true;
        graph.finish(diff)
    }

    fn exec(&self, image: &Image) -> pb::ExecOp {
        let mount = |input, dest: &str, output| pb::Mount {
            input,
            dest: dest.to_owned(),
            output,
            ..Default::default()
        };
        let mut env = image.env.clone();
        for variable in &self.env {
            match variable.split_once('=') {
                Some(_) => env.push(variable.clone()),
                None => {
                    env.extend(std::env::var(variable).map(|value| format!("{variable}={value}")))
                }
            }
        }
        pb::ExecOp {
            meta: Some(pb::Meta {
                args: self.command.clone(),
                env,
                cwd: self.workdir.clone(),
                user: image.user.clone(),
                remove_mount_stubs_recursive: true,
                ..Default::default()
            }),
            mounts: vec![mount(0, "/", 0), mount(1, &self.workdir, 1)],
            ..Default::default()
        }
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

/// The name of the command's vertex, by which its output is told from the rest.
const RUN_NAME: &str = "run command";

/// Writes the command's output through, and what fails or takes long besides.
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

/// Asks Git which files of `directory` it ignores; nothing where there is no repository.
fn ignored_by_git(directory: &Path) -> Result<Vec<String>, RunError> {
    let listed = Program::new("git")
        .args(["-C".as_ref(), directory.as_os_str()])
        .args(["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"])
        .stderr(Stdio::null())
        .output();
    let output = match listed {
        Ok(output) if output.status.success() => output,
        // No Git, or no repository: then nothing is ignored.
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::Git(error.to_string())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split('\0').filter(|path| !path.is_empty());
    Ok(paths.map(|path| escaped(path.trim_end_matches('/'))).collect())
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '!') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

impl Image {
    fn new(source: pb::SourceOp, config: &[u8]) -> Result<Self, RunError> {
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Runtime {
            env: Option<Vec<String>>,
            user: Option<String>,
        }
        #[derive(serde::Deserialize)]
        struct Config {
            #[serde(default)]
            config: Runtime,
        }
        let config: Config =
            serde_json::from_slice(config).map_err(|source| RunError::Config { source })?;
        let Runtime { env, user } = config.config;
        Ok(Self { source, env: env.unwrap_or_default(), user: user.unwrap_or_default() })
    }
}

/// A definition in the making.
#[derive(Default)]
struct Graph {
    ops: Vec<bytes::Bytes>,
    metadata: std::collections::BTreeMap<String, pb::OpMetadata>,
}

impl Graph {
    fn add(
        &mut self,
        inputs: Vec<(Digest, i64)>,
        op: pb::op::Op,
        platform: Option<pb::Platform>,
        name: &str,
    ) -> Digest {
        let input =
            |(digest, index): (Digest, i64)| pb::Input { digest: digest.to_string(), index };
        let op = pb::Op {
            inputs: inputs.into_iter().map(input).collect(),
            platform,
            constraints: Some(pb::WorkerConstraints::default()),
            op: Some(op),
        };
        let bytes = wire::encode_op(&op);
        let digest = Digest::of(&bytes);
        self.ops.push(bytes.into());
        let metadata = self.metadata.entry(digest.to_string()).or_default();
        metadata.description.insert("llb.customname".to_owned(), name.to_owned());
        digest
    }

    fn finish(mut self, result: Digest) -> pb::Definition {
        let input = pb::Input { digest: result.to_string(), index: 0 };
        let terminal = pb::Op { inputs: vec![input], ..Default::default() };
        self.ops.push(wire::encode_op(&terminal).into());
        pb::Definition { def: self.ops, metadata: self.metadata, source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_pattern_of_itself() {
        for path in ["a/b", "we[i]rd*?", "!not", "back\\slash"] {
            let patterns = Patterns::parse([escaped(path)]).unwrap();
            assert!(patterns.matches(path.as_bytes()), "{path}");
            assert!(!patterns.matches(b"other"), "{path}");
        }
    }

    #[test]
    fn git_names_what_it_ignores() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ignored_by_git(folder.path()).unwrap(), Vec::<String>::new());
        let git = |line: &[&str]| {
            let status = Program::new("git").arg("-C").arg(folder.path()).args(line).status();
            assert!(status.unwrap().success());
        };
        git(&["init", "-q"]);
        fs_err::write(folder.path().join(".gitignore"), "/target\n*.log\n").unwrap();
        fs_err::create_dir(folder.path().join("target")).unwrap();
        for file in ["target/x", "a.log", "kept"] {
            fs_err::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(ignored_by_git(folder.path()).unwrap(), ["a.log", "target"]);
    }
}
