//! Which caches are written, by whom and when.
use std::process::Command;

use serde_json::json;

use super::kit::{Lab, fresh, is_cached, reader, writer};
use crate::support::proxy::{Fault, Rule};

const SHA: &str = "abc1230000000000000000000000000000000000";

/// A run of a workflow, by its event.
fn event(lab: &Lab, name: &str, payload: &serde_json::Value) -> Vec<(String, String)> {
    lab.project.write("event.json", &payload.to_string());
    let path = lab.project.path("event.json").display().to_string();
    let variables = [
        ("GITHUB_EVENT_NAME", name.to_owned()),
        ("GITHUB_EVENT_PATH", path),
        ("GITHUB_REPOSITORY", "o/r".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

fn pull_request(lab: &Lab, head: &str) -> Vec<(String, String)> {
    let payload = json!({
        "action": "synchronize",
        "repository": { "full_name": "o/r", "default_branch": "main" },
        "pull_request": {
            "number": 7, "state": "open",
            "head": { "sha": SHA, "ref": "feature", "repo": { "full_name": head } },
            "base": { "sha": SHA, "ref": "v2", "repo": { "full_name": "o/r" } },
        },
    });
    event(lab, "pull_request", &payload)
}

fn push(lab: &Lab, branch: &str) -> Vec<(String, String)> {
    let payload = json!({
        "ref": format!("refs/heads/{branch}"), "before": SHA, "after": SHA,
        "repository": { "full_name": "o/r", "default_branch": "main" },
    });
    event(lab, "push", &payload)
}

/// Builds with the hierarchy in the lab's repository and pushes the image under `tag`.
fn build(lab: &Lab, tag: &str, env: &[(String, String)], args: &[&str]) -> String {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (repository, image) = (lab.repository(), lab.direct(tag));
    let all = [&["--cache", &repository, "--push", "-t", &image, "--strict-cache"], args].concat();
    lab.with_env(writer().expect("an engine"), &all, &env).ok().stderr
}

#[test]
fn every_run_writes_what_it_may() {
    if writer().is_none() {
        return;
    }
    let Some(lab) = Lab::new("rights") else { return };
    let mut tags = Vec::new();
    let mut after = |tag: &str, env: &[(String, String)], written: &[&str]| {
        build(&lab, tag, env, &["--build-arg", &format!("LAST={tag}")]);
        tags.extend(written.iter().chain([&tag]).map(|tag| (*tag).to_owned()));
        tags.sort();
        assert_eq!(lab.tags(), tags, "{tag}");
        lab.is_whole();
    };
    after("outside", &[], &[]);
    after("fork", &pull_request(&lab, "somebody/r"), &[]);
    after("pr-7", &pull_request(&lab, "o/r"), &["buildcache-pr-7"]);
    after("x-sha-abc1230", &push(&lab, "feature/x"), &["buildcache-branch-feature-x"]);
    after("v2", &push(&lab, "v2"), &["buildcache"]);
    let main = lab.registry.manifest(&lab.name, "buildcache").body;
    let text = String::from_utf8_lossy(&main).into_owned();
    assert!(text.contains("cacheconfig.v0") && text.contains("image.manifest.v1"), "{text}");
    // A pull request's later commit leaves the shared cache as it is.
    build(&lab, "pr-7", &pull_request(&lab, "o/r"), &["--build-arg", "LAST=later"]);
    assert_eq!(lab.registry.manifest(&lab.name, "buildcache").body, main);
}

#[test]
fn every_rung_serves_a_new_engine() {
    let Some(lab) = Lab::new("rungs") else { return };
    let Some(engine) = writer() else { return };
    let _ = engine;
    build(&lab, "pr-7", &pull_request(&lab, "o/r"), &[]);
    build(&lab, "v2", &push(&lab, "v2"), &[]);
    let manifest = |tag: &str| lab.registry.manifest(&lab.name, tag);
    let repository = lab.repository();
    for rung in ["buildcache", "buildcache-pr-7", "pr-7", "v2"] {
        // Another repository, in which there is nothing but this rung.
        let alone = Lab::new("rungs").expect("a lab");
        let from = lab.direct(rung);
        let Some(engine) = fresh() else { return };
        let log = alone.build(&engine, &["--cache-from", &from]).ok().stderr;
        assert!(is_cached(&log, "RUN cat"), "{rung}:\n{log}");
        assert_eq!(manifest(rung).status, 200);
    }
    // All of them at once, the way a pull request has them, and what is missing is told.
    let env = pull_request(&lab, "somebody/r");
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let Some(engine) = fresh() else { return };
    let log = lab.with_env(&engine, &["--cache", &repository], &env).ok().stderr;
    assert!(is_cached(&log, "RUN cat") && !log.contains("no cache from"), "{log}");
    let nothing = format!("{}-nothing", lab.repository());
    let log = lab.with_env(&engine, &["--cache", &nothing], &env).ok().stderr;
    for tag in ["buildcache", "buildcache-pr-7", "pr-7", "v2"] {
        assert!(
            log.contains(&format!("no cache from `{nothing}:{tag}`: it is not there")),
            "{log}"
        );
    }
}

#[test]
fn a_cache_that_was_promoted_serves_like_the_one_it_was() {
    let Some(lab) = Lab::new("promoted") else { return };
    let Some(reader) = reader() else { return };
    build(&lab, "pr-7", &pull_request(&lab, "o/r"), &[]);
    let (from, to) = (lab.direct("buildcache-pr-7"), lab.direct("buildcache"));
    lab.project.kitwright(&["image", "promote", &from, &to]).ok();
    let log = lab.build(reader, &["--cache-from", &to]).ok().stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
}

/// The digest under a tag of the lab's repository.
fn digest(lab: &Lab, tag: &str) -> Option<String> {
    let answer = lab.registry.manifest(&lab.name, tag);
    (answer.status == 200).then(|| answer.headers["docker-content-digest"].clone())
}

/// The lab's caches that are found by the key of their image.
fn keyed(lab: &Lab) -> Vec<String> {
    lab.tags().into_iter().filter(|tag| tag.starts_with("buildcache-key-")).collect()
}

#[test]
fn who_reuses_an_image_takes_its_cache_over() {
    let Some(lab) = Lab::new("taken") else { return };
    if writer().is_none() {
        return;
    }
    build(&lab, "v2", &push(&lab, "v2"), &["--build-arg=LAST=before", "--reuse"]);
    let before = digest(&lab, "buildcache");
    build(&lab, "pr-7", &pull_request(&lab, "o/r"), &["--reuse"]);
    let own = digest(&lab, "buildcache-pr-7");
    assert!(own.is_some() && own != before);
    // Each image's cache is found by its key.
    let mut found: Vec<_> = keyed(&lab).iter().map(|tag| digest(&lab, tag)).collect();
    found.sort();
    let mut expected = [own.clone(), before.clone()];
    expected.sort();
    assert_eq!(found, expected);
    // A fork, and the pull request's next commit, move nothing.
    for head in ["somebody/r", "o/r"] {
        let log = build(&lab, "pr-7", &pull_request(&lab, head), &["--reuse"]);
        assert!(log.contains("reused `key-") && !log.contains("is now what"), "{log}");
        assert_eq!(digest(&lab, "buildcache"), before);
    }
    // The merge.
    let log = build(&lab, "v2", &push(&lab, "v2"), &["--reuse"]);
    let line =
        format!("the cache `{}` is now what the image was built with", lab.direct("buildcache"));
    assert!(log.contains("reused `key-") && log.contains(&line), "{log}");
    assert_eq!(digest(&lab, "buildcache"), own);
    lab.is_whole();
}

#[test]
fn a_cache_that_was_not_written_is_no_images_cache() {
    let Some(lab) = Lab::new("not-taken") else { return };
    let Some(engine) = writer() else { return };
    let env = push(&lab, "v2");
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (image, repository) = (lab.direct("v2"), format!("{}/{}", lab.proxy.host, lab.name));
    let flags = ["--cache", &repository, "--reuse", "--push", "-t", &image];
    lab.proxy.add(Rule::new("PUT", "/manifests/buildcache").status(403));
    let log = lab.with_env(engine, &flags, &env).ok().stderr;
    assert!(log.contains("WARNING: no cache was exported"), "{log}");
    assert_eq!(keyed(&lab), [""; 0]);
    // Nor does a registry that takes no second tag make the build fail.
    lab.proxy.clear();
    lab.proxy.add(Rule::new("PUT", "/manifests/buildcache-key-").status(500));
    let log =
        lab.with_env(engine, &[&flags[..], &["--build-arg=LAST=2"]].concat(), &env).ok().stderr;
    assert!(log.contains("will not be found by its image"), "{log}");
    assert_eq!(keyed(&lab), [""; 0]);
    assert!(digest(&lab, "buildcache").is_some());
}

#[test]
fn the_image_is_out_before_its_cache_is_exported() {
    let Some(lab) = Lab::new("digest-first") else { return };
    let Some(engine) = writer() else { return };
    lab.proxy.add(Rule::new("POST", "/blobs/uploads/").fault(Fault::NoAnswer));
    let to = format!("type=registry,mode=max,ref={}", lab.through("c"));
    let image = lab.direct("image");
    let flags =
        ["--push", "-t", &image, "--cache-to", &to, "--metadata-file", "m", "--iidfile", "i"];
    let mut arguments = lab.arguments(&flags);
    arguments.extend(["--builder".to_owned(), engine.address.clone()]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
    command.args(&arguments).current_dir(lab.project.path("")).env_clear();
    command.env("HOME", lab.project.path("")).env("PATH", std::env::var_os("PATH").expect("PATH"));
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("kitwright starts");
    while lab.proxy.seen("POST", "/blobs/uploads/") == 0 {
        std::thread::yield_now();
    }
    // The export waits, and what is known of the image can be read.
    let metadata: serde_json::Value = serde_json::from_str(&lab.project.read("m")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest");
    assert!(lab.project.read("i").starts_with("sha256:"));
    assert_eq!(lab.registry.manifest(&lab.name, digest).status, 200);
    assert_eq!(lab.tags(), ["image"]);
    lab.proxy.clear();
    lab.proxy.thaw();
    let output = child.wait_with_output().expect("kitwright ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let built = log.find(&format!("as {digest}")).unwrap_or_else(|| panic!("{log}"));
    assert!(built < log.find("exporting cache to").unwrap_or(usize::MAX), "{log}");
}

#[test]
fn a_build_that_fails_exports_what_finished() {
    const GOOD: &str = "FROM busybox AS one\nARG SALT\nRUN echo one $SALT > /one\n\
        FROM busybox AS two\nARG SALT\nCOPY file /file\nRUN echo two $SALT > /two\n\
        FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\n";
    let Some(lab) = Lab::with("unfinished", &format!("{GOOD}RUN cat /one /two && false\n")) else {
        return;
    };
    let (Some(engine), Some(reader)) = (writer(), reader()) else { return };
    let to = format!("type=registry,mode=max,ref={}", lab.direct("c"));
    lab.build(engine, &["--cache-to", &to]).fails(1, &["RUN cat"]);
    lab.is_whole();
    lab.project.write("Dockerfile", &format!("{GOOD}RUN cat /one /two\n"));
    let from = lab.direct("c");
    let log = lab.build(reader, &["--cache-from", &from]).ok().stderr;
    for step in ["RUN echo one", "RUN echo two", "COPY --from=two"] {
        assert!(is_cached(&log, step), "{step}:\n{log}");
    }
    assert!(!is_cached(&log, "RUN cat"), "{log}");
}

#[test]
fn a_cache_that_holds_everything_is_not_written_again() {
    let Some(lab) = Lab::new("nothing-new") else { return };
    let Some(engine) = fresh() else { return };
    let main = push(&lab, "main");
    build(&lab, "latest", &main, &[]);
    let env: Vec<_> = main.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let repository = format!("{}/{}", lab.proxy.host, lab.name);
    let log = lab.with_env(&engine, &["--cache", &repository], &env).ok().stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
    assert!(log.contains("holds everything already"), "{log}");
    assert_eq!(lab.proxy.seen("PUT", "") + lab.proxy.seen("POST", ""), 0, "{log}");
    // Something new is written.
    let flags = ["--cache", &repository, "--build-arg", "LAST=2"];
    let log = lab.with_env(&engine, &flags, &env).ok().stderr;
    assert!(!log.contains("holds everything already"), "{log}");
    assert_ne!(lab.proxy.seen("PUT", "/manifests/buildcache"), 0, "{log}");
}
