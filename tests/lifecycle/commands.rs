//! What the engine's commands report, and what the daemon is started with.
use serde_json::Value;

use crate::kit::{Kit, said, success, text};

#[test]
fn status_of_an_engine_that_does_not_run() {
    let Some(kit) = Kit::new() else { return };
    let status = kit.status();
    assert_eq!((&status["running"], &status["address"]), (&false.into(), &Value::Null));
    assert_eq!(status["state"], kit.state.path().display().to_string());
    let shown = success(&kit.run(&["engine", "status"]));
    assert!(shown.starts_with("not running\n"), "{shown}");
}

#[test]
fn disk_usage_is_told_and_prune_frees_it() {
    let Some(kit) = Kit::new() else { return };
    success(&kit.build_step("head -c 5000000 /dev/urandom > /large"));
    let usage = |filter: &[&str]| -> Vec<Value> {
        let output = kit.run(&[&["engine", "du", "--format", "json"], filter].concat());
        serde_json::from_str(&success(&output)).expect("JSON")
    };
    let large = |records: &[Value]| {
        records.iter().any(|record| {
            record["description"].as_str().is_some_and(|what| what.contains("/large"))
                && record["size"].as_u64() >= Some(5_000_000)
        })
    };
    assert!(large(&usage(&[])), "{:#?}", usage(&[]));
    assert!(usage(&["--filter", "type==exec.cachemount"]).is_empty());
    let freed = success(&kit.run(&["engine", "prune", "--all"]));
    assert!(freed.lines().last().is_some_and(|line| line.contains("freed in")), "{freed}");
    assert!(!large(&usage(&[])));
    assert_eq!(kit.processes(), Default::default(), "these commands give the engine back too");
}

#[test]
fn the_log_is_shown_from_its_end() {
    let Some(kit) = Kit::new() else { return };
    assert_eq!(success(&kit.run(&["engine", "logs"])), "", "none yet");
    success(&kit.run(&["engine", "start"]));
    success(&kit.run(&["engine", "stop"]));
    let all = success(&kit.run(&["engine", "logs"]));
    assert!(all.contains("running server on"), "{all}");
    let last = success(&kit.run(&["engine", "logs", "-n", "2"]));
    assert!(all.ends_with(&last) && last.lines().count() == 2, "{last}");
}

#[test]
fn settings_reach_the_daemon_and_secrets_do_not() {
    let Some(kit) = Kit::new() else { return };
    let flags =
        ["--max-parallelism", "3", "--plain-http", "registry.example:5000", "--network", "host"];
    let start = kit
        .command(&[&["engine", "start"], flags.as_slice()].concat())
        .env("MY_TOKEN", "kitwright-secret-value")
        .env("HTTPS_PROXY", "http://proxy.example:3128")
        .output();
    success(&start.expect("kitwright runs"));
    let config = std::fs::read_to_string(kit.engine().join("buildkitd.toml")).expect("a config");
    for line in
        ["max-parallelism = 3", "[registry.\"registry.example:5000\"]", "networkMode = \"host\""]
    {
        assert!(config.contains(line), "{config}");
    }
    let daemon = kit.status()["pid"].as_u64().expect("an id");
    let environment = std::fs::read(format!("/proc/{daemon}/environ")).expect("an environment");
    let environment = text(&environment).replace('\0', "\n");
    for line in [
        "BUILDKIT_STEP_LOG_MAX_SIZE=-1",
        "BUILDKIT_STEP_LOG_MAX_SPEED=-1",
        "HTTPS_PROXY=http://proxy.example:3128",
    ] {
        assert!(environment.lines().any(|found| found == line), "{environment}");
    }
    assert!(!environment.contains("kitwright-secret-value"), "{environment}");
    let supervisor = kit.status()["supervisor"].as_u64().expect("an id");
    let line = std::fs::read(format!("/proc/{supervisor}/cmdline")).expect("a command line");
    assert!(!text(&line).contains("kitwright-secret-value"));
    success(&kit.run(&["engine", "stop"]));
}

/// Of `/dev/null` nothing can be synced: only who is not asked says otherwise.
#[test]
fn an_engine_of_a_machine_that_is_thrown_away_syncs_nothing() {
    let Some(kit) = Kit::new() else { return };
    let build = |wanted: &str| {
        let dockerfile = format!(
            "FROM {}\nRUN echo 1\nRUN dd if=/etc/passwd of=/dev/null conv=fsync\n",
            kit.base
        );
        let context = kit.state.path().join("context");
        std::fs::create_dir_all(&context).expect("a folder");
        std::fs::write(context.join("Dockerfile"), dockerfile).expect("a written file");
        let args = ["build", "--progress=plain", context.to_str().expect("text")];
        kit.command(&args).env("KITWRIGHT_ENGINE_SYNC", wanted).output().expect("kitwright runs")
    };
    let usual = build("true");
    assert_eq!(usual.status.code(), Some(1), "{}", text(&usual.stderr));
    let mark = kit.engine().join("unsynced");
    assert!(!mark.exists());
    success(&build("false"));
    assert!(mark.exists());
    let again = build("false");
    assert!(text(&again.stderr).contains("CACHED"), "{}", text(&again.stderr));
    // After a crash of the machine nothing of it is used.
    std::fs::write(&mark, "another boot\n").expect("a written file");
    let rebooted = build("false");
    success(&rebooted);
    assert!(!text(&rebooted.stderr).contains("CACHED"), "{}", text(&rebooted.stderr));
    // Whoever wants it safe again finds what was written.
    success(&build("true"));
    assert!(!mark.exists());
}

#[test]
fn a_long_log_of_a_step_is_not_clipped() {
    let Some(kit) = Kit::new() else { return };
    let output = kit.build_step("seq 1 400000; echo the end");
    success(&output);
    let log = text(&output.stderr);
    assert!(log.len() > 2 << 20, "more than BuildKit's limit: {}", log.len());
    assert!(!log.contains("output clipped"), "clipped");
    assert!(log.contains("399999\n") && log.contains("the end\n"));
}

#[test]
fn a_malformed_mirror_is_refused_with_an_example() {
    let Some(kit) = Kit::new() else { return };
    let output = kit.run(&["engine", "start", "--registry-mirror", "docker.io"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("`docker.io` is not of the form HOST=MIRROR"),
        "{}",
        said(&output)
    );
}

#[test]
fn doctor_finds_nothing_wrong_here_and_names_what_is_missing_elsewhere() {
    let Some(kit) = Kit::new() else { return };
    let output = kit.run(&["doctor", "--format", "json"]);
    let report: Value = serde_json::from_str(&success(&output)).expect("JSON");
    assert_eq!(report["way"], "root");
    let verdict = |report: &Value, name: &str| -> Value {
        let checks = report["checks"].as_array().expect("checks").iter();
        checks
            .clone()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report:#}"))
            .clone()
    };
    assert_eq!(verdict(&report, "buildkitd")["verdict"], "good");
    let empty = tempfile::tempdir().expect("a folder");
    let bare = kit.command(&["doctor", "--format", "json"]).env("PATH", empty.path()).output();
    let bare = bare.expect("kitwright runs");
    assert_eq!(bare.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&bare.stdout).expect("JSON");
    let buildkitd = verdict(&report, "buildkitd");
    assert_eq!(buildkitd["verdict"], "bad", "{report:#}");
    assert_eq!(buildkitd["mend"], "kitwright engine install");
}
