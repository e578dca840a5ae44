//! A service of version 2 that breaks, at each of its calls: the build succeeds and says so.
use std::collections::BTreeSet;
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1::{SolveRequest, frontend};
use prost::Message as _;
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{Service, runner, token};
use crate::cache::kit::{Lab, fresh, is_cached, writer};
use crate::kit::Ended;
use crate::support::engine::Engine;
use crate::support::http;
use crate::support::proxy::{self, Fault, Proxy, Rule};
use crate::support::tap::Tap;
use crate::support::tool;

const JOB: &str = "main,own=refs/heads/main,default=refs/heads/main";
/// What kitwright calls itself.
const OURS: &str = "kitwright";
/// What BuildKit's client of Azure's blobs calls itself.
const AZURE: &str = "azsdk-go-azblob";
/// What an engine asks the service for when it writes a cache.
const CALLS_OF_EXPORTS: [(&str, &str); 4] = [
    ("POST", "GetCacheEntryDownloadURL"),
    ("POST", "CreateCacheEntry"),
    ("PUT", "/upload/"),
    ("POST", "FinalizeCacheEntryUpload"),
];

struct Broken {
    lab: Lab,
    proxy: Proxy,
    token: String,
    _service: Service,
}

impl Broken {
    fn new(name: &str) -> Option<Self> {
        Self::of(Lab::new(name)?)
    }

    fn of(lab: Lab) -> Option<Self> {
        let service = Service::second(&[JOB])?;
        let host = service.urls[0].trim_start_matches("http://").trim_end_matches('/');
        let (proxy, token) = (proxy::start(host), token(&["refs/heads/main"]));
        Some(Self { lab, proxy, token, _service: service })
    }

    /// The same with a cache in the service.
    fn filled(name: &str) -> Option<Self> {
        let broken = Self::new(name)?;
        broken.fill()?;
        Some(broken)
    }

    /// Has another engine write the cache.
    fn fill(&self) -> Option<()> {
        self.build(writer()?, &["--cache-to", "type=gha,mode=max", "--strict-cache"]);
        Some(())
    }

    fn build(&self, engine: &Engine, args: &[&str]) -> Ended {
        let address = engine.address.clone();
        self.run(&[&["--builder", &address], args].concat(), &[])
    }

    /// Where the service has the layer `digest`.
    fn place_of(&self, digest: &str) -> String {
        let key = format!("buildkit-blob-1-{digest}");
        let version = format!("{:x}", sha2::Sha256::digest("|go-actionscache-1.0"));
        let question = json!({ "key": key, "restore_keys": [key], "version": version }).to_string();
        let call = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
        let token = format!("Bearer {}", self.token);
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let host = &self.proxy.host;
        let answer = http::request(host, None, "POST", call, &headers, question.as_bytes()).json();
        let url = answer["signed_download_url"].as_str().expect("a place");
        url.split_once(host.as_str()).expect("a place behind the proxy").1.to_owned()
    }

    /// Builds on the private engine, which comes from the tools of the tests.
    fn build_privately(&self, args: &[&str]) -> Option<Ended> {
        let [buildkitd] = tool::need(["buildkitd"])?;
        let programs = buildkitd.parent().expect("a folder").display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        Some(self.run(args, &[("PATH", &path)]))
    }

