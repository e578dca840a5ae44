//! The client's side of the private engine: take a lease, build, give it back.
//!
//! All builds of a user share one engine. A *supervisor*, a kitwright process of its own, runs the
//! daemon and counts leases, which are connections to its socket: the kernel ends them however a
//! build ends, so a killed build needs no cleaning up. When the last one is gone the supervisor
//! stops the daemon and ends.
//!
//! ```text
//! kitwright build ──lease──┐
//! kitwright build ──lease──┤ supervisor ──> buildkitd ──> steps
//! kitwright engine start ──┘  (parent-death signal, PID namespace)
//! ```
//!
//! Whoever finds no supervisor binds the socket itself and hands it over as the supervisor's stdin;
//! so others can connect before the supervisor has even started, and nobody polls.
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::FlockOperation;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::asks::Asks;
use super::lease::{PROTOCOL, Reply, Request, Wish};
pub use super::lease::{Running, Status};
use super::programs::{Programs, ProgramsError};
use super::state::{StateDir, StateError};
use crate::fault::{Classified, Fault};

/// The hidden subcommand that makes kitwright the supervisor.
pub const SUPERVISE: &str = "supervise-engine";

/// The socket on which the supervisor gives leases.
const LEASE_SOCKET: &str = "lease.sock";

/// How to come by the private engine.
pub struct Options {
    /// Whose engine it is.
    pub state: StateDir,
    /// What the build needs it to have.
    pub asks: Asks,
    /// Whether it goes on running when the lease is given back.
    pub keep: bool,
    /// The kitwright program, which becomes the supervisor; this very process's by default.
    pub program: PathBuf,
    /// Told why it takes longer, in a line for people.
    pub notice: fn(&str),
}

impl Options {
    /// Asks for nothing particular and notes nothing.
    #[must_use]
    pub fn new(state: StateDir) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { state, asks: Asks::default(), keep: false, program, notice: |_| {} }
    }
}

/// Why there is no private engine.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PrivateError {
    /// The state folder can't be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// No engine is installed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Programs(#[from] ProgramsError),
    /// The supervisor did not start.
    #[error("cannot start the private engine's supervisor `{}`", program.display())]
    Supervisor {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket between client and supervisor failed.
    #[error("cannot talk to the private engine's supervisor over `{}`", socket.display())]
    #[diagnostic(help("`kitwright engine stop` ends it; the next build starts another"))]
    Talk {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The supervisor said something that this version does not understand.
    #[error("the private engine's supervisor speaks another protocol than this kitwright")]
    #[diagnostic(help(
        "it was started by another version: wait for its builds, or run `kitwright engine stop` \
         with that version"
    ))]
    Protocol,
    /// The daemon did not start or died.
    #[error("{message}{}", quote_log(log))]
    #[diagnostic(help(
        "the whole log: `kitwright engine logs`; what this machine lacks: `kitwright doctor`"
    ))]
    Failed {
        /// What happened.
        message: String,
        /// The end of its log.
        log: String,
    },
    /// The kept engine lacks what the build asks for.
    #[error("the running private engine lacks {lacks}")]
    #[diagnostic(help(
        "it was started by `kitwright engine start` with other settings: run `kitwright engine \
         stop`, or start it with the same ones"
    ))]
    Differs {
        /// What it lacks.
        lacks: String,
    },
}

