//! Caches are written from what the engine still knows of the build: nothing is looked for twice.
use std::collections::BTreeSet;

use serde_json::Value;

use super::kit::{Lab, fresh, is_cached};

/// The keys of what the cache under `tag` holds.
fn records(lab: &Lab, tag: &str) -> BTreeSet<String> {
    let config = lab.registry.blob(&lab.name, &lab.config(tag));
    let config: Value = serde_json::from_slice(&config.body).expect("a cache config");
    let records = config["records"].as_array().cloned().unwrap_or_default();
    records.iter().filter_map(|record| record["digest"].as_str().map(str::to_owned)).collect()
}

/// Builds on a new engine what differs in its last step from what the cache `c` holds, and writes more caches.
fn builds_on(lab: &Lab, flags: &[&str]) -> String {
    let Some(engine) = fresh() else { return String::new() };
    let from = lab.through("c");
    let args = ["--cache-from", &from, "--strict-cache", "--build-arg", "LAST=2"];
    lab.build(&engine, &[&args, flags].concat()).ok().stderr
}

#[test]
fn a_cache_is_exported_without_another_search() {
    let Some(lab) = Lab::new("held") else { return };
    if lab.fill("c").is_none() {
        return;
    }
    let image = lab.direct("image");
    let [one, two, other] = ["one", "two", "other"]
        .map(|tag| format!("type=registry,mode=max,ref={}", lab.direct(tag)));
    let log = builds_on(&lab, &["--push", "-t", &image, "--cache-to", &one, "--cache-to", &two]);
    assert!(is_cached(&log, "RUN head") && !is_cached(&log, "RUN cat"), "{log}");
    for tag in ["one", "two"] {
        assert!(log.contains(&format!("exporting cache to {}", lab.direct(tag))), "{log}");
    }
    // The engine has read the manifest once, for the build.
    assert_eq!(lab.proxy.seen_by("buildkit", "HEAD", "/manifests/c"), 1, "{log}");
    // A build that puts out nothing cannot be held, and has its cache exported after a search.
    builds_on(&lab, &["--cache-to", &other]);
    assert_eq!(lab.proxy.seen_by("buildkit", "HEAD", "/manifests/c"), 3);
    let all = records(&lab, "other");
    assert!(all.len() >= 4, "{all:?}");
    for tag in ["one", "two"] {
        assert_eq!(records(&lab, tag), all, "{tag}");
        let Some(engine) = fresh() else { return };
        let flags = ["--cache-from", &lab.direct(tag), "--build-arg", "LAST=2"];
        let log = lab.build(&engine, &flags).ok().stderr;
        for step in ["COPY file", "RUN head", "RUN cat"] {
            assert!(is_cached(&log, step), "{tag}: {step}:\n{log}");
        }
    }
}
