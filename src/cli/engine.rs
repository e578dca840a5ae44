//! `kitwright engine`: the private engine.
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1::UsageRecord;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::report::{Failure, StdoutError};
use crate::engine::address::Address;
use crate::engine::asks::{Asks, MirrorRule, Network};
use crate::engine::client::{Client, Prune};
use crate::engine::private::{self, Lease, Options};
use crate::engine::programs::Programs;
use crate::engine::state::{StateDir, StateError};
use crate::engine::{connect, host_ca};
use crate::fault::{Classified, Fault};
use crate::output::progress::plain::bytes;

mod install;

/// Install, start, stop and inspect the private engine
#[derive(Debug, Args)]
pub(super) struct Engine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(install::Install),
    Start(Start),
    Stop(Stop),
    Status(Show),
    Logs(Logs),
    Du(Usage),
    Prune(Clean),
}

/// Start the engine and keep it running until `kitwright engine stop`
///
/// Builds start and stop the engine by themselves; a kept one saves them that time. Prints its
/// address.
#[derive(Debug, Args)]
struct Start {
    /// Registry to use in place of another, e.g. `docker.io=mirror.example.com`; `*` stands for any
    /// well-known one, a mirror that starts with `http://` is a plain one
    #[arg(long, value_name = "HOST=MIRROR")]
    registry_mirror: Vec<MirrorRule>,
    /// Registry that speaks plain HTTP (those on loopback do anyway)
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// Show this machine's CA certificates to RUN steps, outside of layers and cache keys
    #[arg(long)]
    host_ca: bool,
    /// How RUN steps reach the network: CNI where it is configured, or always the host's
    #[arg(long, value_enum)]
    network: Option<NetworkChoice>,
    /// How many steps may run at once [default: by processors and memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_parallelism: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkChoice {
    Auto,
    Host,
}

/// Let a kept engine end, as soon as no build uses it
#[derive(Debug, Args)]
struct Stop {}