impl Classified for PrivateError {
    fn fault(&self) -> Fault {
        match self {
            Self::State(error) => error.fault(),
            Self::Programs(error) => error.fault(),
            Self::Differs { .. } => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

/// The end of a daemon's log below the message, if there is any.
fn quote_log(log: &str) -> String {
    match log.trim_end() {
        "" => String::new(),
        log => format!("; the end of its log:\n{log}"),
    }
}

/// The right to use the private engine. Dropping it gives it back without waiting.
#[derive(Debug)]
pub struct Lease {
    running: Running,
    connection: Connection,
    supervisor: Option<Child>,
}

impl Lease {
    /// Where the engine listens: `unix:///…/buildkitd.sock`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.running.address
    }

    /// The engine.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Waits for the engine's death while the lease is held, and tells its cause.
    ///
    /// Race it against a build: the build itself only sees a broken connection.
    pub async fn lost(&mut self) -> PrivateError {
        match self.connection.reply().await {
            Ok(Some(Reply::Failed { message, log })) => PrivateError::Failed { message, log },
            Ok(_) => PrivateError::Failed {
                message: "the private engine's supervisor was killed".to_owned(),
                log: String::new(),
            },
            Err(error) => error,
        }
    }

    /// Gives the lease back, and waits for the engine's end if this was the last one.
    pub async fn release(mut self) {
        // Whatever fails here, the connection ends with this function, and the lease with it.
        if self.connection.stream.get_mut().shutdown().await.is_err() {
            return;
        }
        while let Ok(Some(reply)) = self.connection.reply().await {
            if matches!(reply, Reply::Stopped) {
                if let Some(mut supervisor) = self.supervisor.take() {
                    // It ends right after these words.
                    let _ = supervisor.wait();
                }
                return;
            }
        }
    }
}

/// Takes a lease on the private engine, and starts the engine if none runs.
///
/// Everything up to the start of the supervisor happens on the first poll, so that a caller who
/// spawns this as a task has the daemon booting while it plans the build.
///
/// # Errors
///
/// When no engine is installed, it does not start, or it runs with other settings for good.
pub async fn acquire(options: Options) -> Result<Lease, PrivateError> {
    let wish = |asks: &Asks| match options.keep {
        true => Wish::Keep(asks.clone()),
        false => Wish::Lease(asks.clone()),
    };
    loop {
        let (mut connection, supervisor) = connect_or_start(&options).await?;
        if !connection.send(wish(&options.asks)).await {
            match supervisor {
                None => continue,
                Some(supervisor) => return Err(ended_at_once(supervisor, &options.state)),
            }
        }
        match connection.reply().await? {
            Some(Reply::Ready(running)) => return Ok(Lease { running, connection, supervisor }),
            Some(Reply::Failed { message, log }) => {
                // The supervisor ends now; nothing of it is left when this returns.
                while let Ok(Some(_)) = connection.reply().await {}
                if let Some(mut supervisor) = supervisor {
                    let _ = supervisor.wait();
                }
                return Err(PrivateError::Failed { message, log });
            }
            Some(Reply::Differs { lacks, kept: true }) => {
                return Err(PrivateError::Differs { lacks });
            }
            Some(Reply::Differs { lacks, kept: false }) => {
                let notice = format!("waiting for other builds to end: their engine lacks {lacks}");
                (options.notice)(&notice);
                while connection.reply().await?.is_some() {}
            }
            Some(Reply::Protocol { .. } | Reply::Status(_) | Reply::Stopping { .. }) => {
                return Err(PrivateError::Protocol);
            }
            Some(Reply::Stopped) | None => match supervisor {
                // It was about to end when we came: start another.
                None => {}
                Some(supervisor) => return Err(ended_at_once(supervisor, &options.state)),
            },
        }
    }
}

/// Tells how the private engine is; `None` if it does not run.
///
/// # Errors
///
/// When the supervisor does not answer as it should.
pub async fn status(state: &StateDir) -> Result<Option<Status>, PrivateError> {
    let Some(mut connection) = connect(state).await? else { return Ok(None) };
    if !connection.send(Wish::Status).await {
        return Ok(None);
    }
    match connection.reply().await? {
        Some(Reply::Status(status)) => Ok(Some(status)),
        None => Ok(None),
        Some(_) => Err(PrivateError::Protocol),
    }
}

/// Lets the private engine end as soon as no build uses it, and waits for that; `false` if it did
/// not run. `waiting` is told how many builds there are to wait for.
///
/// # Errors
///
/// When the supervisor does not answer as it should.
pub async fn stop(state: &StateDir, waiting: impl Fn(usize)) -> Result<bool, PrivateError> {
    let Some(mut connection) = connect(state).await? else { return Ok(false) };
    if !connection.send(Wish::Stop).await {
        return Ok(true);
    }
    loop {
        match connection.reply().await? {
            Some(Reply::Stopping { leases: 0 }) => {}
            Some(Reply::Stopping { leases }) => waiting(leases),
            Some(Reply::Stopped) | None => return Ok(true),
            Some(_) => return Err(PrivateError::Protocol),
        }
    }
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
}

impl Connection {
    /// Sends the request; `false` when the other side is gone.
    async fn send(&mut self, wish: Wish) -> bool {
        let request = Request { protocol: PROTOCOL, wish };
        let Ok(mut line) = serde_json::to_vec(&request) else { return false };
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.is_ok()
    }

    /// Reads the next reply; `None` when the connection has ended.
    async fn reply(&mut self) -> Result<Option<Reply>, PrivateError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(|_| PrivateError::Protocol),
            Err(source) => Err(PrivateError::Talk { socket: self.socket.clone(), source }),
        }
    }
}

