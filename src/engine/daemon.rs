//! One run of `buildkitd`: its command line, its isolation, its readiness, its end.
//!
//! As root the daemon is the init process of a PID namespace of its own, with its own mounts. When
//! it dies, the kernel kills every step below it and takes their mounts away; and it dies with the
//! supervisor, by the parent-death signal. As another user RootlessKit arranges the same inside a
//! user namespace.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use super::asks::Asks;
use super::config::{Machine, Place, render};
use super::lease::Running;
use super::programs::Programs;
use super::state::{StateDir, StateError, replace_file};
use super::{host_ca, unsynced};

/// The name of the daemon's socket.
pub(super) const SOCKET: &str = "buildkitd.sock";

/// How long a daemon may take to end by itself before it is killed. Its databases survive that.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of its log a failed daemon shows.
const LOG_LINES: usize = 20;

/// Variables that reach the daemon. All others stay out: it may outlive the build that starts it,
/// and what one build has in its environment, tokens above all, is no other build's business.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];
/// Variables of the daemon's own, and of the Go runtime.
const INHERITED_PREFIXES: &[&str] =
    &["BUILDKIT_", "BUILDKITD_", "OTEL_", "GRPC_GO_", "ROOTLESSKIT_"];
const INHERITED_GO: &[&str] = &["GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"];

/// A daemon that has been started.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    pid: u32,
    notify: UnixDatagram,
    ready: bool,
    started: Instant,
    address: String,
    buildkitd: PathBuf,
    rootless: bool,
    snapshotter: Snapshotter,
    log: PathBuf,
}

/// What a daemon does that matters.
#[derive(Debug)]
pub(super) enum Happening {
    /// It answers from now on.
    Ready(Running),
    /// It is gone, unasked.
    Ended(String),
}

impl Daemon {
    /// Starts the daemon. `life` is the lock that it and the supervisor hold while they live.
    pub fn spawn(
        state: &StateDir,
        sockets: &Path,
        programs: &Programs,
        asks: &Asks,
        life: File,
    ) -> Result<Self, StateError> {
        let rootless = !rustix::process::geteuid().is_root();
        let engine = state.engine();
        let root = engine.join("root");
        fs_err::create_dir_all(&root).map_err(StateError::io("create the folder", &root))?;
        let syncs_nothing = unsynced::is_wanted();
        unsynced::prepare(&engine, &root, syncs_nothing)?;
        let runtime = runtime(sockets, programs, asks)?;
        let snapshotter = Snapshotter::known(&engine, &root, programs, rootless);
        let place = Place {
            root: &root,
            sockets,
            runtime: &runtime,
            snapshotter: &snapshotter.name,
            rootless,
        };
        let config = engine.join("buildkitd.toml");
        replace_file(&config, render(place, Machine::measure(&root), asks).as_bytes())?;
        let socket = sockets.join(SOCKET);
        let notify_path = sockets.join("notify.sock");
        let _ = fs_err::remove_file(&notify_path);
        let notify =
            UnixDatagram::bind(&notify_path).map_err(StateError::io("listen on", &notify_path))?;
        let before = unsynced::within_namespace(own_program()?, &engine, syncs_nothing);
        let mut command = command(programs, sockets, rootless, before);
        command.arg("--config").arg(&config).stdin(Stdio::from(life)).env_clear();
        command
            .envs(environment(std::env::vars_os(), programs, asks))
            .env("NOTIFY_SOCKET", &notify_path);
        command.env("TMPDIR", scratch(&engine)?);
        if rootless {
            // OCI runtimes keep their state here; their other choice, `/run`, is root's.
            command.env("XDG_RUNTIME_DIR", sockets);
        }
        isolate(&mut command, rootless, syncs_nothing && !rootless);
        let started = Instant::now();
        let child = command.spawn().map_err(StateError::io("run", &programs.buildkitd.path))?;
        Ok(Self {
            pid: child.id().unwrap_or_default(),
            child,
            notify,
            ready: false,
            started,
            address: format!("unix://{}", socket.display()),
            buildkitd: programs.buildkitd.path.clone(),
            rootless,
            snapshotter,
            log: state.log(),
        })
    }

