//! GitHub's cache service: version 1 as act implements it, version 2 as runnerd does.
//!
//! act's takes any token and has one store for all; runnerd's knows which job asks by the port, and
//! keeps to the scopes that GitHub gives a job. Neither looks at the token: BuildKit reads from it which
//! scopes there are, and so do these tests.
use std::ffi::OsString;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::watched::{Event, Watched};
use crate::support::{proxy, tool};

mod faults;
mod first;
mod second;
mod wire;

/// A running cache service.
pub(crate) struct Service {
    /// Where each job finds it.
    pub(crate) urls: Vec<String>,
    _process: Watched,
}

impl Service {
    /// Version 1.
    fn first() -> Option<Self> {
        let program = tool::build_with_go("act-cache", "tests/ci/act", "./cache")?;
        Some(Self::start(&program, &[]))
    }

    /// Version 2, with a port for each of `jobs`, written as the program takes them.
    pub(crate) fn second(jobs: &[&str]) -> Option<Self> {
        let program = tool::build_with_cargo("tests/ci/actions-cache")?;
        Some(Self::start(&program, jobs))
    }

    fn start(program: &Path, jobs: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let mut args = vec![folder.as_os_str().to_owned()];
        args.extend(jobs.iter().map(OsString::from));
        let process = Watched::spawn(program, &args, &[], Some(&folder));
        let listening = |_| {
            process.wait_for("the cache service to listen", |event| match event {
                Event::Line(line) => Some(line.split_once("listening on ")?.1.trim().to_owned()),
                _ => None,
            })
        };
        Self { urls: (0..jobs.len().max(1)).map(listening).collect(), _process: process }
    }
}

/// A token as a runner has it: BuildKit reads its scopes, the first of which may be written.
pub(crate) fn token(scopes: &[&str]) -> String {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let scope = |(at, scope): (usize, &&str)| json!({ "Scope": scope, "Permission": if at == 0 { 3 } else { 1 } });
    let scopes: Vec<_> = scopes.iter().enumerate().map(scope).collect();
    let claims = json!({
        "ac": serde_json::Value::from(scopes).to_string(),
        "nbf": 1_700_000_000, "exp": 4_000_000_000_u32,
    });
    format!("{}.{}.c2lnbmF0dXJl", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims))
}

/// The variables of a runner whose service has version 2: the old address leads nowhere.
pub(crate) fn runner(url: &str, token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("ACTIONS_CACHE_SERVICE_V2", "True".into()),
        ("ACTIONS_RESULTS_URL", url.into()),
        ("ACTIONS_CACHE_URL", format!("http://{}/", proxy::refusing())),
        ("ACTIONS_RUNTIME_TOKEN", token.into()),
    ]
}
