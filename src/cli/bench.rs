//! `kitwright bench`: what an image build costs, beside what it costs with other clients.
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use super::args::SourceArgs;
use super::report::{Failure, StdoutError};
use super::runtime;
use super::source::Source;
use crate::bench::actions::Service;
use crate::bench::client::Client;
use crate::bench::journal::{Header, Journal};
use crate::bench::report::{Machine, Results};
use crate::bench::runner::{self, Plan};
use crate::bench::sample::Contender;
use crate::bench::scenario::{Settings, built_in};
use crate::bench::work::{Work, named_context};
use crate::engine::asks::{Asks, MirrorRule};
use crate::engine::host_ca;
use crate::engine::programs::Programs;
use crate::engine::state::StateDir;
use crate::fault::{Classified, Fault};
use crate::plan::pattern::Patterns;

mod folders;
mod verdict;

use folders::Folders;

/// Measure what an image build costs, beside other clients
///
/// Engines and registry are the benchmark's own: fresh, on loopback and unix sockets, ended with it.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    source: SourceArgs,
    /// Secret for RUN instructions, e.g. `id=token,src=file`
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Mount this machine's CA certificates into RUN instructions
    #[arg(long)]
    host_ca: bool,
    /// Scenarios, built-in ones or those of the settings (default: the settings' or the usual ones)
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Clients to compare with: `buildx`, `buildx-defaults`, `buildctl`, or another kitwright as
    /// `NAME=PATH`; a path can be given to each
    #[arg(long, value_name = "CLIENT", value_delimiter = ',')]
    against: Vec<String>,
    /// The client whom the others are divided by (default: the first of `--against`)
    #[arg(long, value_name = "CLIENT")]
    reference: Option<String>,
    /// Samples of each scenario and client
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Settings with a `[bench]` table (default: `kitwright.toml`, if it is there)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for samples and reports (default: `bench-results` in the state folder)
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with the samples that a run has left in the folder
    #[arg(long)]
    resume: bool,
    /// Earlier results to compare with: a `results.json`
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much a ratio to the reference may exceed the baseline's
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = verdict::percent)]
    fail_over: f64,
    /// What is written to stdout
    #[arg(long, value_enum, default_value = "markdown")]
    format: Format,
    /// Registry program that takes `serve CONFIG` (default: `docker-registry` from PATH)
    #[arg(long, value_name = "PATH")]
    registry_program: Option<PathBuf>,
    /// Print the scenarios that there are, as settings, and measure nothing
    #[arg(long)]
    list: bool,
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Markdown,
    Json,
}

/// Flags that do not go together, and what a benchmark cannot work with.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum BenchError {
    #[error("build context `{0}` is not a directory")]
    #[diagnostic(help("every sample must find the same files: clone or unpack it first"))]
    Context(String),
    #[error("`{flag}` cannot be measured: other clients have no such option")]
    #[diagnostic(help("give it to the one that has it: `flags` of a scenario in the settings"))]
    Flag { flag: &'static str },
    #[error("the reference `{0}` is not among the clients")]
    Reference(String),
    #[error("`--against` names `{0}` twice")]
    Twice(String),
    #[error("`--host-ca`: this machine has no bundle of CA certificates")]
    NoBundle,
    #[error("the results folder `{}` lies in the build context, which each sample would change", .0.display())]
    #[diagnostic(help("name another with `--output`, or add it to the ignore file"))]
    InContext(PathBuf),
    #[error("another benchmark runs in `{}`", .0.display())]
    #[diagnostic(help("wait for it: two at once would measure each other"))]
    Busy(PathBuf),
    #[error("cannot {action} `{}`", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("invalid pattern in the ignore file")]
    Pattern { source: crate::plan::pattern::PatternError },
}

