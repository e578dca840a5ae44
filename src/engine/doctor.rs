//! What this machine lacks for building, each with the command that mends it.
//!
//! Nothing here changes the machine. A check that can be made by trying is made by trying: files
//! that say that user namespaces are allowed are wrong as often as right.
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use super::programs::{self, Programs, find_program};
use super::state::StateDir;

mod registry;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Good,
    /// Builds work, but not as well as they could.
    Warning,
    /// Builds on this machine do not work without it.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How to run the engine on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// This user is root: directly.
    Root,
    /// In a user namespace.
    Rootless,
    /// This user can't, but may become root: with `sudo`.
    Sudo,
    /// Not here: on another machine, named by `--builder`.
    Remote,
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The best way to run the engine here.
    pub way: Way,
    /// The checks, in the order in which to mend what they found.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether builds work here.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Bad)
    }
}

/// What to look at, besides the machine itself.
pub struct Subject {
    /// Whose engine it is about.
    pub state: StateDir,
    /// Docker's configuration folder.
    pub docker_config: Option<PathBuf>,
}

/// Looks at everything.
pub async fn examine(subject: &Subject) -> Report {
    let network = tokio::spawn(registry::check_docker_hub());
    let root = rustix::process::geteuid().is_root();
    let mut checks = vec![state_folder(&subject.state), disk(&subject.state)];
    checks.extend(engine(&subject.state));
    let rootless = if root { Vec::new() } else { rootless_checks() };
    let rootless_works = rootless.iter().all(|check| check.verdict != Verdict::Bad);
    checks.extend(rootless);
    checks.push(overlay());
    checks.push(cgroups());
    checks.push(certificates());
    checks.extend(subject.docker_config.as_deref().map(registry::check_docker_config));
    checks.extend(network.await.ok());
    let way = match (root, rootless_works) {
        (true, _) => Way::Root,
        (false, true) => Way::Rootless,
        (false, false) if may_become_root() => Way::Sudo,
        (false, false) => Way::Remote,
    };
    Report { way, checks }
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Good, found: found.into(), mend: None }
}

fn lacking(
    name: &'static str,
    verdict: Verdict,
    found: impl Into<String>,
    mend: impl Into<String>,
) -> Check {
    Check { name, verdict, found: found.into(), mend: Some(mend.into()) }
}

fn state_folder(state: &StateDir) -> Check {
    let name = "state folder";
    let written = state.create_engine().map(|folder| tempfile::NamedTempFile::new_in(&folder));
    match written {
        Ok(Ok(_)) => good(name, state.root().display().to_string()),
        Ok(Err(error)) => {
            let found = format!("`{}` is not writable: {error}", state.root().display());
            lacking(name, Verdict::Bad, found, "export KITWRIGHT_STATE_DIR=/path/to/a/folder")
        }
        Err(error) => lacking(
            name,
            Verdict::Bad,
            error.to_string(),
            "export KITWRIGHT_STATE_DIR=/path/to/a/folder",
        ),
    }
}

fn disk(state: &StateDir) -> Check {
    let name = "disk space";
    let mut path = state.engine();
    while !path.exists() && path.pop() {}
    let Ok(disk) = rustix::fs::statvfs(&path) else {
        return good(name, "unknown");
    };
    let free = disk.f_bavail * disk.f_frsize;
    let found = format!(
        "{} GB free of {} GB",
        free / 1_000_000_000,
        disk.f_blocks * disk.f_frsize / 1_000_000_000
    );
    match free / 1_000_000_000 {
        0 => lacking(name, Verdict::Bad, found, "kitwright engine prune --all"),
        1..10 => lacking(name, Verdict::Warning, found, "kitwright engine prune"),
        _ => good(name, found),
    }
}

fn engine(state: &StateDir) -> Vec<Check> {
    let install = "kitwright engine install";
    let recorded = Programs::load(state).is_some().then(|| Programs::find(state));
    let (buildkitd, runtime) = match recorded {
        Some(Ok(programs)) => (Ok(programs.buildkitd), Ok(programs.runtime)),
        Some(Err(error)) => {
            return vec![lacking("buildkitd", Verdict::Bad, error.to_string(), install)];
        }
        None => {
            (programs::buildkitd_on_path(&programs::OLDEST_BUILDKIT), programs::runtime_on_path())
        }
    };
    [("buildkitd", buildkitd), ("OCI runtime", runtime)]
        .into_iter()
        .map(|(name, program)| match program {
            Ok(program) => {
                let found =
                    format!("{} {} ({})", program.path.display(), program.version, program.origin);
                good(name, found)
            }
            Err(error) => lacking(name, Verdict::Bad, error.to_string(), install),
        })
        .collect()
}