/// Tell whether the engine runs, where it listens, and what it is made of
#[derive(Debug, Args)]
struct Show {
    /// `text` or `json`
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How to print a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Print the engine's log since its last start
#[derive(Debug, Args)]
struct Logs {
    /// Only so many lines, from the end
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

/// Tell what takes space in the engine's cache
#[derive(Debug, Args)]
struct Usage {
    /// Only records that match, e.g. `type==exec.cachemount`
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// `text` or `json`
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Remove what the engine's cache can do without
#[derive(Debug, Args)]
struct Clean {
    /// Also what the engine keeps for itself, such as frontend images
    #[arg(long)]
    all: bool,
    /// Only records that match, e.g. `type==exec.cachemount`
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Leave what was used in so many past hours
    #[arg(long, value_name = "HOURS", default_value_t = 0)]
    keep_hours: u32,
    /// Leave so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    reserved_space: u64,
}

impl Engine {
    pub(super) fn run(self) -> Result<(), Failure> {
        let state = state_dir()?;
        let command = match self.command {
            Command::Install(install) => return install.run(&state),
            Command::Logs(logs) => return logs.run(&state),
            other => other,
        };
        run_async(async {
            match command {
                Command::Start(start) => start.run(state).await,
                Command::Stop(_) => stop(&state).await,
                Command::Status(show) => show.run(&state).await,
                Command::Du(usage) => usage.run(state).await,
                Command::Prune(clean) => clean.run(state).await,
                Command::Install(_) | Command::Logs(_) => Ok(()),
            }
        })
    }
}

/// Runs a future on one thread: nothing here has enough to do for more.
pub(super) fn run_async(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| RuntimeError { source })?.block_on(future)
}

/// The system gives no event queue.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot wait for events")]
struct RuntimeError {
    source: std::io::Error,
}

impl Classified for RuntimeError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// The state folder that the environment names.
pub(super) fn state_dir() -> Result<StateDir, StateError> {
    StateDir::from_env(|name| std::env::var_os(name))
}

impl Start {
    async fn run(self, state: StateDir) -> Result<(), Failure> {
        let mut asks = Asks {
            plain_http: self.plain_http.into_iter().collect(),
            host_ca: self.host_ca.then(host_ca::bundle).flatten(),
            network: self.network.map(|network| match network {
                NetworkChoice::Auto => Network::Auto,
                NetworkChoice::Host => Network::Host,
            }),
            max_parallelism: self.max_parallelism,
            ..Asks::default()
        };
        asks.add_mirrors(&self.registry_mirror, []);
        let lease = private::acquire(Options { asks, keep: true, ..options(state) }).await?;
        print(&format!("{}\n", lease.address()))
    }
}

async fn stop(state: &StateDir) -> Result<(), Failure> {
    let waiting = |leases: usize| {
        let builds = if leases == 1 {
            "build that uses it".to_owned()
        } else {
            format!("{leases} builds that use it")
        };
        eprintln!("the engine stops after the {builds}");
    };
    if !private::stop(state, waiting).await? {
        eprintln!("the private engine is not running");
    }
    Ok(())
}

impl Show {
    async fn run(self, state: &StateDir) -> Result<(), Failure> {
        let status = private::status(state).await?;
        let programs = Programs::load(state);
        if self.format == Format::Json {
            let running = status.as_ref().and_then(|status| status.running.as_ref());
            let report = json!({
                "running": running.is_some(),
                "address": running.map(|running| &running.address),
                "pid": running.map(|running| running.pid),
                "rootless": running.map(|running| running.rootless),
                "boot_ms": running.map(|running| running.boot_ms),
                "kept": status.as_ref().is_some_and(|status| status.kept),
                "leases": status.as_ref().map_or(0, |status| status.leases),
                "supervisor": status.as_ref().map(|status| status.supervisor),
                "asks": status.as_ref().map(|status| &status.asks),
                "programs": programs,
                "state": state.root(),
                "log": state.log(),
            });
            return print(&format!("{report:#}\n"));
        }
        let mut text = match status.as_ref().map(|status| (status, &status.running)) {
            None => "not running\n".to_owned(),
            Some((_, None)) => "starting\n".to_owned(),
            Some((status, Some(running))) => format!(
                "running at {}\nprocess    {}, ready after {} ms\nleases     {}{}\n",
                running.address,
                running.pid,
                running.boot_ms,
                status.leases,
                if status.kept { ", kept until `kitwright engine stop`" } else { "" },
            ),
        };
        match programs {
            None => text += "installed  nothing; see `kitwright engine install`\n",
            Some(programs) => {
                let tools =
                    [Some(programs.buildkitd), Some(programs.runtime), programs.rootlesskit];
                for tool in tools.into_iter().flatten() {
                    text += &format!(
                        "installed  {} {} ({})\n",
                        tool.path.display(),
                        tool.version,
                        tool.origin
                    );
                }
            }
        }
        text += &format!("state      {}\n", state.root().display());
        print(&text)
    }
}

impl Logs {
    fn run(self, state: &StateDir) -> Result<(), Failure> {
        let path = state.log();
        let log = match fs_err::read(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StateError::io("read", &path)(error).into()),
        };
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let from = self.lines.map_or(0, |wanted| lines.len().saturating_sub(wanted));
        print(&lines[from..].iter().map(|line| format!("{line}\n")).collect::<String>())
    }
}

impl Usage {
    async fn run(self, state: StateDir) -> Result<(), Failure> {
        let (client, lease) = connected(state).await?;
        let mut records = client.disk_usage(self.filter).await?;
        lease.release().await;
        records.sort_by_key(|record| std::cmp::Reverse(record.size));
        if self.format == Format::Json {
            let records: Vec<_> = records.iter().map(as_json).collect();
            return print(&format!("{:#}\n", json!(records)));
        }
        let mut text = String::new();
        for record in &records {
            text += &line(record);
        }
        text += &format!("{:>9}  in {} records\n", bytes(total(&records)), records.len());
        print(&text)
    }
}

impl Clean {
    async fn run(self, state: StateDir) -> Result<(), Failure> {
        let (client, lease) = connected(state).await?;
        let prune = Prune {
            all: self.all,
            filters: self.filter,
            keep_duration: Duration::from_secs(u64::from(self.keep_hours) * 3600),
            reserved_space: self.reserved_space,
            ..Prune::default()
        };
        let removed = client.prune(&prune).await?;
        lease.release().await;
        let mut text = String::new();
        for record in &removed {
            text += &line(record);
        }
        text += &format!("{:>9}  freed in {} records\n", bytes(total(&removed)), removed.len());
        print(&text)
    }
}

/// The running engine, or one started for this.
async fn connected(state: StateDir) -> Result<(Client, Lease), Failure> {
    let lease = private::acquire(options(state)).await?;
    let socket = PathBuf::from(lease.address().trim_start_matches("unix://"));
    let client = connect::connect(&Address::unix(socket)).await?;
    Ok((client, lease))
}

fn options(state: StateDir) -> Options {
    Options { notice: |line| eprintln!("{line}"), ..Options::new(state) }
}

fn total(records: &[UsageRecord]) -> i64 {
    records.iter().map(|record| record.size).sum()
}

fn line(record: &UsageRecord) -> String {
    let busy = if record.in_use { " (in use)" } else { "" };
    let (kind, what) = (&record.record_type, &record.description);
    format!("{:>9}  {kind:<20} {what}{busy}\n", bytes(record.size))
}

fn as_json(record: &UsageRecord) -> serde_json::Value {
    json!({
        "id": record.id,
        "type": record.record_type,
        "size": record.size,
        "description": record.description,
        "in_use": record.in_use,
        "mutable": record.mutable,
        "shared": record.shared,
        "usage_count": record.usage_count,
        "parents": record.parents,
    })
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|source| StdoutError { source }.into())
}
