//! A service of version 2 that breaks, at each of its calls: the build succeeds and says so.
use super::{Service, runner, token};
use crate::cache::kit::{Lab, fresh, is_cached, writer};
use crate::kit::Ended;
use crate::support::engine::Engine;
use crate::support::proxy::{self, Fault, Proxy, Rule};

const JOB: &str = "main,own=refs/heads/main,default=refs/heads/main";

struct Broken {
    lab: Lab,
    proxy: Proxy,
    token: String,
    _service: Service,
}

impl Broken {
    fn new(name: &str) -> Option<Self> {
        let lab = Lab::new(name)?;
        let service = Service::second(&[JOB])?;
        let host = service.urls[0].trim_start_matches("http://").trim_end_matches('/');
        let (proxy, token) = (proxy::start(host), token(&["refs/heads/main"]));
        Some(Self { lab, proxy, token, _service: service })
    }

    fn build(&self, engine: &Engine, args: &[&str]) -> Ended {
        let env = runner(&format!("http://{}/", self.proxy.host), &self.token);
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let ended = self.lab.with_env(engine, args, &env).ok();
        assert!(!ended.stderr.contains(&self.token), "{}", ended.stderr);
        ended
    }
}

/// What can go wrong with any call; stalls last until the proxy goes.
fn faults() -> [(&'static str, Fault); 6] {
    let status = |code| Fault::Status(code, vec![], r#"{"code":"x","msg":"x"}"#.into());
    let wait = vec![("Retry-After".to_owned(), "60".to_owned())];
    [
        ("401", status(401)),
        ("404", status(404)),
        ("429", Fault::Status(429, wait, String::new())),
        ("500", status(500)),
        ("reset", Fault::ResetAfter(0)),
        ("silence", Fault::NoAnswer),
    ]
}

#[test]
fn a_second_service_that_breaks_while_it_is_read() {
    for (place, method, path) in
        [("url", "POST", "GetCacheEntryDownloadURL"), ("blob", "GET", "/download/")]
    {
        std::thread::scope(|scope| {
            for (name, fault) in faults() {
                // BuildKit asks Azure again, ten times with longer and longer pauses.
                if place == "blob" && ["429", "500", "silence"].contains(&name) {
                    continue;
                }
                let case = move || {
                    let Some(broken) = Broken::new(&format!("gha-{place}-{name}")) else { return };
                    let (Some(writer), Some(reader)) = (writer(), fresh()) else { return };
                    broken.build(writer, &["--cache-to", "type=gha,mode=max", "--strict-cache"]);
                    // The blob of the cache itself may be had, those of the layers not.
                    let skip = u64::from(place == "blob");
                    broken.proxy.add(Rule::new(method, path).skip(skip).fault(fault));
                    let stall = "--cache-stall-timeout=3s";
                    let out = broken.lab.project.path("out.tar").display().to_string();
                    let out = format!("type=oci,dest={out}");
                    let flags = ["--cache-from", "type=gha", stall, "--output", &out];
                    let log = broken.build(&reader, &flags).stderr;
                    let said = match place {
                        "url" => "no cache from `gha",
                        _ => "building on without the cache `gha`: ",
                    };
                    assert!(log.contains(said), "{place} {name}: {log}");
                    let built = match place {
                        "url" => &log,
                        _ => log.split_once(said).expect("it was said").1,
                    };
                    assert!(!is_cached(built, "RUN cat"), "{place} {name}: {log}");
                    assert!(broken.proxy.requests().iter().any(|seen| seen.faulty));
                };
                spawn(scope, name, case);
            }
        });
    }
}

#[test]
fn a_second_service_that_breaks_while_it_is_written() {
    for (method, path) in [
        ("POST", "GetCacheEntryDownloadURL"),
        ("POST", "CreateCacheEntry"),
        ("PUT", "/upload/"),
        ("POST", "FinalizeCacheEntryUpload"),
    ] {
        std::thread::scope(|scope| {
            for (name, fault) in faults() {
                let case = move || {
                    let lab = format!("gha-to-{}-{name}", path.trim_matches('/').to_lowercase());
                    let (Some(broken), Some(writer)) = (Broken::new(&lab), writer()) else {
                        return;
                    };
                    // An answer without a body ends with its head: it is the upload that breaks.
                    let fault = match fault {
                        Fault::ResetAfter(_) => Fault::ResetUploadAfter(0),
                        other => other,
                    };
                    broken.proxy.add(Rule::new(method, path).fault(fault));
                    let to = ["--cache-to", "type=gha,mode=max", "--cache-export-timeout=4s"];
                    let log = broken.build(writer, &to).stderr;
                    let warning = "WARNING: no cache was exported to `gha`: ";
                    assert!(log.contains(warning), "{path} {name}: {log}");
                    assert!(broken.proxy.requests().iter().any(|seen| seen.faulty));
                };
                spawn(scope, name, case);
            }
        });
    }
}

fn spawn<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    name: &str,
    case: impl FnOnce() + Send + 'scope,
) {
    let named = std::thread::Builder::new().name(name.to_owned());
    named.spawn_scoped(scope, case).expect("a thread");
}
