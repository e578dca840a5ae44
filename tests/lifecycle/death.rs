//! What is left when something dies: nothing that runs, and nothing that is in the next build's way.
use rustix::process::Signal;

use crate::kit::{Gate, Kit, closed, said, signal, success, text};

#[test]
fn a_killed_build_leaves_no_process_behind() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut build = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut build);
    let mut all = kit.processes();
    assert!(all.values().any(|line| line.contains("supervise-engine")), "{all:?}");
    assert!(all.values().any(|line| line.contains("buildkitd --config")), "{all:?}");
    let step = gate.step_processes();
    assert!(!step.is_empty(), "the step is a process here");
    all.extend(step);
    signal(build.id(), Signal::KILL);
    build.wait().expect("an end");
    closed(open);
    kit.all_gone(all.into_keys());
    assert_eq!(kit.processes(), Default::default());
    assert_eq!(gate.step_processes(), Default::default());
    success(&kit.build_step("echo the next build works"));
}

#[test]
fn a_killed_supervisor_takes_the_daemon_and_its_steps_along() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut build = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut build);
    let supervisor = kit.status()["supervisor"].as_u64().expect("an id");
    let all: Vec<u32> =
        kit.processes().into_keys().chain(gate.step_processes().into_keys()).collect();
    signal(u32::try_from(supervisor).expect("an id"), Signal::KILL);
    closed(open);
    let output = build.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    kit.all_gone(all);
    assert_eq!(kit.mounts(), [""; 0]);
    assert!(kit.engine().join("run/lease.sock").exists(), "a stale socket is left");
    success(&kit.build_step("echo the next build works"));
    assert_eq!(kit.processes(), Default::default());
}

#[test]
fn a_daemon_that_dies_shows_the_end_of_its_log() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut build = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut build);
    let daemon = kit.status()["pid"].as_u64().expect("an id");
    signal(u32::try_from(daemon).expect("an id"), Signal::KILL);
    closed(open);
    let output = build.wait_with_output().expect("an end");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("`buildkitd` was killed by signal 9"), "{said}");
    assert!(said.contains("running server on"), "{said}");
    assert_eq!(kit.mounts(), [""; 0]);
    success(&kit.build_step("echo the next build works"));
}

#[test]
fn a_daemon_that_does_not_start_shows_the_end_of_its_log() {
    let Some(kit) = Kit::new() else { return };
    let root = kit.engine().join("root");
    std::fs::create_dir_all(&root).expect("a folder");
    let held = std::fs::File::create(root.join("buildkitd.lock")).expect("a lock file");
    held.lock().expect("a lock");
    let output = kit.run(&["engine", "start"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("the private engine did not start: `buildkitd` exited with code 1"),
        "{said}"
    );
    assert!(said.contains("another instance running?"), "{said}");
    assert_eq!(kit.processes(), Default::default());
    drop(held);
    success(&kit.build_step("echo the next build works"));
}

#[test]
fn leftovers_of_all_kinds_are_in_nobodys_way() {
    let Some(kit) = Kit::new() else { return };
    success(&kit.build_step("echo first"));
    let run = kit.engine().join("run");
    drop(std::os::unix::net::UnixListener::bind(run.join("lease.sock")).expect("a socket"));
    for name in ["buildkitd.sock", "otel.sock", "notify.sock"] {
        let path = run.join(name);
        let _ = std::fs::remove_file(&path);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    }
    std::fs::write(kit.engine().join("engine.json"), "{ half a rec").expect("a written file");
    std::fs::write(kit.engine().join("snapshotter"), "nonsense").expect("a written file");
    assert_eq!(kit.status()["running"], false);
    success(&kit.build_step("echo second"));
    std::fs::remove_dir_all(&run).expect("a removed folder");
    success(&kit.build_step("echo third"));
    std::fs::write(kit.engine().join("endpoint"), "/nowhere/at/all").expect("a written file");
    success(&kit.build_step("echo fourth"));
}

#[test]
fn a_supervisor_that_ends_at_once_is_not_started_again_and_again() {
    let Some(kit) = Kit::new() else { return };
    std::fs::create_dir_all(kit.engine().join("life.lock")).expect("a folder in the lock's place");
    let output = kit.run(&["engine", "start"]);
    assert_eq!(output.status.code(), Some(3));
    let told = said(&output);
    assert!(told.contains("supervisor ended at once (exit status: 3)"), "{told}");
    assert!(told.contains("life.lock`"), "{told}");
}

#[test]
fn the_engine_holds_nothing_that_its_starter_had_open() {
    let Some(kit) = Kit::new() else { return };
    let mut shell = kit.command(&["engine", "start"]);
    let line = "exec 7</etc/hostname; exec \"$0\" engine start";
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", line]).arg(shell.get_program()).env_clear();
    command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    success(&command.output().expect("a shell"));
    for pid in kit.processes().into_keys() {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").flatten();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        assert!(!open.any(|path| path.ends_with("hostname")), "process {pid} holds it");
    }
    shell = kit.command(&["engine", "stop"]);
    success(&shell.output().expect("kitwright runs"));
}

#[test]
fn a_signal_to_the_supervisor_stops_the_engine_in_good_order() {
    let Some(kit) = Kit::new() else { return };
    success(&kit.run(&["engine", "start"]));
    let all: Vec<u32> = kit.processes().into_keys().collect();
    let supervisor = kit.status()["supervisor"].as_u64().expect("an id");
    signal(u32::try_from(supervisor).expect("an id"), Signal::TERM);
    kit.all_gone(all);
    assert!(!kit.engine().join("run/lease.sock").exists());
    assert!(text(&kit.run(&["engine", "logs"]).stdout).contains("stopping server"));
}

#[test]
fn an_unusable_state_folder_is_named_with_what_to_do() {
    let Some(kit) = Kit::new() else { return };
    let output = kit.command(&["engine", "start"]).env("KITWRIGHT_STATE_DIR", "/proc/kit").output();
    let output = output.expect("kitwright runs");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot create the folder `/proc/kit/engine`"), "{said}");
    assert!(said.contains("export KITWRIGHT_STATE_DIR="), "{said}");
}