/// What an engine without root's rights needs.
fn rootless_checks() -> Vec<Check> {
    let user = user_name();
    let mut checks = vec![user_namespaces()];
    let helpers = ["newuidmap", "newgidmap"];
    let missing: Vec<&str> =
        helpers.into_iter().filter(|name| find_program(name).is_none()).collect();
    checks.push(match missing.as_slice() {
        [] => good("id mapping helpers", "newuidmap, newgidmap"),
        missing => {
            let found = format!("no `{}`", missing.join("`, no `"));
            lacking("id mapping helpers", Verdict::Bad, found, "sudo apt-get install uidmap")
        }
    });
    for (name, file, flag) in [
        ("subordinate user ids", "/etc/subuid", "--add-subuids"),
        ("subordinate group ids", "/etc/subgid", "--add-subgids"),
    ] {
        checks.push(if has_sub_ids(Path::new(file), &user) {
            good(name, format!("`{user}` has a range in {file}"))
        } else {
            let mend = format!("sudo usermod {flag} 100000-165535 {user}");
            lacking(name, Verdict::Bad, format!("`{user}` has no range of 65536 in {file}"), mend)
        });
    }
    checks.push(match programs::rootlesskit_on_path() {
        Ok(kit) => good("rootlesskit", format!("{} {}", kit.path.display(), kit.version)),
        Err(_) => {
            lacking("rootlesskit", Verdict::Warning, "not on PATH", "kitwright engine install")
        }
    });
    checks
}

/// Tries to make a user namespace with rights in it.
fn user_namespaces() -> Check {
    let name = "user namespaces";
    let Some(program) = find_program("true") else { return good(name, "not tried: no `true`") };
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let make_namespace = || {
        use rustix::thread::UnshareFlags;
        // AppArmor lets the first one happen and then takes all rights in it away.
        // SAFETY: neither flag has to do with file descriptors, and only system calls are made.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(make_namespace) };
    let Err(error) = command.status() else { return good(name, "allowed") };
    let on = |path: &str, value: &str| {
        fs_err::read_to_string(path).is_ok_and(|text| text.trim() == value)
    };
    let mend = if on("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else if on("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    } else if on("/proc/sys/user/max_user_namespaces", "0") {
        "sudo sysctl -w user.max_user_namespaces=28633"
    } else {
        "in a container: run it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
    };
    lacking(name, Verdict::Bad, format!("refused: {error}"), mend)
}

fn overlay() -> Check {
    let name = "overlay file system";
    let known = fs_err::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.ends_with("\toverlay")) {
        return good(name, "known to the kernel");
    }
    let found = "not loaded; layers are copied instead, which is slow";
    lacking(name, Verdict::Warning, found, "sudo modprobe overlay")
}

fn cgroups() -> Check {
    let name = "cgroups";
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return good(name, "version 2");
    }
    if Path::new("/sys/fs/cgroup/memory").exists() {
        return good(name, "version 1");
    }
    let mend = "sudo mount -t cgroup2 none /sys/fs/cgroup";
    lacking(name, Verdict::Warning, "not mounted", mend)
}

fn certificates() -> Check {
    match super::host_ca::bundle() {
        Some(path) => good("CA certificates", path.display().to_string()),
        None => lacking(
            "CA certificates",
            Verdict::Warning,
            "no bundle found",
            "sudo apt-get install ca-certificates",
        ),
    }
}

/// Whether `sudo` works without asking.
fn may_become_root() -> bool {
    find_program("sudo").is_some_and(|sudo| {
        let mut command = Command::new(sudo);
        command
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The name of this process's user, or its number if it has none.
pub(super) fn user_name() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let Ok(file) = fs_err::File::open("/etc/passwd") else { return id };
    let lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    let own = lines.into_iter().find(|line| line.split(':').nth(2) == Some(&id));
    own.and_then(|line| line.split(':').next().map(str::to_owned)).unwrap_or(id)
}

/// Whether `file` (`/etc/subuid` or `/etc/subgid`) gives `user` enough ids for images: 65536.
pub(super) fn has_sub_ids(file: &Path, user: &str) -> bool {
    let id = rustix::process::geteuid().as_raw().to_string();
    let text = fs_err::read_to_string(file).unwrap_or_default();
    let enough = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next();
        (owner == Some(user) || owner == Some(&id))
            && fields
                .nth(1)
                .and_then(|count| count.trim().parse::<u64>().ok())
                .is_some_and(|count| count >= 65_536)
    };
    text.lines().any(enough)
}

/// Whether a file can be executed.
fn is_executable(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

/// How long the network may take to answer.
const NETWORK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ids_must_be_large_enough() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("subuid");
        fs_err::write(&file, "kit:100000:65536\nsmall:200000:1000\nbroken\n").unwrap();
        assert!(has_sub_ids(&file, "kit"));
        assert!(!has_sub_ids(&file, "small"));
        assert!(!has_sub_ids(&file, "nobody-here"));
        assert!(!has_sub_ids(&folder.path().join("missing"), "kit"));
    }

    #[test]
    fn what_is_bad_comes_with_its_cure() {
        let state = StateDir::at("/proc/nowhere".into());
        let check = state_folder(&state);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.mend.is_some());
        assert!(is_executable(Path::new("/bin/sh")));
    }
}