    /// Waits for the next thing that matters. Cancel-safe.
    pub async fn happening(&mut self) -> Happening {
        let mut message = [0; 256];
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    let how = status.map_or_else(|error| error.to_string(), describe);
                    let when = if self.ready { "has died" } else { "did not start" };
                    return Happening::Ended(format!("the private engine {when}: `buildkitd` {how}"));
                }
                read = self.notify.recv(&mut message), if !self.ready => {
                    let told = read.map_or(&[][..], |read| &message[..read]);
                    if told.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                        self.ready = true;
                        self.snapshotter.remember(&self.log);
                        return Happening::Ready(self.running());
                    }
                }
            }
        }
    }

    fn running(&self) -> Running {
        Running {
            address: self.address.clone(),
            pid: self.pid,
            buildkitd: self.buildkitd.clone(),
            boot_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            rootless: self.rootless,
        }
    }

    /// Stops the daemon in good order, or by force when it takes too long.
    pub async fn stop(mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // Before it is ready it may not have its signal handlers yet, and as the init process of
        // a namespace it would not even notice.
        if !self.ready {
            let _ = tokio::time::timeout_at(deadline, self.happening()).await;
        }
        self.signal(Signal::TERM);
        if tokio::time::timeout_at(deadline, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        // Only while the child is not reaped: its id could be another's afterwards.
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// A folder for the daemon's temporary mount points, without those that a killed one left behind.
fn scratch(engine: &Path) -> Result<PathBuf, StateError> {
    let path = engine.join("tmp");
    fs_err::create_dir_all(&path).map_err(StateError::io("create the folder", &path))?;
    for entry in fs_err::read_dir(&path).into_iter().flatten().flatten() {
        // Never what is in them: where the daemon could not have mounts of its own, one may still
        // be mounted.
        let _ = fs_err::remove_dir(entry.path());
    }
    Ok(path)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The OCI runtime to name to the daemon: with the host's CA, a link by which kitwright is called.
fn runtime(sockets: &Path, programs: &Programs, asks: &Asks) -> Result<PathBuf, StateError> {
    if asks.host_ca.is_none() {
        return Ok(programs.runtime.path.clone());
    }
    let link = sockets.join(host_ca::SHIM_NAME);
    let kitwright = own_program()?;
    let _ = fs_err::remove_file(&link);
    std::os::unix::fs::symlink(kitwright, &link)
        .map_err(StateError::io("create the link", &link))?;
    Ok(link)
}

/// The daemon's command line; `before` stands before it in a user namespace.
fn command(programs: &Programs, sockets: &Path, rootless: bool, before: Vec<OsString>) -> Command {
    let kit = programs.rootlesskit.as_ref().filter(|_| rootless);
    let Some(kit) = kit else { return Command::new(&programs.buildkitd.path) };
    let mut command = Command::new(&kit.path);
    // The host's network: steps reach what this user reaches, without another program between.
    command.args(["--net=host", "--pidns"]);
    command.arg("--state-dir").arg(sockets.join("rootlesskit"));
    command.args(before).arg(&programs.buildkitd.path);
    command
}

/// This program.
fn own_program() -> Result<PathBuf, StateError> {
    let own = Path::new("/proc/self/exe");
    fs_err::read_link(own).map_err(StateError::io("read", own))
}

fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
    programs: &Programs,
    asks: &Asks,
) -> Vec<(OsString, OsString)> {
    let inherited = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        INHERITED.contains(&name)
            || INHERITED_GO.contains(&name)
            || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut variables: Vec<(OsString, OsString)> = [
        // A step's output is the user's to read, all of it.
        ("BUILDKIT_STEP_LOG_MAX_SIZE", "-1"),
        ("BUILDKIT_STEP_LOG_MAX_SPEED", "-1"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    variables.extend(all.filter(|(name, _)| inherited(name)));
    if let Some(bundle) = &asks.host_ca {
        variables.push((host_ca::RUNTIME_VARIABLE.into(), programs.runtime.path.clone().into()));
        variables.push((host_ca::BUNDLE_VARIABLE.into(), bundle.clone().into()));
    }
    variables
}

/// Ties the daemon's life to the supervisor's, and its steps' lives to its own.
fn isolate(command: &mut Command, rootless: bool, syncs_nothing: bool) {
    // The namespace is for children of this thread: the daemon becomes its init process. Where the
    // system refuses, in a container without the right to, the daemon runs without.
    //
    // SAFETY: of the flags that `unshare` takes only sharing of file descriptors is unsound for a
    // running program, and it is not among these.
    let isolated = !rootless
        && unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWPID) }.is_ok();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if isolated {
            own_mounts()?;
        }
        if syncs_nothing {
            unsynced::answer_syncs();
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
    unsafe { command.pre_exec(before_exec) };
}

/// Gives this process its own mounts, with a `/proc` that shows its own PID namespace.
fn own_mounts() -> std::io::Result<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    // SAFETY: as above.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?;
    // The host's later mounts still arrive here; ours stay here.
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None)?;
    Ok(())
}

/// What keeps the daemon's layers. It finds out by test mounts at each start, so its choice is
/// noted for the next one; on another kernel or disk or with another daemon it chooses again.
#[derive(Debug)]
struct Snapshotter {
    name: String,
    note: PathBuf,
    conditions: String,
}

impl Snapshotter {
    fn known(engine: &Path, root: &Path, programs: &Programs, rootless: bool) -> Self {
        let note = engine.join("snapshotter");
        let kernel = rustix::system::uname();
        let kernel = kernel.release().to_string_lossy();
        let disk = fs_err::metadata(root).map_or(0, |found| found.dev());
        let version = &programs.buildkitd.version;
        let conditions = format!("{kernel} {version} disk={disk} rootless={rootless}");
        let text = fs_err::read_to_string(&note).unwrap_or_default();
        let name = match text.split_once('\n') {
            Some((known, name)) if known == conditions => name.to_owned(),
            _ => "auto".to_owned(),
        };
        Self { name, note, conditions }
    }

    /// Reads the daemon's choice out of its log.
    fn remember(&self, log: &Path) {
        if self.name != "auto" {
            return;
        }
        let text = fs_err::read_to_string(log).unwrap_or_default();
        let chosen = text.split("auto snapshotter: using ").nth(1);
        let chosen = chosen
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next());
        if let Some(name) = chosen.filter(|name| !name.is_empty()) {
            // Without the note the next start is a little slower, no more.
            let _ = replace_file(&self.note, format!("{}\n{name}", self.conditions).as_bytes());
        }
    }
}

/// The last lines of a daemon's log.
pub(super) fn log_end(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = fs_err::File::open(path) {
        let length = file.metadata().map_or(0, |found| found.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines = without_stacks(&text);
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The lines of a log without Go's stack traces, which are pairs of a function and its indented place:
/// the daemon ends with a long one, and what it means to say stands before that.
fn without_stacks(log: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    for line in log.lines() {
        match line.starts_with('\t') {
            true => drop(lines.pop()),
            false => lines.push(line),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_with_the_daemons_words_not_with_a_stack() {
        let log = "level=info msg=a\nfailed to find runc binary\nexecutor.New\n\texecutor.go:97\nmain.main\n\tmain.go:488\n";
        assert_eq!(without_stacks(log), ["level=info msg=a", "failed to find runc binary"]);
        assert_eq!(without_stacks("\tno function\n"), [""; 0]);
    }
}
