//! `kitwright` with a state folder of its own, and the processes that belong to it.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::Value;

use crate::support::registry::Registry;
use crate::support::{base, registry, tool};

/// Longer than anything here takes; a test that waits this long is stuck.
const STUCK: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What the private engine consists of: others may name its folder too, `du` for one.
const PROGRAMS: &[&str] = &["supervise-engine", "buildkitd", "rootlesskit", "runc"];

/// A state folder, and a registry with a base image to build from.
pub struct Kit {
    pub state: tempfile::TempDir,
    pub registry: Registry,
    /// The base image's reference.
    pub base: String,
    path: String,
}

impl Kit {
    /// `None` where the engine's programs are missing.
    pub fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            tool::skip("needs root");
            return None;
        }
        let [buildkitd] = tool::need(["buildkitd"])?;
        tool::need(["runc"])?;
        let (registry, image) = (registry::start()?, base::busybox()?);
        let base = image.push(&registry, "library/busybox", "latest");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", buildkitd.parent()?.display());
        let state =
            tempfile::Builder::new().prefix("kitwright-state-").tempdir().expect("a folder");
        Some(Self { state, registry, base, path })
    }

    pub fn engine(&self) -> PathBuf {
        self.state.path().join("engine")
    }

    /// `kitwright` with these arguments, in an environment that holds nothing else.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
        command.args(args).env_clear().env("PATH", &self.path).env("HOME", self.state.path());
        command.env("KITWRIGHT_STATE_DIR", self.state.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("kitwright runs")
    }

    /// Starts a build of a Dockerfile that needs no context files.
    pub fn build(&self, dockerfile: &str, args: &[&str]) -> Child {
        let context = self.state.path().join("contexts").join(base::digest(dockerfile.as_bytes()));
        std::fs::create_dir_all(&context).expect("a folder");
        std::fs::write(context.join("Dockerfile"), dockerfile).expect("a written file");
        let context = context.display().to_string();
        let args = [&["build", "--progress=plain", &context], args].concat();
        self.command(&args).spawn().expect("kitwright runs")
    }

    /// Builds one step to its end.
    pub fn build_step(&self, step: &str) -> Output {
        let child = self.build(&format!("FROM {}\nRUN {step}\n", self.base), &[]);
        child.wait_with_output().expect("an end")
    }

    /// What `kitwright engine status --format json` says.
    pub fn status(&self) -> Value {
        let output = self.run(&["engine", "status", "--format", "json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The processes whose command line names this state folder, by their ids.
    pub fn processes(&self) -> BTreeMap<u32, String> {
        let mut found = processes(&self.state.path().display().to_string());
        found.retain(|_, line| PROGRAMS.iter().any(|program| line.contains(program)));
        found
    }

    /// The mounts below this state folder.
    pub fn mounts(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let own = self.state.path().display().to_string();
        mounts.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect()
    }

    /// Waits until none of these processes is left.
    pub fn all_gone(&self, pids: impl IntoIterator<Item = u32>) {
        for pid in pids {
            wait_gone(pid);
        }
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        for pid in self.processes().into_keys() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The processes whose command line contains `what`.
pub fn processes(what: &str) -> BTreeMap<u32, String> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let lines = pids.filter(|pid| *pid != own).filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, text(&line).replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(what)).collect()
}

/// A handle on a process; `None` if there is none of this id.
fn pidfd(pid: u32) -> Option<std::os::fd::OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"))?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Waits for a process that is not ours to wait for.
pub fn wait_gone(pid: u32) {
    let Some(handle) = pidfd(pid) else { return };
    let ready = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&STUCK)).expect("a poll");
    assert_eq!(ready, 1, "process {pid} is still there: {:?}", processes("").get(&pid));
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("a signal sent");
}

/// Holds a step: the step connects, which tells that it runs, and ends when the test lets go.
pub struct Gate {
    listener: TcpListener,
    pub port: u16,
}

impl Gate {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Self { listener, port }
    }

    /// The command of the step.
    pub fn step(&self) -> String {
        format!("nc 127.0.0.1 {} </dev/null", self.port)
    }

    /// Waits until the step runs. Dropping the returned stream lets it end.
    pub fn reached(&self, build: &mut Child) -> TcpStream {
        let build_ended = pidfd(build.id()).expect("the build is a child");
        let mut fds =
            [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&build_ended, PollFlags::IN)];
        let waited = poll(&mut fds, Some(&STUCK));
        if waited.is_err() || !fds[0].revents().contains(PollFlags::IN) {
            let _ = build.kill();
            let mut said = String::new();
            let _ = build.stderr.take().expect("a pipe").read_to_string(&mut said);
            panic!("the step was not reached:\n{said}");
        }
        self.listener.accept().expect("a connection").0
    }

    /// The processes of the step, as this machine sees them.
    pub fn step_processes(&self) -> BTreeMap<u32, String> {
        let mut found = processes(&format!("nc 127.0.0.1 {}", self.port));
        found.retain(|_, line| line.starts_with("nc ") || line.starts_with("/bin/sh"));
        found
    }
}

/// Waits for the other side to close.
pub fn closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket option");
    let end = stream.read(&mut [0]);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(matches!(end, Ok(0)) || end.as_ref().is_err_and(reset), "{end:?}");
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command said, without the frames and line breaks that a report is printed with.
pub fn said(output: &Output) -> String {
    let words = text(&output.stderr);
    let words = words.split_whitespace().filter(|word| !["│", "├─▶", "╰─▶"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// Asserts that a command succeeded, and shows what it said if not.
pub fn success(output: &Output) -> String {
    assert!(output.status.success(), "{:?}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// Copies a program to where everybody may run it.
pub fn copy_program(from: &Path, folder: &Path) -> PathBuf {
    let to = folder.join(from.file_name().expect("a name"));
    std::fs::copy(from, &to).expect("a copied program");
    to
}
