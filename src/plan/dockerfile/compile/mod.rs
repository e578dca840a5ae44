//! Dockerfile to LLB: stages are resolved, then their instructions build a graph one by one.
//!
//! The order of everything is that of BuildKit's frontend, because digests depend on it: global
//! arguments, stages with their bases, the dependencies between them, base images with their
//! `ONBUILD` triggers, the instructions of every stage that the target needs, and at last the build
//! context, whose list of used paths is only then complete.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;

use super::compiled::{Compiled, CompiledPlatform, UsedImage};
use super::error::ParseError;
use super::expand::{Lexer, Variables};
use super::instruction::{Dockerfile, Instruction, Stage};
use super::lint::{self, Linter, Warning};
use super::options::{CompileOptions, MainContext};
use super::resolver::{ImageQuery, ImageResolver};
use super::source::{LineRange, Located, Source};
use crate::oci::config::ImageConfig;
use crate::oci::platform::Platform;
use crate::plan::llb::{EnvList, Graph, NodeId, Range, State};
use crate::plan::pattern::Patterns;
use context::{NamedContext, PendingLocal};
use image::Image;

mod args;
mod base;
mod chmod;
mod config;
mod context;
mod copy;
mod dispatch;
mod epoch;
mod error;
mod expose;
mod file_op;
mod finish;
mod image;
mod mounts;
mod names;
mod run;
mod signal;
mod stages;
mod text;
mod variables;
mod workdir;

pub use error::{CompileError, CompileErrorKind};

/// Compiles `file` for every platform that `options` asks for.
///
/// # Errors
///
/// [`CompileError::Unresolved`] names images that `resolver` has no answer for yet: look them up and
/// compile again, at most three times in all. Other errors are final.
pub fn compile(
    file: &Dockerfile,
    options: &CompileOptions,
    resolver: &dyn ImageResolver,
) -> Result<Compiled, CompileError> {
    let mut linter = Linter::new(check_options(file, options)?);
    lint::check_file(file, true, &mut linter);
    compile_linting(file, options, resolver, &mut linter)
}

/// What the checks of a file found, and the error that stopped them, if one did.
#[derive(Debug)]
pub struct Checked {
    /// The findings in the order in which they were made.
    pub warnings: Vec<Warning>,
    /// Why the file cannot be built.
    pub error: Option<CheckError>,
}

/// Why a file that was checked cannot be built.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CheckError {
    /// It cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Parse(#[from] Located<ParseError>),
    /// It cannot be compiled.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Compile(#[from] CompileError),
}

/// Checks a Dockerfile: BuildKit's rules and our own, for all stages unless there is a target.
///
/// The error is [`CompileError::Unresolved`] while `resolver` lacks answers: see [`compile`].
#[must_use]
pub fn check(source: Source, options: &CompileOptions, resolver: &dyn ImageResolver) -> Checked {
    let (file, error) = super::parse_partially(source);
    let mut linter = match check_options(&file, options) {
        Ok(options) => Linter::new(options),
        Err(error) => return Checked { warnings: Vec::new(), error: Some(error.into()) },
    };
    lint::check_file(&file, error.is_none(), &mut linter);
    let error = match error {
        Some(error) => Some(error.into()),
        None => {
            let mut options = options.clone();
            options.all_stages = options.target.is_none();
            let outcome = compile_linting(&file, &options, resolver, &mut linter);
            let is_context = |name: &str| options.named_contexts.contains_key(name);
            lint::check_advice(&file, is_context, &mut linter);
            outcome.err().map(CheckError::from)
        }
    };
    Checked { warnings: linter.into_warnings(), error }
}

/// What is checked besides errors.
fn check_options(
    file: &Dockerfile,
    options: &CompileOptions,
) -> Result<lint::Options, CompileError> {
    lint::Options::of(file, options.effective_check())
        .map_err(|error| CompileErrorKind::Parse(error.error).at(&file.source, error.lines))
}