    fn run(&self, args: &[&str], more: &[(&str, &str)]) -> Ended {
        let env = runner(&format!("http://{}/", self.proxy.host), &self.token);
        let mut env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        env.extend(more);
        let all = self.lab.arguments(args);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let ended = self.lab.project.with_env(&all, &env).ok();
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

/// What can go wrong with a layer besides.
fn layer_faults() -> [(&'static str, Fault); 5] {
    [
        ("cut", Fault::ResetAfter(1000)),
        ("short", Fault::TruncateAfter(1000)),
        ("other", Fault::CorruptAt(100)),
        ("stall", Fault::StallAfter(1000)),
        ("head", Fault::CutHead),
    ]
}

/// Each way in which a call breaks, all at the same time.
fn each_read(case: impl Fn(&str, Fault) + Sync) {
    each(faults(), case);
}

fn each(
    faults: impl IntoIterator<Item = (&'static str, Fault)>,
    case: impl Fn(&str, Fault) + Sync,
) {
    std::thread::scope(|scope| {
        for (name, fault) in faults {
            let case = &case;
            spawn(scope, name, move || case(name, fault));
        }
    });
}

/// Checks that a build left the service out in the middle and ran the steps.
#[track_caller]
fn is_built_anew(name: &str, log: &str) {
    let said = "building on without the cache `gha`: ";
    let (_, built) = log.split_once(said).unwrap_or_else(|| panic!("{name}: {log}"));
    assert!(!is_cached(built, "RUN cat"), "{name}: {log}");
}

/// Checks that a build did without layers of the service and ran the steps.
#[track_caller]
fn is_built_without(name: &str, log: &str) {
    assert!(log.contains("building without layers of the cache `gha`: "), "{name}: {log}");
    assert!(!log.contains("building on without"), "{name}: {log}");
    assert!(!is_cached(log, "RUN cat"), "{name}: {log}");
}

#[test]
fn a_second_service_that_does_not_say_where_the_cache_is() {
    each_read(|name, fault| {
        let Some(broken) = Broken::filled(&format!("gha-url-{name}")) else { return };
        let Some(reader) = fresh() else { return };
        broken.proxy.add(Rule::new("POST", "GetCacheEntryDownloadURL").fault(fault));
        let log = broken.build(&reader, &["--cache-from", "type=gha"]).stderr;
        assert!(log.contains("no cache from `gha"), "{name}: {log}");
        assert!(!is_cached(&log, "RUN cat"), "{name}: {log}");
    });
}

#[test]
fn a_second_service_that_does_not_say_where_a_layer_is() {
    each_read(|name, fault| {
        let Some(broken) = Broken::filled(&format!("gha-where-{name}")) else { return };
        let Some(reader) = fresh() else { return };
        // The first question is for the index.
        let rule = Rule::new("POST", "GetCacheEntryDownloadURL").by(OURS).skip(1);
        broken.proxy.add(rule.fault(fault));
        let flags = ["--cache-from", "type=gha", "--cache-stall-timeout=3s"];
        let log = broken.build(&reader, &flags).stderr;
        is_built_without(name, &log);
        assert!(log.lines().any(|line| line.ends_with(&format!(" gha-where-{name}"))), "{log}");
        assert!(broken.proxy.requests().iter().any(|seen| seen.faulty));
    });
}

#[test]
fn a_second_service_that_does_not_give_the_index() {
    each_read(|name, fault| {
        let Some(broken) = Broken::filled(&format!("gha-index-{name}")) else { return };
        let Some(reader) = fresh() else { return };
        broken.proxy.add(Rule::new("GET", "/download/").fault(fault));
        let log = broken.build(&reader, &["--cache-from", "type=gha"]).stderr;
        assert!(log.contains("no cache from `gha"), "{name}: {log}");
        assert!(!log.contains("importing cache manifest"), "{name}: {log}");
        assert!(!is_cached(&log, "RUN cat"), "{name}: {log}");
    });
}

#[test]
fn a_second_service_whose_layers_break_is_left_out() {
    each_read(|name, fault| {
        let Some(broken) = Broken::filled(&format!("gha-blob-{name}")) else { return };
        // The index may be had, the layers not, not even those of the base image.
        broken.proxy.add(Rule::new("GET", "/download/").by(AZURE).skip(1).fault(fault));
        let out = broken.lab.project.path("out.tar").display().to_string();
        let out = format!("type=oci,dest={out}");
        let flags =
            ["--cache-from", "type=gha", "--cache-stall-timeout=3s", "--output", out.as_str()];
        let Some(ended) = broken.build_privately(&flags) else { return };
        is_built_anew(name, &ended.stderr);
        assert!(broken.proxy.requests().iter().any(|seen| seen.faulty));
        // BuildKit asks Azure again, ten times with longer and longer pauses, whoever stops the build.
        let is_stuck = ["429", "500", "silence"].contains(&name);
        assert_eq!(ended.stderr.contains("starting another"), is_stuck, "{}", ended.stderr);
    });
}

#[test]
fn a_daemon_is_not_held_up_by_layers_that_break() {
    each(faults().into_iter().chain(layer_faults()), |name, fault| {
        // Some of the layers come out the same when the steps run: those of the base image and of `COPY`.
        let Some(broken) = Broken::filled(&format!("gha-daemon-{name}")) else { return };
        let Some(reader) = fresh() else { return };
        broken.proxy.add(Rule::new("GET", "/download/").by(OURS).skip(1).fault(fault));
        let out = broken.lab.project.path("out.tar").display().to_string();
        let out = format!("type=oci,dest={out}");
        let flags =
            ["--cache-from", "type=gha", "--cache-stall-timeout=3s", "--output", out.as_str()];
        let log = broken.build(&reader, &flags).stderr;
        is_built_without(name, &log);
        assert!(!log.contains("nobody can tell it to stop"), "{name}: {log}");
        let requests = broken.proxy.requests();
        assert!(requests.iter().any(|seen| seen.faulty), "{name}");
        let by_engine = |seen: &proxy::Seen| seen.method == "GET" && seen.agent.contains(AZURE);
        assert!(!requests.iter().any(by_engine), "{name}: {requests:?}");
        // The daemon is nobody's prisoner: it builds the next thing, which needs the same layers.
        broken.proxy.clear();
        broken.proxy.thaw();
        let log = broken.lab.build(&reader, &["--output", out.as_str()]).ok().stderr;
        assert!(is_cached(&log, "RUN cat"), "{name}: {log}");
    });
}

#[test]
fn a_daemon_is_offered_the_layers_that_came() {
    let (Some(broken), Some(reader)) = (Broken::filled("gha-one-layer"), fresh()) else { return };
    let tap = Tap::start(&broken.lab.project.path("tap.sock"), &reader.address);
    // The layer of a command in the middle: what comes before it can be had.
    broken.lab.fill("c");
    let missing = broken.lab.layer("c");
    broken.proxy.add(Rule::new("GET", &broken.place_of(&missing)).by(OURS).status(404));
    let out = broken.lab.project.path("out.tar").display().to_string();
    let out = format!("type=oci,dest={out}");
    let flags = ["--builder", &tap.address, "--cache-from", "type=gha", "--output", &out];
    let log = broken.run(&flags, &[]).stderr;
    is_built_without("one layer", &log);
    assert!(log.contains(&format!("failed to fetch {missing}: ")), "{log}");
    assert!(is_cached(&log, "COPY file") && !is_cached(&log, "RUN head"), "{log}");
    // The engine would count on it: it is never told of it, but of those that came.
    let layers = offered_layers(&tap);
    let fetched = broken.proxy.requests();
    let fetched = fetched.iter().filter(|seen| seen.path.contains("/download/") && !seen.faulty);
    assert!(!layers.contains(&missing), "{missing}: {layers:?}");
    // One of them is the index.
    assert_eq!(layers.len(), fetched.count() - 1, "{layers:?}");
    // Nothing that the daemon took over rests on what is missing.
    let log = broken.lab.build(&reader, &["--output", &out]).ok().stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
}

/// The layers in the manifest of the one cache that the build through `tap` has offered.
fn offered_layers(tap: &Tap) -> BTreeSet<String> {
    let offered: BTreeSet<String> = tap
        .messages()
        .iter()
        .flat_map(|message| {
            // A build of several solves names its caches in each.
            let one = SolveRequest::decode(&message[..]).ok().and_then(|solve| solve.cache);
            let each = frontend::SolveRequest::decode(&message[..]).unwrap_or_default();
            let one = one.unwrap_or_default().imports.into_iter().map(|import| import.attrs);
            one.chain(each.cache_imports.into_iter().map(|import| import.attrs))
        })
        .filter_map(|mut attributes| attributes.remove("digest"))
        .collect();
    let [digest] = &Vec::from_iter(offered)[..] else { panic!("not one cache was offered") };
    // It goes to the engine inside of the session, and is short enough for one piece.
    let start = br#"{"schemaVersion":"#;
    let sent = tap.sent();
    let manifests = sent.iter().flat_map(|sent| {
        let starts = sent.windows(start.len()).enumerate().filter(|(_, part)| part == start);
        starts.filter_map(|(at, _)| {
            let mut values = serde_json::Deserializer::from_slice(&sent[at..]).into_iter::<Value>();
            let manifest = values.next()?.ok()?;
            let text = &sent[at..at + values.byte_offset()];
            let found = format!("sha256:{:x}", sha2::Sha256::digest(text));
            (found == *digest).then_some(manifest)
        })
    });
    let manifest = manifests.last().expect("the manifest that was offered");
    let layers = manifest["layers"].as_array().expect("layers").iter();
    layers.map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect()
}

#[test]
fn what_is_quiet_is_not_taken_for_a_cache_that_stands_still() {
    let (Some(broken), Some(reader)) = (Broken::filled("gha-quiet"), fresh()) else { return };
    let lab = &broken.lab;
    lab.project.base.push(lab.registry, "gha-quiet", "base");
    // A base image that comes late, a command that says nothing, and a push that the registry keeps waiting.
    let late = |rule: Rule| rule.by("buildkit").fault(Fault::Delay(Duration::from_secs(5)));
    lab.proxy.add(late(Rule::new("GET", "/blobs/")));
    lab.proxy.add(late(Rule::new("PUT", "/blobs/")));
    let dockerfile = format!("FROM {}\nCOPY file /\nRUN sleep 5\n", lab.through("base"));
    lab.project.write("quiet.Dockerfile", &dockerfile);
    let image = lab.through("image");
    let quiet = ["-f", "quiet.Dockerfile", "--cache-from", "type=gha", "--push", "-t", &image];
    let log = broken.build(&reader, &[&quiet[..], &["--cache-stall-timeout=1s"]].concat()).stderr;
    assert!(lab.proxy.requests().iter().filter(|seen| seen.faulty).count() > 2, "{log}");
    assert!(!log.contains("building on without"), "{log}");
}

#[test]
fn a_second_service_that_breaks_while_it_is_written() {
    for (method, path) in CALLS_OF_EXPORTS {
        std::thread::scope(|scope| {
            for (name, fault) in faults() {
                let case = move || {
                    let lab = format!("gha-to-{}-{name}", path.trim_matches('/').to_lowercase());
                    let (Some(broken), Some(writer)) = (Broken::new(&lab), writer()) else {
                        return;
                    };
                    // An answer without a body ends with its head. It comes after the whole upload: an answer in
                    // the middle of one can end the daemon, whose client then frees what is still being sent.
                    let fault = match fault {
                        Fault::ResetAfter(_) => Fault::ResetHead,
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

#[test]
fn an_export_that_gets_no_answer_is_stopped_on_a_daemon_of_others() {
    std::thread::scope(|scope| {
        for (method, path) in CALLS_OF_EXPORTS {
            spawn(scope, path, move || export_without_answer(method, path));
        }
    });
}

fn export_without_answer(method: &str, path: &str) {
    let name = format!("gha-held-{}", path.trim_matches('/').to_lowercase());
    let (Some(broken), Some(daemon), Some(reader)) = (Broken::new(&name), fresh(), fresh()) else {
        return;
    };
    broken.proxy.add(Rule::new(method, path).fault(Fault::NoAnswer));
    let out = broken.lab.project.path("out.tar").display().to_string();
    let out = format!("type=oci,dest={out}");
    let to = ["--cache-to", "type=gha,mode=max", "--output", &out];
    let log = broken.build(&daemon, &[&to[..], &["--cache-export-timeout=2s"]].concat()).stderr;
    let (built, after) = log.split_once("built sha256:").expect("what was built");
    assert!(!built.contains("exporting cache"), "{path}: {log}");
    let warning = "WARNING: no cache was exported to `gha`: it took longer than 2 s";
    assert!(after.contains(warning), "{path}: {log}");
    // The daemon has let go of the service, and builds and exports what comes next.
    broken.proxy.wait_until_given_up(1);
    broken.proxy.clear();
    let log = broken.build(&daemon, &[&to[..], &["--strict-cache"]].concat()).stderr;
    assert!(is_cached(&log, "RUN cat") && log.contains("exporting cache to gha"), "{path}: {log}");
    let log = broken.build(&reader, &["--cache-from", "type=gha"]).stderr;
    // Of an upload that began the service keeps the key, and takes nothing else for it: who exports
    // then takes the layer for one that is there, and who reads does without it.
    assert_eq!(is_cached(&log, "RUN cat"), path != "/upload/", "{path}: {log}");
}

fn spawn<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    name: &str,
    case: impl FnOnce() + Send + 'scope,
) {
    let named = std::thread::Builder::new().name(name.to_owned());
    named.spawn_scoped(scope, case).expect("a thread");
}
