//! A real Docker daemon.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool;
use super::watched::{Event, Watched};

/// A running daemon with its own state; it stops when this is dropped or the tests end.
#[derive(Debug)]
pub struct Docker {
    /// What `DOCKER_HOST` takes.
    pub host: String,
    client: PathBuf,
    folder: PathBuf,
    _process: Watched,
}

/// Starts a daemon whose containers have no network.
pub fn start() -> Option<Docker> {
    let [dockerd, client] = tool::need(["dockerd", "docker"])?;
    let folder = tempfile::Builder::new().prefix("kitwright-docker-").tempdir();
    let folder = folder.expect("a folder").keep();
    let host = format!("unix://{}", folder.join("docker.sock").display());
    let place = |flag: &str, name: &str| {
        OsString::from(format!("--{flag}={}", folder.join(name).display()))
    };
    let mut args = vec![
        place("data-root", "data"),
        place("exec-root", "exec"),
        place("pidfile", "pid"),
        place("config-file", "none.json"),
        format!("--host={host}").into(),
    ];
    std::fs::write(folder.join("none.json"), "{}").expect("a written config");
    args.extend(["--iptables=false", "--ip6tables=false", "--bridge=none"].map(Into::into));
    let process = Watched::spawn(&dockerd, &args, &[], Some(&folder));
    process.wait_for("Docker to be ready", |event| match event {
        Event::Line(line) if line.contains("API listen on") => Some(()),
        _ => None,
    });
    Some(Docker { host, client, folder, _process: process })
}

impl Docker {
    /// What `docker ARGS` prints.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        text_of(Command::new(&self.client).args(["--host", &self.host]).args(args))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        unmount(&self.folder.join("data"));
    }
}

/// What `command` prints; it must succeed.
#[track_caller]
pub fn text_of(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Lets go of the overlay file systems that a store keeps mounted below itself.
pub fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg(folder.join("overlay")).output();
}
