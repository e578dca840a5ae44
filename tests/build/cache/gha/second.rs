//! Version 2, as runnerd implements it: the Twirp service and the blobs behind its URLs.
use super::{Service, runner, token};
use crate::cache::kit::{Lab, fresh, is_cached, writer};
use crate::kit::Ended;
use crate::support::engine::Engine;
use crate::support::proxy;

const MAIN: &str = "refs/heads/main";

/// Builds as a job whose service is at `url` and whose token has these scopes.
fn build(lab: &Lab, engine: &Engine, url: &str, scopes: &[&str], args: &[&str]) -> Ended {
    let token = token(scopes);
    let env = runner(url, &token);
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ended = lab.with_env(engine, args, &env).ok();
    let said = format!("{}{}{}", ended.stdout, ended.stderr, engine.log());
    assert!(!said.contains(&token), "{said}");
    ended
}

#[test]
fn githubs_second_cache_serves_a_new_engine() {
    let Some(lab) = Lab::new("gha-second") else { return };
    let Some(service) = Service::second(&["main,own=refs/heads/main,default=refs/heads/main"])
    else {
        return;
    };
    let proxy = proxy::start(service.urls[0].trim_start_matches("http://").trim_end_matches('/'));
    let url = format!("http://{}/", proxy.host);
    let (Some(writer), Some(reader), Some(other)) = (writer(), fresh(), fresh()) else { return };
    let repository = lab.repository();
    let metadata = lab.project.path("metadata.json").display().to_string();
    let hierarchy = ["--cache", &repository, "--strict-cache", "--cache-write=shared"];
    let flags = [&hierarchy[..], &["--metadata-file", &metadata]].concat();
    let log = build(&lab, writer, &url, &[MAIN], &flags).stderr;
    assert!(log.contains("exporting cache to gha:"), "{log}");
    assert!(!lab.project.read("metadata.json").contains(&token(&[MAIN])));
    for (method, path) in [
        ("POST", "CacheService/CreateCacheEntry"),
        ("PUT", "/upload/"),
        ("POST", "CacheService/FinalizeCacheEntryUpload"),
    ] {
        assert!(proxy.seen(method, path) > 0, "{path}: {:?}", proxy.requests());
    }

    // The registry's caches are left aside; what serves the step is GitHub's.
    proxy.clear();
    let scope = format!("type=gha,scope={}", repository.replace('/', "-"));
    let log = build(&lab, &reader, &url, &[MAIN], &["--cache-from", &scope]).stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
    assert!(proxy.seen("POST", "CacheService/GetCacheEntryDownloadURL") > 0);
    // The blobs are asked for when the result is.
    let to = lab.project.path("out.tar").display().to_string();
    let output = format!("type=oci,dest={to}");
    let from = ["--cache-from", scope.as_str(), "--output", &output];
    let log = build(&lab, &reader, &url, &[MAIN], &from).stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
    assert!(proxy.seen("GET", "/download/") > 1, "{:?}", proxy.requests());
    assert!(proxy.bytes_down() > 300_000, "{}", proxy.bytes_down());

    // What lies under one scope is not found under another.
    let log = build(&lab, &other, &url, &[MAIN], &["--cache-from", "type=gha,scope=x"]).stderr;
    assert!(!is_cached(&log, "RUN cat"), "{log}");
}

