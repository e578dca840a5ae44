//! Getting the engine onto a machine.
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::kit::{Kit, copy_program, said, success, text};
use crate::support::tool;

#[test]
fn a_new_enough_engine_on_path_is_taken_as_it_is() {
    let Some(kit) = Kit::new() else { return };
    let output = kit.run(&["engine", "install", "--format", "json"]);
    let programs: serde_json::Value = serde_json::from_str(&success(&output)).expect("JSON");
    assert_eq!(programs["buildkitd"]["origin"], "system");
    assert!(!kit.engine().join("bin").exists(), "nothing is copied");
    let (listed, quiet) = (kit.run(&["engine", "install"]), kit.run(&["engine", "install", "-q"]));
    assert!(said(&listed).contains("buildkitd 0."), "{}", said(&listed));
    success(&quiet);
    assert_eq!(said(&quiet), "");
}

#[test]
fn an_engine_that_is_too_old_is_not_taken() {
    let Some(kit) = Kit::new() else { return };
    let old = tempfile::tempdir().expect("a folder");
    let program = old.path().join("buildkitd");
    std::fs::write(&program, "#!/bin/sh\necho buildkitd github.com/moby/buildkit v0.30.9 abc\n")
        .expect("a written file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
        .expect("changed rights");
    let path = format!("{}:/usr/sbin:/usr/bin:/bin", old.path().display());
    let output =
        kit.command(&["engine", "start"]).env("PATH", path).output().expect("kitwright runs");
    assert_eq!(output.status.code(), Some(3));
    let told = "is version 0.30.9, older than the 0.31.0 that is needed";
    assert!(said(&output).contains(told), "{}", said(&output));
    assert!(said(&output).contains("kitwright engine install"), "{}", said(&output));
}

#[test]
fn without_any_way_every_reason_is_given() {
    let Some(kit) = Kit::new() else { return };
    let empty = tempfile::tempdir().expect("a folder");
    // A proxy that refuses stands for a network without GitHub.
    let output = kit
        .command(&["engine", "install"])
        .env("PATH", empty.path())
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .output()
        .expect("kitwright runs");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3));
    for reason in [
        "`buildkitd` is neither installed nor on PATH",
        "cannot fetch `https://github.com/",
        "no `go` on PATH",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn a_program_that_is_gone_is_looked_for_again() {
    let Some(kit) = Kit::new() else { return };
    let [buildkitd] = tool::need(["buildkitd"]).expect("found before");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy_program(&buildkitd, folder.path());
    let path = format!("{}:/usr/sbin:/usr/bin:/bin", folder.path().display());
    let first =
        kit.command(&["engine", "install"]).env("PATH", path).output().expect("kitwright runs");
    assert!(text(&first.stderr).contains(&copy.display().to_string()), "{}", text(&first.stderr));
    std::fs::remove_file(&copy).expect("a removed file");
    success(&kit.run(&["engine", "start"]));
    let found = kit.status()["programs"]["buildkitd"]["path"].clone();
    assert_eq!(found, buildkitd.display().to_string());
    success(&kit.run(&["engine", "stop"]));
}

/// Makes the record say that kitwright has installed this copy itself.
fn pretend_installed(kit: &Kit) -> std::path::PathBuf {
    success(&kit.run(&["engine", "install"]));
    let record = kit.engine().join("engine.json");
    let mut programs: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).expect("a record")).expect("JSON");
    let from = programs["buildkitd"]["path"].as_str().expect("a path").to_owned();
    let folder = kit.engine().join("bin-test");
    std::fs::create_dir(&folder).expect("a folder");
    let copy = copy_program(Path::new(&from), &folder);
    let digest = crate::support::base::digest(&std::fs::read(&copy).expect("a program"));
    programs["buildkitd"]["path"] = copy.display().to_string().into();
    programs["buildkitd"]["origin"] = "release".into();
    programs["buildkitd"]["sha256"] = digest["sha256:".len()..].into();
    std::fs::write(record, programs.to_string()).expect("a written record");
    copy
}

#[test]
fn an_installed_program_that_has_changed_is_not_run() {
    let Some(kit) = Kit::new() else { return };
    let program = pretend_installed(&kit);
    success(&kit.build_step("echo the same bytes in another file are fine"));
    std::fs::write(&program, "#!/bin/sh\ntouch /tmp/kitwright-was-fooled\n")
        .expect("a written file");
    let output = kit.build_step("echo not reached");
    assert_eq!(output.status.code(), Some(3));
    let told = format!("`{}` has changed since it was installed", program.display());
    assert!(said(&output).contains(&told), "{}", said(&output));
    // Installing again puts it right.
    success(&kit.run(&["engine", "install"]));
    success(&kit.build_step("echo works again"));
}

#[test]
fn two_installations_at_once_are_fine() {
    let Some(kit) = Kit::new() else { return };
    let installers: Vec<_> = (0..4)
        .map(|_| kit.command(&["engine", "install"]).spawn().expect("kitwright runs"))
        .collect();
    for installer in installers {
        success(&installer.wait_with_output().expect("an end"));
    }
    success(&kit.build_step("echo works"));
}

/// Takes minutes without Go's build cache, so it is asked for: `KITWRIGHT_TEST_SOURCE_BUILD=1`.
#[test]
fn the_pinned_engine_is_built_through_the_module_proxy() {
    let Some(kit) = Kit::new() else { return };
    if std::env::var_os("KITWRIGHT_TEST_SOURCE_BUILD").is_none() {
        eprintln!("not asked for: set KITWRIGHT_TEST_SOURCE_BUILD=1");
        return;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").unwrap_or_default();
    // The user's own settings for other modules must not matter.
    let output = kit
        .command(&["engine", "install", "--from", "go"])
        .envs([("PATH", path), ("HOME", home), ("GOFLAGS", "-mod=vendor".into())])
        .env("GOTOOLCHAIN", "local")
        .output()
        .expect("kitwright runs");
    success(&output);
    let status = kit.status();
    let buildkitd = &status["programs"]["buildkitd"];
    assert_eq!(
        (&buildkitd["origin"], &buildkitd["version"]),
        (&"go".into(), &"0.32.2".into()),
        "{buildkitd:#}"
    );
    assert!(kit.engine().join("bin/buildctl").is_file());
    success(&kit.build_step("echo built with it"));
    let again = kit.run(&["engine", "install", "--pinned"]);
    assert!(!text(&again.stderr).contains("building"), "{}", text(&again.stderr));
}
