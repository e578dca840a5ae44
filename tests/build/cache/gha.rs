//! GitHub's cache service, as act implements its version 1: nobody offers version 2 outside GitHub.
use std::ffi::OsString;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::kit::{Lab, fresh, is_cached, writer};
use crate::support::watched::{Event, Watched};
use crate::support::{proxy, tool};

/// A running cache service.
struct Service {
    url: String,
    _process: Watched,
}

fn service() -> Option<Service> {
    let program = tool::build_with_go("act-cache", "tests/ci/act", "./cache")?;
    let folder = tempfile::tempdir().expect("a folder").keep();
    let args: [OsString; 1] = [folder.as_os_str().to_owned()];
    let process = Watched::spawn(&program, &args, &[], Some(Path::new(&folder)));
    let url = process.wait_for("the cache service to listen", |event| match event {
        Event::Line(line) => Some(line.split_once("listening on ")?.1.trim().to_owned()),
        _ => None,
    });
    Some(Service { url, _process: process })
}

/// A token as a runner has it: BuildKit reads its scopes, and act's service nothing of it.
fn token() -> String {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let scopes = json!([{ "Scope": "refs/heads/main", "Permission": 3 }]).to_string();
    let claims = json!({ "ac": scopes, "nbf": 1_700_000_000, "exp": 4_000_000_000_u32 });
    format!("{}.{}.c2lnbmF0dXJl", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims))
}

#[test]
fn githubs_cache_serves_a_new_engine() {
    let Some(lab) = Lab::new("gha") else { return };
    let (Some(service), Some(writer), Some(reader)) = (service(), writer(), fresh()) else {
        return;
    };
    let token = token();
    let env = [("ACTIONS_RUNTIME_TOKEN", token.as_str()), ("ACTIONS_CACHE_URL", &service.url)];
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
    let (token, url) = (token(), format!("http://{}/", proxy::refusing()));
    let env = [("ACTIONS_RUNTIME_TOKEN", token.as_str()), ("ACTIONS_CACHE_URL", &url)];
    let flags = ["--cache-from", "type=gha", "--cache-to", "type=gha,mode=max"];
    let log = lab.with_env(engine, &flags, &env).ok().stderr;
    assert!(log.contains("no cache from `gha`: cannot reach"), "{log}");
    assert!(log.contains("WARNING: no cache was exported to `gha`: "), "{log}");
    // Outside a runner there is none.
    let log = lab.build(engine, &flags).ok().stderr;
    assert!(log.contains("no GitHub cache: "), "{log}");
}
