//! Caches that break, at each point of a build and in each way: the build succeeds and says so.
use crate::support::proxy::{self, Fault, Rule};
use crate::support::tool;

use super::kit::{Lab, is_cached, reader, shared_registry, writer};

/// What can go wrong with an answer; stalls last until the proxy goes.
fn faults(at: u64) -> Vec<(&'static str, Fault)> {
    let status = |code, headers| Fault::Status(code, headers, String::new());
    let retry = vec![("Retry-After".to_owned(), "60".to_owned())];
    vec![
        ("401", status(401, vec![])),
        ("404", status(404, vec![])),
        ("429", status(429, retry)),
        ("500", status(500, vec![])),
        ("reset", Fault::ResetAfter(at)),
        ("truncated", Fault::TruncateAfter(at)),
        ("digest", Fault::CorruptAt(at)),
        ("stall", Fault::StallAfter(at)),
        ("silence", Fault::NoAnswer),
    ]
}

/// Runs one case of each fault at the same time.
fn each(faults: Vec<(&'static str, Fault)>, case: impl Fn(&str, Fault) + Sync) {
    std::thread::scope(|scope| {
        for (name, fault) in faults {
            let case = &case;
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, move || case(name, fault))
                .expect("a thread");
        }
    });
}

#[test]
fn a_cache_that_fails_its_probe_is_left_out() {
    let Some(engine) = reader() else { return };
    let Some(refused) = shared_registry().map(|_| proxy::refusing()) else { return };
    each(faults(100), |name, fault| {
        let Some(lab) = Lab::new(&format!("probe-{name}")) else { return };
        if lab.fill("c").is_none() {
            return;
        }
        // The first answer for a manifest, or the first for a config.
        for place in ["/manifests/", "/blobs/"] {
            lab.proxy.clear();
            lab.proxy.add(Rule::new("", place).fault(fault.clone()));
            let from = lab.through("c");
            let last = format!("LAST={place}");
            // Long where something else than time is to end the probe, also on a busy machine.
            let quick = ["stall", "silence"].contains(&name) || place == "/blobs/";
            let timeout = if quick { "--cache-timeout=1s" } else { "--cache-timeout=30s" };
            let flags = [timeout, "--build-arg", &last, "--cache-from", &from];
            let ended = lab.build(engine, &flags).ok();
            if place == "/blobs/" && ["reset", "truncated"].contains(&name) {
                // The rest of a blob is asked for, again and again, and may be had in time.
                continue;
            }
            let line = format!("no cache from `{from}`: ");
            let reason = ended.stderr.lines().find_map(|text| text.strip_prefix(&line));
            let reason = reason.unwrap_or_else(|| panic!("{name} {place}:\n{}", ended.stderr));
            let said = match name {
                "stall" | "silence" => "no answer within 1 s",
                _ if reason == "no answer within 1 s" => "",
                "404" if place == "/manifests/" => "it is not there",
                "404" => "not in the registry",
                "401" => "refuses access",
                "429" => "429",
                "500" => "500",
                "reset" | "truncated" => "broke",
                _ => "digest",
            };
            assert!(reason.contains(said), "{name} {place}: {reason}");
            assert!(!ended.stderr.contains("importing cache manifest"), "{name} {place}");
        }
    });
    let Some(lab) = Lab::new("probe-refused") else { return };
    let from = format!("{refused}/probe:c");
    let ended = lab.build(engine, &["--cache-from", &from]).ok();
    assert!(ended.stderr.contains(&format!("no cache from `{from}`: cannot connect")));
}

#[test]
fn a_build_goes_on_without_a_cache_whose_blob_breaks() {
    let Some(engine) = reader() else { return };
    each(faults(1000), |name, fault| {
        let Some(lab) = Lab::new(&format!("blob-{name}")) else { return };
        if lab.fill("c").is_none() {
            return;
        }
        lab.proxy.add(Rule::new("GET", &lab.layer("c")).fault(fault));
        let from = lab.through("c");
        let times = ["--cache-stall-timeout=2s", "--cache-timeout=30s"];
        let flags = ["--cache-from", &from, "--build-arg", "LAST=2", times[0], times[1]];
        let ended = lab.build(engine, &[&flags[..], &["-o", "out"]].concat()).ok();
        assert_eq!(lab.project.read("out/last"), "2\n", "{name}");
        assert_eq!(lab.project.read("out/salt"), format!("blob-{name}\n"), "{name}");
        if name == "truncated" {
            // The engine asks for the rest, and needs nobody's help.
            return;
        }
        let line = format!("building on without the cache `{from}`: ");
        assert!(ended.stderr.contains(&line), "{name}:\n{}", ended.stderr);
    });
}

#[test]
fn a_cache_that_only_the_engine_cannot_read_is_told_of() {
    let Some(engine) = reader() else { return };
    let mut faults = faults(100);
    // A manifest that does not come holds a daemon up that is not ours to end.
    faults.retain(|(name, _)| !["stall", "silence"].contains(name));
    each(faults, |name, fault| {
        let Some(lab) = Lab::new(&format!("manifest-{name}")) else { return };
        if lab.fill("c").is_none() {
            return;
        }
        lab.proxy.add(Rule::new("", "/manifests/").skip(1).fault(fault));
        let from = lab.through("c");
        let ended = lab.build(engine, &["--cache-from", &from]).ok();
        if ["truncated", "digest"].contains(&name) {
            // The engine asks for the rest, and takes a manifest with another digest for no cache.
            return;
        }
        let line = format!("no cache from `{from}`: ");
        assert!(ended.stderr.contains(&line), "{name}:\n{}", ended.stderr);
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
    let Some(engine) = writer() else { return };
    let mut cases = Vec::new();
    for (name, fault) in faults(0) {
        match name {
            "digest" | "truncated" | "stall" => {}
            "reset" => cases.push((name, Fault::ResetUploadAfter(1000))),
            _ => cases.push((name, fault)),
        }
    }
    each(cases, |name, fault| {
        let Some(lab) = Lab::new(&format!("export-{name}")) else { return };
        if lab.fill("old").is_none() {
            return;
        }
        for (place, method, path) in
            [("blob", "", "/blobs/uploads/"), ("manifest", "PUT", "/manifests/")]
        {
            lab.proxy.clear();
            lab.proxy.add(Rule::new(method, path).fault(fault.clone()));
            let to = |tag| format!("type=registry,mode=max,ref={}", lab.through(tag));
            let (new, old) = (to("new"), to("old"));
            let image = format!("{}:image", lab.repository());
            let last = format!("LAST={place}");
            let before = lab.registry.manifest(&lab.name, "old").body;
            let flags =
                [["--cache-to", &new, "--cache-to", &old], ["--build-arg", &last, "--push", "-t"]];
            let flags = [&flags.concat()[..], &[&image, "--cache-export-timeout=2s"]].concat();
            let ended = lab.build(engine, &flags).ok();
            let line = format!("WARNING: no cache was exported to `{}`: ", lab.through("new"));
            assert!(ended.stderr.contains(&line), "{name} {place}:\n{}", ended.stderr);
            if name != "reset" {
                assert_eq!(lab.tags(), ["image", "old"], "{name} {place}");
            }
            // An upload that broke after its last byte is complete at the registry.
            if name != "reset" {
                assert_eq!(lab.registry.manifest(&lab.name, "old").body, before, "{name} {place}");
            }
            lab.is_whole();
            if name == "404" {
                let strict = lab.build(engine, &[&flags[..], &["--strict-cache"]].concat());
                strict.fails(3, &["the image is built, but its cache was not exported to"]);
            }
        }
    });
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
