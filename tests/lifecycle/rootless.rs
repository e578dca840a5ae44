//! An engine without root's rights: a user made for the test builds a real step.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;

use crate::kit::{Gate, copy_program, said, signal, success, text, wait_gone};
use crate::support::registry::{self, Registry};
use crate::support::{base, tool};

/// An ordinary user of this machine, with a home and ranges of subordinate ids.
struct User {
    name: String,
    home: PathBuf,
    /// Programs that this user may run; the build's own folder may be closed to it.
    programs: tempfile::TempDir,
    _registry: Registry,
    base: String,
}

impl User {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            tool::skip("needs root, to make an ordinary user");
            return None;
        }
        let [buildkitd, _, _, _, useradd, _] =
            tool::need(["buildkitd", "rootlesskit", "newuidmap", "runc", "useradd", "setpriv"])?;
        let (registry, image) = (registry::start()?, base::busybox()?);
        let base = image.push(&registry, "busybox", "latest");
        let programs =
            tempfile::Builder::new().prefix("kitwright-user-").tempdir().expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(programs.path(), open).expect("changed rights");
        copy_program(Path::new(env!("CARGO_BIN_EXE_kitwright")), programs.path());
        copy_program(&buildkitd, programs.path());
        let unique = programs.path().display().to_string();
        let unique = unique
            .trim_start_matches(|c| c != 'u')
            .replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let name = format!("kit{}", &unique.to_lowercase()[unique.len() - 6..]);
        let made =
            Command::new(useradd).args(["--create-home", "--shell", "/bin/sh", &name]).output();
        success(&made.expect("useradd runs"));
        let home = PathBuf::from("/home").join(&name);
        Some(Self { name, home, programs, _registry: registry, base })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.name, "--regid", &self.name, "--init-groups"]);
        command.arg(self.programs.path().join("kitwright")).args(args);
        let path = format!("{}:/usr/bin:/bin", self.programs.path().display());
        command.env_clear().env("PATH", path).env("HOME", &self.home).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("setpriv runs")
    }

    fn build(&self, step: &str) -> Child {
        let context = self.home.join("context");
        std::fs::create_dir_all(&context).expect("a folder");
        std::fs::write(context.join("Dockerfile"), format!("FROM {}\nRUN {step}\n", self.base))
            .expect("a written file");
        let context = context.display().to_string();
        self.command(&["build", "--progress=plain", &context]).spawn().expect("setpriv runs")
    }

    /// This user's processes, and those of its subordinate ids.
    fn processes(&self) -> Vec<u32> {
        crate::kit::processes(&self.home.display().to_string()).into_keys().collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for pid in self.processes() {
            signal(pid, Signal::KILL);
            wait_gone(pid);
        }
        let _ = Command::new("userdel").args(["--remove", &self.name]).output();
    }
}

#[test]
fn an_ordinary_user_builds_a_step_and_nothing_is_left() {
    let Some(user) = User::new() else { return };
    let output =
        user.build("id -u; cat /proc/self/uid_map; echo content > /file").wait_with_output();
    let output = output.expect("an end");
    success(&output);
    let log = text(&output.stderr);
    let mapped = log.lines().any(|line| {
        line.split_whitespace().collect::<Vec<_>>().ends_with(&["1", "100000", "65536"])
    });
    let mapped = mapped || log.contains("65536");
    assert!(mapped, "the step's root is a subordinate id outside:\n{log}");
    assert_eq!(user.processes(), [0_u32; 0]);
}

/// Of `/dev/null` nothing can be synced: only who is not asked says otherwise.
#[test]
fn an_ordinary_users_engine_can_sync_nothing_too() {
    let Some(user) = User::new() else { return };
    let context = user.home.join("context");
    std::fs::create_dir_all(&context).expect("a folder");
    let step = "RUN dd if=/etc/passwd of=/dev/null conv=fsync";
    std::fs::write(context.join("Dockerfile"), format!("FROM {}\nRUN echo 1\n{step}\n", user.base))
        .expect("a written file");
    let context = context.display().to_string();
    let build = |wanted: &str| {
        let mut command = user.command(&["build", "--progress=plain", &context]);
        command.env("KITWRIGHT_ENGINE_SYNC", wanted).output().expect("setpriv runs")
    };
    assert_eq!(build("true").status.code(), Some(1));
    success(&build("false"));
    let engine = user.home.join(".local/state/kitwright/engine");
    std::fs::write(engine.join("unsynced"), "another boot\n").expect("a written file");
    let rebooted = build("false");
    success(&rebooted);
    assert!(!text(&rebooted.stderr).contains("CACHED"), "{}", text(&rebooted.stderr));
    assert!(!engine.join("torn").exists(), "files of subordinate users are removed");
    assert_eq!(user.processes(), [0_u32; 0]);
}

