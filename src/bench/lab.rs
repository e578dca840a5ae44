//! The engines and the registry that a benchmark starts: private, on loopback and unix sockets, and
//! ended with it.
//!
//! An engine is kitwright's private one with a state folder of its own. Its supervisor ends it when
//! the lease's connection does, the kernel ends the registry with this process: nothing outlives a
//! benchmark that is killed.
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::forward::Forwarder;
use crate::engine::address::{Address, AddressError};
use crate::engine::asks::Asks;
use crate::engine::client::{Client, Prune, RpcError};
use crate::engine::connect::{ConnectError, connect};
use crate::engine::private::{self, Lease, PrivateError};
use crate::engine::programs::{Programs, find_program};
use crate::engine::state::{StateDir, StateError};
use crate::fault::{Classified, Fault};

/// Why there is no engine or registry to measure with.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LabError {
    /// The engine did not start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] PrivateError),
    /// The engine's state folder cannot be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// The engine's address makes no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Address(#[from] AddressError),
    /// The engine cannot be reached.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connect(#[from] ConnectError),
    /// The engine refused something.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Rpc(#[from] RpcError),
    /// There is no registry program.
    #[error("the scenarios need a registry, but `docker-registry` is not on PATH")]
    #[diagnostic(help(
        "install it (Debian: `apt-get install docker-registry`), or name a program that takes \
         `serve CONFIG` with `--registry-program`"
    ))]
    NoRegistry,
    /// The registry did not start.
    #[error("the registry `{}` does not start: {output}", program.display())]
    Registry {
        /// The program.
        program: PathBuf,
        /// What it said.
        output: String,
    },
    /// Nothing can be put before GitHub's cache service.
    #[error("cannot put a forwarder before GitHub's cache service")]
    Forward(#[source] std::io::Error),
    /// The state of an engine is to lie in memory.
    #[error(
        "`{MEMORY}` is no file system in memory, where `engine-state = \"memory\"` would keep it"
    )]
    #[diagnostic(help("mount one: `mount -t tmpfs tmpfs {MEMORY}`"))]
    NoMemory,
    /// There is no port for what the benchmark listens on.
    #[error("cannot listen on loopback")]
    Port(#[source] std::io::Error),
    /// A file or port could not be used.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for LabError {
    fn fault(&self) -> Fault {
        match self {
            Self::Engine(error) => error.fault(),
            _ => Fault::Environment,
        }
    }
}

fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> LabError + 'a {
    move |source| LabError::Io { action, path: path.display().to_string(), source }
}

/// Where file systems in memory are mounted.
pub const MEMORY: &str = "/dev/shm";

/// Makes `folder`, which has to lie in memory.
///
/// # Errors
///
/// When the machine has no such file system.
pub(super) fn in_memory(folder: &Path) -> Result<&Path, LabError> {
    let kind = rustix::fs::statfs(MEMORY).map(|found| found.f_type);
    if kind != Ok(libc::TMPFS_MAGIC) {
        return Err(LabError::NoMemory);
    }
    // Everybody may write there: what somebody else has made is not used.
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs_err::symlink_metadata(folder).map_err(io("look at", folder))?;
            match found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
                true => Ok(folder),
                false => Err(io("use", folder)(error)),
            }
        }
        made => made.map(|()| folder).map_err(io("make", folder)),
    }
}

/// A running engine with a state of its own.
#[derive(Debug)]
pub struct Lab {
    lease: Lease,
    client: Client,
    folder: PathBuf,
    /// How long it took to start, in seconds.
    pub boot: f64,
}

impl Lab {
    /// Starts an engine that has never built anything, with its state in `folder`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(folder: PathBuf, programs: &Programs, asks: Asks) -> Result<Self, LabError> {
        let state = StateDir::at(folder.clone());
        state.create_engine()?;
        programs.save(&state)?;
        let mut options = private::Options::new(state);
        options.asks = asks;
        let began = Instant::now();
        let lease = private::acquire(options).await?;
        let boot = began.elapsed().as_secs_f64();
        let address: Address = lease.address().parse()?;
        let client = connect(&address).await?;
        Ok(Self { lease, client, folder, boot })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        self.lease.address()
    }

    /// Removes what the filters match, or everything.
    ///
    /// # Errors
    ///
    /// What the engine says.
    pub async fn prune(&self, filters: &[&str]) -> Result<(), LabError> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        self.client.prune(&Prune { all: true, filters, ..Prune::default() }).await?;
        Ok(())
    }

    /// Stops it and removes its state.
    ///
    /// # Errors
    ///
    /// When the state cannot be removed.
    pub async fn end(self) -> Result<(), LabError> {
        let root = rustix::process::geteuid().is_root();
        if !root {
            // What steps have written belongs to other users, whom only the engine can be.
            self.prune(&[]).await?;
        }
        drop(self.client);
        self.lease.release().await;
        match fs_err::remove_dir_all(&self.folder) {
            Err(source) if root => Err(io("remove", &self.folder)(source)),
            _ => Ok(()),
        }
    }
}

/// A running registry and the counting forwarder before it.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    forwarder: Forwarder,
}

impl Registry {
    /// Starts `program`, or `docker-registry` from `PATH`, with its content in `folder`.
    ///
    /// # Errors
    ///
    /// When there is none or it does not start.
    pub async fn start(program: Option<&Path>, folder: &Path) -> Result<Self, LabError> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => find_program("docker-registry").ok_or(LabError::NoRegistry)?,
        };
        fs_err::create_dir_all(folder).map_err(io("make", folder))?;
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {:?}}}}}\n\
             http: {{addr: \"127.0.0.1:0\", secret: benchmark}}\n",
            folder.join("data")
        );
        fs_err::write(&config, text).map_err(io("write", &config))?;
        let (process, host) = spawn(&program, &config)?;
        let forwarder = Forwarder::start(host).await.map_err(io("forward to", &program))?;
        Ok(Self { process, forwarder })
    }

    /// What image references begin with.
    #[must_use]
    pub fn host(&self) -> String {
        self.forwarder.host()
    }

    /// What has been sent and received so far.
    #[must_use]
    pub fn traffic(&self) -> super::sample::Traffic {
        self.forwarder.traffic()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the registry and waits until it says where it listens.
fn spawn(program: &Path, config: &Path) -> Result<(Child, String), LabError> {
    let failed = |output: String| LabError::Registry { program: program.to_owned(), output };
    let mut command = Command::new(program);
    command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    // SAFETY: between fork and exec only this one system call is made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .map_err(Into::into)
        });
    }
    let mut process = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut lines = process.stderr.take().map(BufReader::new).into_iter();
    let Some(mut stderr) = lines.next() else { return Err(failed(String::new())) };
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if !matches!(stderr.read_line(&mut line), Ok(1..)) {
            let _ = process.wait();
            return Err(failed(said.trim().to_owned()));
        }
        if let Some(host) = listening_on(&line) {
            // Nobody reads on; a full pipe would stop it.
            std::thread::spawn(move || {
                let mut rest = [0; 4096];
                while matches!(stderr.read(&mut rest), Ok(1..)) {}
            });
            return Ok((process, host));
        }
        said.push_str(&line);
    }
}

/// The address in the registry's log.
fn listening_on(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    Some(rest.split(['"', ' ', ',', '\n']).next()?.to_owned())
}
