//! Runs a command and measures it: wall time, CPU time, peak memory.
//!
//! The kernel counts a process's memory from before it became its program: one that a large process
//! forked seems large itself. So kitwright starts itself anew as a small launcher
//! ([`run_as_launcher`]), which starts the command, waits for it and writes down what the kernel says.
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::fault::{Classified, Fault};

/// The first argument that makes kitwright the launcher.
const LAUNCHER: &str = "measure-command";

/// What a command cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// When it started, in seconds since 1970.
    pub began: f64,
    /// From start to exit, in seconds.
    pub wall: f64,
    /// User and system time of the command and of what it waited for, in seconds.
    pub cpu: f64,
    /// Peak resident set in bytes, of the command or of the largest process that it waited for.
    pub memory: u64,
    /// Its exit code; 128 and the signal's number when it was killed.
    pub exit: u8,
}

/// A command that could not be measured.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MeasureError {
    /// A file for its output could not be used.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The launcher did not start.
    #[error("cannot start `{}` to measure a command", program.display())]
    Launcher {
        /// This program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The launcher wrote nothing that can be read.
    #[error("cannot run `{command}`: {problem}")]
    Command {
        /// The command's program.
        command: String,
        /// What the launcher said.
        problem: String,
    },
}

impl Classified for MeasureError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// Beginnings of the names of variables that tell a client what to do: a measured one is told by its
/// command line alone.
const OF_CLIENTS: [&str; 3] = ["KITWRIGHT_", "BUILDKIT_", "BUILDX_"];

/// Runs `command` through the launcher `kitwright`, with its output in the file `log`.
///
/// # Errors
///
/// When the command cannot be started; one that fails has a cost and an exit code.
pub fn measure(
    kitwright: &Path,
    command: &[OsString],
    environment: &[(OsString, OsString)],
    log: &Path,
) -> Result<Cost, MeasureError> {
    let file = |path: &Path| {
        fs_err::File::create(path)
            .map(|file| file.into_parts().0)
            .map_err(|source| MeasureError::File { path: path.to_owned(), source })
    };
    let output = file(log)?;
    let errors =
        output.try_clone().map_err(|source| MeasureError::File { path: log.to_owned(), source })?;
    let result = log.with_extension("cost");
    let mut launcher = Command::new(kitwright);
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if OF_CLIENTS.iter().any(|start| shown.starts_with(start)) {
            launcher.env_remove(&name);
        }
    }
    let status = launcher
        .arg(LAUNCHER)
        .arg(&result)
        .args(command)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status();
    status.map_err(|source| MeasureError::Launcher { program: kitwright.to_owned(), source })?;
    let text = fs_err::read_to_string(&result).unwrap_or_default();
    serde_json::from_str(&text).map_err(|_| MeasureError::Command {
        command: command.first().map(|name| name.to_string_lossy().into()).unwrap_or_default(),
        problem: last_words(&fs_err::read(log).unwrap_or_default()),
    })
}

/// The last lines of a log that are for people: status messages are not.
#[must_use]
pub fn last_words(log: &[u8]) -> String {
    const LINES: usize = 20;
    let text = String::from_utf8_lossy(log);
    let spoken = |line: &&str| !line.starts_with('{') && !line.trim().is_empty();
    let lines: Vec<&str> = text.lines().filter(spoken).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Acts as the launcher when this process was started as one: `measure-command RESULT COMMAND…`.
#[must_use]
pub fn run_as_launcher() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(LAUNCHER)) {
        return None;
    }
    let (Some(result), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("{LAUNCHER} needs a result file and a command");
        return Some(ExitCode::from(Fault::Usage.exit_code()));
    };
    Some(match launch(&program, arguments, Path::new(&result)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(Fault::Environment.exit_code())
        }
    })
}

fn launch(
    program: &OsStr,
    arguments: impl Iterator<Item = OsString>,
    result: &Path,
) -> std::io::Result<()> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let began = Instant::now();
    let child = Command::new(program).args(arguments).spawn()?;
    let (exit, usage) = wait(child.id())?;
    let wall = began.elapsed().as_secs_f64();
    let cost = Cost {
        began: time.as_secs_f64(),
        wall,
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        exit,
    };
    fs_err::write(result, serde_json::to_vec(&cost)?)
}

/// Waits for a child and returns its exit code and what it used.
fn wait(child: u32) -> std::io::Result<(u8, libc::rusage)> {
    let pid = libc::pid_t::try_from(child).map_err(std::io::Error::other)?;
    let mut status = 0;
    // SAFETY: `rusage` is a plain structure of numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the types that the call writes.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited != pid {
        return Err(std::io::Error::last_os_error());
    }
    let code = if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    };
    Ok((u8::try_from(code).unwrap_or(u8::MAX), usage))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_signals_are_told_apart() {
        #[expect(clippy::zombie_processes, reason = "`wait` waits for it by its number")]
        let code = |script: &str| {
            let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            wait(child.id()).unwrap().0
        };
        assert_eq!(code("exit 7"), 7);
        assert_eq!(code("kill -9 $$"), 137);
    }

    #[test]
    fn a_launch_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join("cost");
        let arguments = ["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"];
        launch(OsStr::new("sh"), arguments.map(OsString::from).into_iter(), &result).unwrap();
        let cost: Cost = serde_json::from_slice(&fs_err::read(&result).unwrap()).unwrap();
        assert!(cost.cpu > 0.0 && cost.memory > 100_000 && cost.exit == 0, "{cost:?}");
        assert!(launch(OsStr::new("/no/such"), std::iter::empty(), &result).is_err());
    }
}