#[test]
fn a_killed_build_of_an_ordinary_user_leaves_nothing() {
    let Some(user) = User::new() else { return };
    let gate = Gate::new();
    let mut build = user.build(&gate.step());
    let open = gate.reached(&mut build);
    let status = text(&user.run(&["engine", "status", "--format", "json"]).stdout);
    assert!(status.contains("\"rootless\": true"), "{status}");
    let all: Vec<u32> =
        user.processes().into_iter().chain(gate.step_processes().into_keys()).collect();
    assert!(all.len() > 3, "supervisor, RootlessKit, daemon, step: {all:?}");
    signal(build.id(), Signal::KILL);
    build.wait().expect("an end");
    crate::kit::closed(open);
    all.into_iter().for_each(wait_gone);
    assert_eq!(user.processes(), [0_u32; 0]);
    success(&user.build("echo the next build works").wait_with_output().expect("an end"));
}

#[test]
fn a_killed_supervisor_of_an_ordinary_user_leaves_nothing() {
    let Some(user) = User::new() else { return };
    let gate = Gate::new();
    let mut build = user.build(&gate.step());
    let open = gate.reached(&mut build);
    let status = user.run(&["engine", "status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let all: Vec<u32> =
        user.processes().into_iter().chain(gate.step_processes().into_keys()).collect();
    let supervisor = status["supervisor"].as_u64().expect("an id");
    signal(u32::try_from(supervisor).expect("an id"), Signal::KILL);
    crate::kit::closed(open);
    assert_eq!(build.wait_with_output().expect("an end").status.code(), Some(3));
    all.into_iter().for_each(wait_gone);
    success(&user.build("echo the next build works").wait_with_output().expect("an end"));
}

#[test]
fn a_user_without_subordinate_ids_is_told_the_command() {
    let Some(user) = User::new() else { return };
    for flag in ["--del-subuids", "--del-subgids"] {
        let file = if flag == "--del-subuids" { "/etc/subuid" } else { "/etc/subgid" };
        let ranges = std::fs::read_to_string(file).expect("a readable file");
        let own = ranges
            .lines()
            .find(|line| line.starts_with(&format!("{}:", user.name)))
            .expect("a range");
        let mut fields =
            own.split(':').skip(1).map(|field| field.parse::<u64>().expect("a number"));
        let (first, count) = (fields.next().expect("a first id"), fields.next().expect("a count"));
        let range = format!("{first}-{}", first + count - 1);
        success(
            &Command::new("usermod")
                .args([flag, &range, &user.name])
                .output()
                .expect("usermod runs"),
        );
    }
    let install = user.run(&["engine", "install"]);
    assert_eq!(install.status.code(), Some(3));
    let told =
        format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", user.name);
    assert!(said(&install).contains(&told), "{}", said(&install));
    let doctor = user.run(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(3));
    let report = text(&doctor.stdout);
    assert!(
        report.contains(&format!("-> sudo usermod --add-subuids 100000-165535 {}", user.name)),
        "{report}"
    );
}

#[test]
fn a_state_folder_that_is_not_the_users_is_named() {
    let Some(user) = User::new() else { return };
    let state = user.home.join("closed");
    std::fs::create_dir(&state).expect("a folder");
    let output = user.command(&["engine", "start"]).env("KITWRIGHT_STATE_DIR", &state).output();
    let output = output.expect("setpriv runs");
    assert_eq!(output.status.code(), Some(3));
    let told = format!("cannot create the folder `{}/engine`", state.display());
    assert!(said(&output).contains(&told), "{}", said(&output));
}