fn compile_linting(
    file: &Dockerfile,
    options: &CompileOptions,
    resolver: &dyn ImageResolver,
    linter: &mut Linter,
) -> Result<Compiled, CompileError> {
    let targets: Vec<Option<&Platform>> = match &options.platforms[..] {
        [] => vec![None],
        platforms => platforms.iter().map(Some).collect(),
    };
    let mut platforms = Vec::with_capacity(targets.len());
    let mut unresolved = BTreeSet::new();
    for (at, target) in targets.into_iter().enumerate() {
        // What is found for one platform is found for the others.
        let mut unheard = linter.clone();
        let linter = if at == 0 { &mut *linter } else { &mut unheard };
        match Compiler::new(file, options, resolver, target, linter)?.run() {
            Ok(compiled) => platforms.push(compiled),
            Err(CompileError::Unresolved(queries)) => unresolved.extend(queries),
            Err(other) => return Err(other),
        }
    }
    if !unresolved.is_empty() {
        return Err(CompileError::Unresolved(unresolved.into_iter().collect()));
    }
    let warnings = linter.warnings().to_vec();
    Ok(Compiled { platforms, multi_platform: options.is_multi_platform(), warnings })
}

/// A stage, or an image that an instruction copies from or mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StageId(usize);

/// A set of paths that instructions use; stages share that of their base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PathsId(usize);

/// One compilation for one platform.
struct Compiler<'a> {
    file: &'a Dockerfile,
    options: &'a CompileOptions,
    resolver: &'a dyn ImageResolver,
    linter: &'a mut Linter,
    /// What `.dockerignore` leaves out of the build context.
    ignored: Patterns,
    target_platform: Platform,
    /// Whether nobody asked for the platform.
    implicit_target: bool,
    build_args: Cow<'a, BTreeMap<String, String>>,
    global_args: EnvList,
    epoch: Option<i64>,
    proxy: Option<pb::ProxyEnv>,
    lexer: Lexer,
    graph: Graph,
    /// The build context, reserved until its paths are known.
    context: NodeId,
    /// Paths of the build context that dispatched stages use.
    context_paths: BTreeSet<String>,
    stages: Vec<StageState<'a>>,
    by_name: BTreeMap<String, StageId>,
    paths: Vec<BTreeSet<String>>,
    locals: Vec<PendingLocal>,
    unresolved: BTreeSet<ImageQuery>,
    images: BTreeSet<UsedImage>,
    secrets: BTreeMap<String, bool>,
    ssh: BTreeMap<String, bool>,
}

/// What becomes of a stage.
#[derive(Default)]
struct StageState<'a> {
    /// The stage as parsed; `None` for an image that is only copied from or mounted.
    parsed: Option<&'a Stage>,
    /// The lines it is at.
    lines: LineRange,
    /// Its base with variables expanded, later its full reference.
    base_name: String,
    /// The name that progress output shows.
    shown_name: String,
    state: Option<State>,
    image: Image,
    named_context: Option<NamedContext>,
    platform: Option<Platform>,
    base: Option<StageId>,
    base_image: Option<ImageConfig>,
    /// Whether it is an image that is mounted and in no line of its own.
    is_mount: bool,
    /// Whether its state is final.
    dispatched: bool,
    /// Whether its base image is known.
    resolved: bool,
    /// Whether the triggers of the stage below have been taken over.
    triggers_taken: bool,
    /// What it copies from and mounts, with the lines that do.
    dependencies: BTreeMap<StageId, LineRange>,
    /// Declared build arguments in order.
    build_args: Vec<(String, Option<String>)>,
    commands: Vec<Command<'a>>,
    /// Paths of it that other stages use.
    paths: Option<PathsId>,
    ignore_cache: bool,
    /// Steps counted so far and in all, as progress output shows them.
    step: usize,
    steps: usize,
    scan_stage: bool,
    scan_context: bool,
    workdir_set: bool,
    /// The lines of the last instructions of a kind that counts once.
    cmd: Option<LineRange>,
    entrypoint: Option<LineRange>,
    healthcheck: Option<LineRange>,
}