#[test]
fn a_job_reads_its_own_ref_then_its_bases() {
    let Some(lab) = Lab::new("gha-refs") else { return };
    let Some(writer) = writer() else { return };
    let (pr7, pr8) = ("refs/pull/7/merge", "refs/pull/8/merge");
    let Some(service) = Service::second(&[
        "main,own=refs/heads/main,default=refs/heads/main",
        "seven,own=refs/pull/7/merge,base=refs/heads/main,default=refs/heads/main",
        "eight,own=refs/pull/8/merge,base=refs/heads/main,default=refs/heads/main",
        "fork,default=refs/heads/main",
    ]) else {
        return;
    };
    let [main, seven, eight, fork] = &service.urls[..] else { panic!("a port for each job") };
    let write = ["--cache-to", "type=gha,mode=max", "--strict-cache"];
    let read = ["--cache-from", "type=gha"];
    // Not a step in common: where two refs have the same one, BuildKit goes on from either.
    let build = |engine: &Engine, what, url, scopes: &[&str], args: &[&str]| {
        lab.project.write("file", what);
        build(&lab, engine, url, scopes, args).stderr
    };
    build(writer, "main", main, &[MAIN], &write);
    build(writer, "seven", seven, &[pr7, MAIN], &write);
    build(writer, "fork", fork, &["refs/pull/9/merge", MAIN], &write);

    // Per reader: whether it finds what main, pull request 7 and a fork have built.
    for (url, scopes, finds) in [
        (main, &[MAIN][..], [true, false, false]),
        (seven, &[pr7, MAIN], [true, true, false]),
        (eight, &[pr8, MAIN], [true, false, false]),
        (fork, &["refs/pull/9/merge", MAIN], [true, false, false]),
    ] {
        let Some(engine) = fresh() else { return };
        for (what, found) in ["main", "seven", "fork"].into_iter().zip(finds) {
            let log = build(&engine, what, url, scopes, &read);
            assert_eq!(is_cached(&log, "RUN cat"), found, "{url} {what}\n{log}");
        }
    }
}

/// Stages on which later ones rest, and a file that changes.
const STAGES: &str = "FROM busybox AS tools\n\
    RUN head -c 300000 /dev/urandom > /tool\n\
    FROM busybox AS middle\n\
    ARG MIDDLE=1\n\
    COPY --from=tools /tool /tool\n\
    RUN wc -c < /tool > /middle && echo $MIDDLE >> /middle\n\
    FROM busybox\n\
    COPY --from=middle /middle /middle\n\
    COPY file /file\n\
    RUN cat /file /middle > /last\n";

#[test]
fn what_a_build_does_not_read_stays_in_the_cache_that_it_writes() {
    let Some(lab) = Lab::with("gha-stages", STAGES) else { return };
    let Some(service) = Service::second(&["main,own=refs/heads/main,default=refs/heads/main"])
    else {
        return;
    };
    let (Some(writer), Some(other), Some(reader)) = (writer(), fresh(), fresh()) else { return };
    let url = &service.urls[0];
    let write = ["--cache-to", "type=gha,mode=max", "--strict-cache"];
    let read = ["--cache-from", "type=gha"];
    build(&lab, writer, url, &[MAIN], &write);
    let out = format!("type=oci,dest={}", lab.project.path("out.tar").display());
    lab.project.write("file", "changed");
    let flags = [&read[..], &write, &["--output", &out]].concat();
    let log = build(&lab, &other, url, &[MAIN], &flags).stderr;
    assert!(log.contains("exporting cache to gha"), "{log}");
    assert!(is_cached(&log, "COPY --from=middle") && !is_cached(&log, "RUN cat"), "{log}");
    // A change in the middle: what comes before it was not needed in the last build.
    let flags = [&read[..], &["--build-arg", "MIDDLE=2", "--output", &out]].concat();
    let log = build(&lab, &reader, url, &[MAIN], &flags).stderr;
    assert!(is_cached(&log, "RUN head") && !is_cached(&log, "RUN wc"), "{log}");
}

#[test]
fn an_image_is_put_together_from_githubs_cache_where_the_registry_has_its_layers() {
    let Some(lab) = Lab::new("gha-assembled") else { return };
    let Some(service) = Service::second(&["main,own=refs/heads/main,default=refs/heads/main"])
    else {
        return;
    };
    let (Some(writer), url) = (writer(), &service.urls[0]) else { return };
    let (image, again) = (lab.direct("image"), lab.direct("again"));
    let to = "type=gha,mode=max,scope=assembled";
    build(
        &lab,
        writer,
        url,
        &[MAIN],
        &["--push", "-t", &image, "--cache-to", to, "--strict-cache"],
    );
    let args = ["--builder=unix:///no/such/engine.sock", "--cache-from=type=gha,scope=assembled"];
    let all = lab.arguments(&[&args[..], &["--push", "-t", &again]].concat());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let env = runner(url, &token(&[MAIN]));
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let log = lab.project.with_env(&all, &env).ok().stderr;
    assert!(log.contains("put together from `gha:"), "{log}");
    let layers = |tag: &str| lab.registry.manifest(&lab.name, tag).json()["layers"].clone();
    assert_eq!(layers("again"), layers("image"));
}
