//! Version 1, as act implements it.
use super::{Service, token};
use crate::cache::kit::{Lab, fresh, is_cached, writer};
use crate::support::proxy;

#[test]
fn githubs_cache_serves_a_new_engine() {
    let Some(lab) = Lab::new("gha") else { return };
    let (Some(service), Some(writer), Some(reader)) = (Service::first(), writer(), fresh()) else {
        return;
    };
    let token = token(&["refs/heads/main"]);
    let env = [("ACTIONS_RUNTIME_TOKEN", token.as_str()), ("ACTIONS_CACHE_URL", &service.urls[0])];
    let repository = lab.repository();
    let shared = ["--cache", &repository, "--strict-cache"];
    let log = lab.with_env(writer, &[&shared[..], &["--cache-write=shared"]].concat(), &env);
    let log = log.ok().stderr;
    assert!(log.contains("exporting cache to gha:"), "{log}");
    assert!(!log.contains(&token), "{log}");
    // The registry's caches are gone; what is left is GitHub's.
    let nothing = format!("type=gha,scope={}", repository.replace('/', "-"));
    let log = lab.with_env(&reader, &["--cache-from", &nothing], &env).ok().stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn a_service_that_is_gone_is_left_out() {
    let Some(lab) = Lab::new("gha-gone") else { return };
    let Some(engine) = writer() else { return };
    let (token, url) = (token(&["refs/heads/main"]), format!("http://{}/", proxy::refusing()));
    let env = [("ACTIONS_RUNTIME_TOKEN", token.as_str()), ("ACTIONS_CACHE_URL", &url)];
    let flags = ["--cache-from", "type=gha", "--cache-to", "type=gha,mode=max"];
    let log = lab.with_env(engine, &flags, &env).ok().stderr;
    assert!(log.contains("no cache from `gha`: cannot reach"), "{log}");
    assert!(log.contains("WARNING: no cache was exported to `gha`: "), "{log}");
    // Outside a runner there is none.
    let log = lab.build(engine, &flags).ok().stderr;
    assert!(log.contains("no GitHub cache: "), "{log}");
}