impl Classified for BenchError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoBundle | Self::Busy(_) | Self::File { .. } => Fault::Environment,
            _ => Fault::Usage,
        }
    }
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> BenchError + 'a {
    move |source| BenchError::File { action, path: path.to_owned(), source }
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.config.clone().unwrap_or_else(|| "kitwright.toml".into());
        let settings = Settings::load(&config, self.config.is_some())?;
        if self.list {
            return list(settings);
        }
        // Read first: a wrong name should not be found out after an hour.
        let baseline = self.baseline.as_deref().map(verdict::read).transpose()?;
        let state = StateDir::from_env(|name| std::env::var_os(name))?;
        let plan = self.plan(&settings, &state)?;
        let reference = self.reference(&plan.clients)?;
        if let Some(baseline) = &baseline {
            verdict::comparable(baseline, &reference, &plan.clients)?;
        }
        let output = self.output(&state, &plan)?;
        let folders = Folders::hold(&plan.folder, &plan.memory)?;
        let programs = plan.clients.iter().map(Client::title);
        let engine = format!("buildkitd {}", plan.programs.buildkitd.version);
        let programs = programs.chain([engine]).collect();
        let header = Header::new(Machine::measure(), programs, reference, digest(&plan));
        let samples = output.join("samples.jsonl");
        let mut journal = match self.resume {
            true => Journal::resume(&samples, header)?,
            false => Journal::create(&samples, header)?,
        };
        let ran = runtime::block_on(async {
            let told = |line: &str| eprintln!("{line}");
            Ok(runner::run(&plan, &mut journal, &told).await?)
        });
        let cleared = folders.remove();
        // What was measured before something failed is worth a report, too.
        let results = journal.results;
        write(&output, &results)?;
        ran?;
        cleared?;
        self.print(&results)?;
        eprintln!("samples and reports: {}", output.display());
        match baseline {
            Some(baseline) => verdict::judge(&results, &baseline, self.fail_over),
            None => Ok(()),
        }
    }

    fn plan(&self, settings: &Settings, state: &StateDir) -> Result<Plan, Failure> {
        let mut args = self.source.clone();
        if let (".", Some(context)) = (args.context.as_str(), &settings.context) {
            args.context = context.display().to_string();
        }
        if let (None, Some(dockerfile)) = (&args.file, &settings.dockerfile) {
            args.file = Some(dockerfile.display().to_string());
        }
        args.target = args.target.or_else(|| settings.target.clone());
        let mut scenarios = settings.choose(&self.scenario)?;
        if self.rounds.is_some() {
            // What the command line says goes before what a scenario says.
            scenarios.iter_mut().for_each(|scenario| scenario.rounds = None);
        }
        let mut clients = vec![Client::own(
            std::env::current_exe().map_err(failed("find", Path::new("/proc/self/exe")))?,
        )];
        for name in &self.against {
            let client = Client::parse(name)?;
            if clients.iter().any(|known| known.name == client.name) {
                return Err(BenchError::Twice(client.name).into());
            }
            clients.push(client);
        }
        let (work, ignored) = self.work(&args)?;
        let folder = state.root().join("bench");
        Ok(Plan {
            work,
            ignored,
            scenarios,
            stages: settings.stages.clone(),
            rounds: self.rounds.or(settings.rounds).unwrap_or(3),
            compression: settings.compression,
            asks: self.asks()?,
            programs: Programs::find(state)?,
            service: Service::from_variables(|name| std::env::var(name).ok()),
            registry: self.registry_program.clone(),
            memory: folders::in_memory(&folder),
            folder,
            program: clients[0].program.clone(),
            clients,
        })
    }

    /// The build, as every client understands it.
    fn work(&self, args: &SourceArgs) -> Result<(Work, Patterns), Failure> {
        let others = [
            ("--platform", args.platform.is_empty()),
            ("--label", args.label.is_empty()),
            ("--no-cache", !args.no_cache),
            ("--no-cache-filter", args.no_cache_filter.is_empty()),
            ("--pull", !args.pull),
            ("--network", args.network.is_none()),
            ("--add-host", args.add_host.is_empty()),
            ("--shm-size", args.shm_size.is_none()),
            ("--ulimit", args.ulimit.is_empty()),
            ("--cgroup-parent", args.cgroup_parent.is_none()),
            ("--locked", !args.locked),
        ];
        if let Some((flag, _)) = others.iter().find(|(_, unset)| !unset) {
            return Err(BenchError::Flag { flag }.into());
        }
        let generated = built_in();
        let generates = |name: &String| {
            generated.iter().any(|known| known.name == *name && known.generate.is_some())
        };
        if !self.scenario.is_empty() && self.scenario.iter().all(generates) {
            // They bring their own context: there need not be another.
            return Ok((nothing(), Patterns::default()));
        }
        let source = Source::read(args)?;
        let context =
            source.context.as_ref().ok_or_else(|| BenchError::Context(args.context.clone()))?;
        let dockerfile = source.dockerfile.path.as_ref();
        let dockerfile = dockerfile.ok_or(BenchError::Flag { flag: "--file -" })?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(failed("find", path));
        let patterns = Patterns::parse(source.ignored_patterns()?)
            .map_err(|source| BenchError::Pattern { source })?;
        let mut contexts = Vec::new();
        for named in &args.build_context {
            let (name, place) = named.split_once('=').unwrap_or((named, ""));
            contexts.push(named_context(name, place)?);
        }
        let build_args = args.build_arg.iter().map(|arg| match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (arg.clone(), std::env::var(arg).unwrap_or_default()),
        });
        let work = Work {
            context: absolute(context)?,
            dockerfile: absolute(dockerfile)?,
            target: args.target.clone(),
            build_args: build_args.collect(),
            contexts,
            secrets: self.secret.clone(),
        };
        Ok((work, patterns))
    }

    fn asks(&self) -> Result<Asks, Failure> {
        let mut asks = Asks::default();
        if self.host_ca {
            asks.host_ca = Some(host_ca::bundle().ok_or(BenchError::NoBundle)?);
        }
        let mut rules: Vec<MirrorRule> = Vec::new();
        for mirror in &self.source.registry_mirror {
            rules.push(mirror.parse()?);
        }
        asks.add_mirrors(&rules, []);
        Ok(asks)
    }

    fn reference(&self, clients: &[Client]) -> Result<Contender, Failure> {
        let name = match &self.reference {
            Some(name) => name.clone(),
            None => clients.get(1).unwrap_or(&clients[0]).name.clone(),
        };
        if !clients.iter().any(|client| client.name == name) {
            return Err(BenchError::Reference(name).into());
        }
        Ok(Contender(name))
    }

    /// The folder for the results, made.
    fn output(&self, state: &StateDir, plan: &Plan) -> Result<PathBuf, Failure> {
        let output = self.output.clone().unwrap_or_else(|| state.root().join("bench-results"));
        let output = std::path::absolute(&output).map_err(failed("find", &output))?;
        if let Ok(within) = output.strip_prefix(&plan.work.context)
            && !plan.ignored.matches(within.as_os_str().as_encoded_bytes())
        {
            return Err(BenchError::InContext(output).into());
        }
        fs_err::create_dir_all(&output).map_err(failed("make", &output))?;
        Ok(output)
    }

    fn print(&self, results: &Results) -> Result<(), StdoutError> {
        use std::io::Write as _;
        let text = match self.format {
            Format::Markdown => results.markdown(),
            Format::Json => results.json(),
        };
        write!(std::io::stdout(), "{text}").map_err(|source| StdoutError { source })
    }
}

