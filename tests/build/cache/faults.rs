//! Caches that break, at each point of a build and in each way: the build succeeds and says so.
//!
//! What is tried where, and what is told, stands in [`table`](super::table).
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::kit::{Lab, fresh, is_cached, reader, writer};
use super::table::{Attack, Place, Told, attacks, column};
use crate::kit::files_of;
use crate::support::proxy::{Fault, Rule};
use crate::support::tool;

/// Tries every way into every cell of a column, all kinds at the same time.
fn each(place: Place, case: impl Fn(&mut Lab, &Attack, Told) + Sync) {
    std::thread::scope(|scope| {
        for (kind, told) in column(place) {
            let case = &case;
            let work = move || {
                let Some(mut lab) = Lab::new(&format!("{place:?}-{kind:?}").to_lowercase()) else {
                    return;
                };
                if lab.fill("c").is_none() {
                    return;
                }
                for attack in attacks(kind, place, &lab) {
                    lab.renew_proxy();
                    match &attack.rule {
                        Some(rule) => lab.proxy.add(rule.clone()),
                        None => lab.proxy.leave(),
                    }
                    case(&mut lab, &attack, told);
                    eprintln!("{kind:?} at {place:?}, {}: {told:?}", attack.name);
                }
            };
            let thread = std::thread::Builder::new().name(format!("{kind:?}"));
            thread.spawn_scoped(scope, work).expect("a thread");
        }
    });
}

/// Checks that the line of a cell is there.
#[track_caller]
fn is_told(log: &str, told: Told, cache: &str, attack: &str) {
    let (line, words) = match told {
        Told::LeftOut(words) => (format!("no cache from `{cache}`: "), words),
        Told::BuiltAnew => (format!("building on without the cache `{cache}`: "), ""),
        Told::NotExported => (format!("WARNING: no cache was exported to `{cache}`: "), ""),
        Told::Nothing(_) => return,
    };
    let reason = log.lines().find_map(|text| text.strip_prefix(&line));
    let reason = reason.unwrap_or_else(|| panic!("{attack}: no `{line}` in\n{log}"));
    assert!(reason.contains(words), "{attack}: {reason}");
}

#[test]
fn a_cache_that_fails_its_probe_is_left_out() {
    let Some(engine) = reader() else { return };
    each(Place::Probe, |lab, attack, told| {
        let from = lab.through("c");
        let last = format!("LAST={}", attack.name);
        // Long where something else than time is to end the probe, also on a busy machine.
        let is_quick = told == Told::LeftOut("no answer within 1 s");
        // The rest of a blob is asked for, again and again, and may be had in time.
        let is_resumed = ["config reset", "config cut"].contains(&attack.name.as_str());
        let timeout = if is_quick || is_resumed { "1s" } else { "30s" };
        let flags = ["--cache-timeout", timeout, "--build-arg", &last, "--cache-from", &from];
        let log = lab.build(engine, &flags).ok().stderr;
        if !is_resumed {
            is_told(&log, told, &from, &attack.name);
            assert!(!log.contains("importing cache manifest"), "{}:\n{log}", attack.name);
        }
    });
}

#[test]
fn a_cache_that_only_the_engine_cannot_read_is_told_of() {
    let Some(engine) = reader() else { return };
    each(Place::ImportManifest, |lab, attack, told| {
        let from = lab.through("c");
        let last = format!("LAST={}", attack.name);
        let is_slow = told == Told::BuiltAnew;
        let stall = if is_slow { "--cache-stall-timeout=1s" } else { "--cache-stall-timeout=60s" };
        let flags = ["--cache-timeout=30s", stall, "--build-arg", &last, "--cache-from", &from];
        let log = lab.build(engine, &flags).ok().stderr;
        is_told(&log, told, &from, &attack.name);
        // The daemon still does what others ask of it.
        lab.build(engine, &["--build-arg", &format!("{last} after")]).ok();
    });
}