/// Connects to the supervisor if there is one.
async fn connect(state: &StateDir) -> Result<Option<Connection>, PrivateError> {
    use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    let Some(sockets) = state.noted_sockets() else { return Ok(None) };
    let socket = sockets.join(LEASE_SOCKET);
    match UnixStream::connect(&socket).await {
        Ok(stream) => Ok(Some(Connection { stream: BufReader::new(stream), socket })),
        // A socket file whose supervisor was killed refuses; it is replaced at the next start.
        Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound) => {
            Ok(None)
        }
        Err(source) => Err(PrivateError::Talk { socket, source }),
    }
}

async fn connect_or_start(options: &Options) -> Result<(Connection, Option<Child>), PrivateError> {
    if let Some(connection) = connect(&options.state).await? {
        return Ok((connection, None));
    }
    // The supervisor looks again; here the error still is one, with its help.
    Programs::find(&options.state)?;
    let folder = options.state.create_engine()?;
    // Held for the few system calls between looking again and having bound the socket.
    let _lock = lock(&folder.join("start.lock"))?;
    if let Some(connection) = connect(&options.state).await? {
        return Ok((connection, None));
    }
    let socket = options.state.create_sockets()?.join(LEASE_SOCKET);
    let supervisor = start_supervisor(options, &socket)?;
    match connect(&options.state).await? {
        Some(connection) => Ok((connection, Some(supervisor))),
        None => Err(ended_at_once(supervisor, &options.state)),
    }
}

fn start_supervisor(options: &Options, socket: &Path) -> Result<Child, PrivateError> {
    if let Err(error) = fs_err::remove_file(socket)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(StateError::io("remove the stale socket", socket)(error).into());
    }
    let listener = UnixListener::bind(socket).map_err(StateError::io("listen on", socket))?;
    let log = options.state.log();
    let output = fs_err::File::create(&log).map_err(StateError::io("write", &log))?.into_parts().0;
    let errors = output.try_clone().map_err(StateError::io("write", &log))?;
    Command::new(&options.program)
        .arg0("kitwright")
        .arg(SUPERVISE)
        .arg(options.state.root())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(output)
        .stderr(errors)
        .current_dir("/")
        .spawn()
        .map_err(|source| PrivateError::Supervisor { program: options.program.clone(), source })
}

/// Takes an exclusive lock, which ends with the returned file.
pub(super) fn lock(path: &Path) -> Result<std::fs::File, StateError> {
    let open = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(StateError::io("open", path))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| StateError::io("lock", path)(error.into()))?;
    Ok(file)
}

/// Takes an exclusive lock unless somebody else holds it.
pub(super) fn try_lock(path: &Path) -> Result<Option<std::fs::File>, StateError> {
    let open = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(StateError::io("open", path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(StateError::io("lock", path)(error.into())),
    }
}

/// A supervisor of our own that ended without a word: starting another would end the same way.
fn ended_at_once(mut supervisor: Child, state: &StateDir) -> PrivateError {
    let message = match supervisor.wait() {
        Ok(status) => format!("the private engine's supervisor ended at once ({status})"),
        Err(_) => "the private engine's supervisor ended at once".to_owned(),
    };
    PrivateError::Failed { message, log: super::daemon::log_end(&state.log()) }
}