/// A build of nothing, for scenarios that bring their own.
fn nothing() -> Work {
    Work {
        context: PathBuf::from("/nonexistent"),
        dockerfile: PathBuf::from("/nonexistent/Dockerfile"),
        target: None,
        build_args: Vec::new(),
        contexts: Vec::new(),
        secrets: Vec::new(),
    }
}

/// What decides whether two runs took samples of the same.
fn digest(plan: &Plan) -> String {
    let scenarios = serde_json::to_string(&plan.scenarios).unwrap_or_default();
    let Plan { work, stages, asks, compression, .. } = plan;
    let text = format!("{work:?}\n{scenarios}\n{stages:?}\n{asks:?}\n{compression:?}");
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(output: &Path, results: &Results) -> Result<(), BenchError> {
    for (name, text) in [
        ("results.json", results.json()),
        ("results.md", results.markdown()),
        ("results.html", results.html()),
    ] {
        let path = output.join(name);
        fs_err::write(&path, text).map_err(failed("write", &path))?;
    }
    Ok(())
}

fn list(mut settings: Settings) -> Result<(), Failure> {
    use std::io::Write as _;
    settings.scenario.extend(built_in());
    for scenario in &settings.scenario {
        let text = toml::to_string(scenario).unwrap_or_default();
        writeln!(std::io::stdout(), "[[bench.scenario]]\n{text}")
            .map_err(|source| StdoutError { source })?;
    }
    Ok(())
}