#[test]
fn a_build_goes_on_without_a_cache_whose_blob_breaks() {
    each(Place::ImportBlob, |lab, attack, told| {
        // Another engine each time: the layer must not be there already.
        let Some(engine) = fresh() else { return };
        let from = lab.through("c");
        let times = ["--cache-stall-timeout=2s", "--cache-timeout=30s"];
        let flags = ["--cache-from", &from, "--build-arg", "LAST=2", times[0], times[1]];
        let log = lab.build(&engine, &[&flags[..], &["-o", "out"]].concat()).ok().stderr;
        is_told(&log, told, &from, &attack.name);
        assert_eq!(lab.project.read("out/last"), "2\n", "{}", attack.name);
        assert_eq!(lab.project.read("out/salt"), format!("{}\n", lab.name), "{}", attack.name);
    });
}

#[test]
fn an_engine_that_is_stuck_in_a_cache_import_is_replaced() {
    let Some(lab) = Lab::new("stuck") else { return };
    if lab.fill("c").is_none() {
        return;
    }
    lab.proxy.add(Rule::new("GET", "/manifests/").skip(1).fault(Fault::NoAnswer));
    let from = lab.through("c");
    let arguments =
        lab.arguments(&["--cache-from", &from, "--cache-stall-timeout=1s", "-o", "out"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The private engine of a project that has none installed comes from PATH.
    let Some([buildkitd]) = tool::need(["buildkitd"]) else { return };
    let programs = buildkitd.parent().expect("a folder").display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let ended = lab.project.with_env(&arguments, &[("PATH", &path)]).ok();
    assert!(ended.stderr.contains("the engine is stuck"), "{}", ended.stderr);
    assert_eq!(lab.project.read("out/salt"), "stuck\n");
}

#[test]
fn an_export_that_fails_leaves_the_build_good_and_the_old_cache_whole() {
    for place in [Place::ExportBlob, Place::ExportManifest] {
        each(place, |lab, attack, told| {
            let Some(engine) = writer() else { return };
            let to = |tag| format!("type=registry,mode=max,ref={}", lab.through(tag));
            let (new, old) = (to("new"), to("c"));
            let image = format!("{}:image", lab.repository());
            let last = format!("LAST={}", attack.name);
            let before = lab.registry.manifest(&lab.name, "c").body;
            let caches = ["--cache-to", &new, "--cache-to", &old, "--cache-export-timeout=4s"];
            let flags = [&caches[..], &["--build-arg", &last, "--push", "-t", &image]].concat();
            let log = lab.build(engine, &flags).ok().stderr;
            is_told(&log, told, &lab.through("new"), &attack.name);
            assert_eq!(lab.registry.manifest(&lab.name, "image").status, 200, "{}", attack.name);
            // The registry has the whole upload where only its answer is lost.
            let is_complete = attack.name.starts_with("answer");
            if !is_complete {
                assert!(!lab.tags().contains(&"new".to_owned()), "{}", attack.name);
                let after = lab.registry.manifest(&lab.name, "c").body;
                assert_eq!(after, before, "{}", attack.name);
            }
            lab.is_whole();
            serves(lab, "c");
            if attack.name == "404" {
                let strict = lab.build(engine, &[&flags[..], &["--strict-cache"]].concat());
                strict.fails(3, &["the image is built, but its cache was not exported to"]);
            }
        });
    }
}

/// Checks that a new engine can use the cache under `tag`.
#[track_caller]
fn serves(lab: &Lab, tag: &str) {
    let Some(engine) = fresh() else { return };
    let log = lab.build(&engine, &["--cache-from", &lab.direct(tag)]).ok().stderr;
    assert!(is_cached(&log, "RUN head"), "{log}");
}

#[test]
fn a_build_that_a_daemon_hangs_in_is_told_of_and_can_be_ended() {
    let (Some(lab), Some(engine)) = (Lab::new("hangs"), fresh()) else { return };
    if lab.fill("c").is_none() {
        return;
    }
    lab.proxy.add(Rule::new("", "/manifests/").by("buildkit").fault(Fault::NoAnswer));
    let from = lab.through("c");
    // Nobody holds back what a frontend compiles.
    let flags = ["--frontend=dockerfile.v0", "--cache-stall-timeout=1s", "--cache-from", &from];
    let mut child = lab.command(&engine, &flags).stderr(Stdio::piped()).spawn().expect("a start");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    let line = format!("the daemon waits for the cache `{from}`, of which nothing comes");
    let mut log = lines.by_ref().map_while(Result::ok);
    assert!(log.any(|text| text.contains(&line)));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    log.for_each(drop);
    // The registry still does not answer.
    assert_eq!(child.wait().expect("an end").code(), Some(130));
}

#[test]
fn a_manifest_that_the_engine_reads_otherwise_is_told_of() {
    let (Some(lab), Some(engine)) = (Lab::new("otherwise"), fresh()) else { return };
    if lab.fill("c").is_none() {
        return;
    }
    let from = lab.through("c");
    // Inside the type of the config: what is left is no cache, and no error.
    let manifest = lab.registry.manifest(&lab.name, "c").body;
    let text = String::from_utf8_lossy(&manifest).into_owned();
    let at = text.find("cacheconfig").expect("its type") as u64;
    let rule = Rule::new("GET", "/manifests/").by("buildkit").fault(Fault::CorruptAt(at));
    lab.proxy.add(rule);
    let log = lab.build(&engine, &["--cache-from", &from]).ok().stderr;
    let line = format!("the cache `{from}` holds `[stage-1 1/1] RUN cat");
    assert!(log.contains(&line) && log.contains("the engine did not find that in it"), "{log}");
    // A cache that serves is not told of, and neither is one that nobody was to find.
    lab.proxy.clear();
    let Some(engine) = fresh() else { return };
    for flags in [["--cache-from", &from].as_slice(), &["--cache-from", &from, "--no-cache"]] {
        let log = lab.build(&engine, flags).ok().stderr;
        assert!(!log.contains("did not find"), "{log}");
    }
}

#[test]
fn an_archive_goes_to_a_pipe_whole_though_a_layer_breaks() {
    let Some(lab) = Lab::new("piped") else { return };
    if lab.fill("c").is_none() {
        return;
    }
    let from = lab.through("c");
    for (kind, fault) in [
        ("tar", Fault::Status(404, Vec::new(), String::new())),
        ("oci", Fault::ResetAfter(1000)),
        ("docker", Fault::CorruptAt(299_000)),
        ("tar", Fault::StallAfter(200_000)),
    ] {
        let Some(engine) = fresh() else { return };
        lab.proxy.clear();
        lab.proxy.add(Rule::new("GET", &lab.layer("c")).by("buildkit").fault(fault.clone()));
        let output = format!("type={kind},dest=-");
        let flags = ["--cache-from", &from, "--cache-stall-timeout=2s", "-o", &output];
        let ended = lab.command(&engine, &flags).output().expect("kitwright starts");
        let log = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{kind} {fault:?}:\n{log}");
        assert!(log.contains(&format!("without the cache `{from}`")), "{kind} {fault:?}:\n{log}");
        std::fs::write(lab.project.path("piped.tar"), &ended.stdout).expect("a file");
        let files = files_of(&lab.project.path("piped.tar"));
        let expected = if kind == "tar" { "salt" } else { "index.json" };
        let found: Vec<_> = files.keys().collect();
        assert!(files.contains_key(expected), "{kind} {fault:?}: {found:?}");
        // One archive alone: nothing of an earlier try stands before or after it.
        assert_eq!(files.get("salt").map_or(b"piped\n".as_slice(), Vec::as_slice), b"piped\n");
    }
}

#[test]
fn of_two_caches_with_the_same_layers_the_good_one_serves() {
    let Some(engine) = reader() else { return };
    let Some(lab) = Lab::new("two") else { return };
    if lab.fill("a").is_none() || lab.fill("b").is_none() {
        return;
    }
    lab.proxy.add(Rule::new("GET", &lab.layer("a")).status(401));
    let (bad, good) = (lab.through("a"), lab.direct("b"));
    let flags = ["--cache-from", &bad, "--cache-from", &good, "--build-arg", "LAST=2"];
    let ended = lab.build(engine, &flags).ok();
    assert!(ended.stderr.contains(&format!("without the cache `{bad}`")), "{}", ended.stderr);
    assert!(!ended.stderr.contains(&format!("without the cache `{good}`")), "{}", ended.stderr);
    assert!(is_cached(&ended.stderr, "RUN head"), "{}", ended.stderr);
}