/// An instruction, of which a file may have very many.
#[derive(Clone)]
enum Written<'a> {
    /// In the file.
    Here(&'a Instruction),
    /// In the config of a base image, or in the file for those who build on the stage.
    Trigger(Box<Instruction>),
}

impl std::ops::Deref for Written<'_> {
    type Target = Instruction;

    fn deref(&self) -> &Instruction {
        match self {
            Self::Here(instruction) => instruction,
            Self::Trigger(instruction) => instruction,
        }
    }
}

/// An instruction of a stage with what it depends on.
#[derive(Clone)]
struct Command<'a> {
    instruction: Written<'a>,
    /// For `COPY`, what it copies from; for `RUN`, what each of its mounts holds.
    sources: Vec<StageId>,
    is_trigger: bool,
    lines: LineRange,
}

impl Variables for EnvList {
    fn get(&self, name: &str) -> Option<&str> {
        EnvList::get(self, name)
    }
}

impl<'a> Compiler<'a> {
    fn new(
        file: &'a Dockerfile,
        options: &'a CompileOptions,
        resolver: &'a dyn ImageResolver,
        target: Option<&Platform>,
        linter: &'a mut Linter,
    ) -> Result<Self, CompileError> {
        let build_platform =
            options.build_platforms.first().cloned().unwrap_or_else(Platform::host);
        let target_platform = target.unwrap_or(&build_platform).clone();
        if target_platform.os == "windows" {
            return Err(CompileErrorKind::Unsupported("the target platform windows").into());
        }
        let ignored = match options.context {
            MainContext::Local(_) => Patterns::parse(&options.dockerignore)
                .map_err(|error| CompileErrorKind::Ignore(error.to_string()))?,
            _ => Patterns::default(),
        };
        let mut graph = Graph::new();
        let context = graph.reserve();
        let mut compiler = Self {
            file,
            options,
            resolver,
            linter,
            ignored,
            implicit_target: target.is_none(),
            build_args: Cow::Borrowed(&options.build_args),
            global_args: EnvList::default(),
            epoch: None,
            proxy: args::proxy_env(&options.build_args),
            lexer: Lexer::new(file.escape),
            graph,
            context,
            context_paths: BTreeSet::new(),
            stages: Vec::with_capacity(file.stages.len()),
            by_name: BTreeMap::new(),
            paths: Vec::new(),
            locals: Vec::new(),
            unresolved: BTreeSet::new(),
            images: BTreeSet::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            target_platform,
        };
        compiler.read_global_args(&build_platform)?;
        Ok(compiler)
    }

    fn run(mut self) -> Result<CompiledPlatform, CompileError> {
        self.add_stages()?;
        let target = self.find_target()?;
        self.add_commands()?;
        let needed = self.resolve_stages(target)?;
        self.dispatch_stages(&needed)?;
        self.finish(target)
    }

    fn stage(&self, id: StageId) -> &StageState<'a> {
        &self.stages[id.0]
    }

    fn stage_mut(&mut self, id: StageId) -> &mut StageState<'a> {
        &mut self.stages[id.0]
    }

    /// The state of a stage; that of an empty file system before it has one.
    fn state(&self, id: StageId) -> State {
        self.stage(id).state.clone().unwrap_or_else(State::scratch)
    }

    fn new_paths(&mut self) -> PathsId {
        self.paths.push(BTreeSet::new());
        PathsId(self.paths.len() - 1)
    }

    /// Notes that `path` of a stage is used.
    fn use_path(&mut self, id: StageId, path: String) {
        if let Some(paths) = self.stage(id).paths {
            self.paths[paths.0].insert(path);
        }
    }

    fn error(&self, kind: CompileErrorKind, lines: LineRange) -> CompileError {
        kind.at(&self.file.source, lines)
    }
}

/// The place of an instruction as engines take it: one range a line.
fn location(lines: LineRange) -> Vec<Range> {
    (lines.start..=lines.end).map(|line| Range::lines(line, line)).collect()
}
