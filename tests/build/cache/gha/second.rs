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
