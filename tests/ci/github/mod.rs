//! A strict stand-in of GitHub: the REST endpoints that kitwright uses, and git over HTTP.
//!
//! Made from the published API description. It checks every request's method, path, query, headers,
//! token and body, and remembers each breach: dropping it fails the test then. Lists come in pages,
//! answers have `ETag`s, and faults can be queued: limits, failures, an endpoint that lags behind.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

mod git;
mod rest;

/// The token that the stand-in knows.
pub const TOKEN: &str = "ghs_0123456789abcdefTESTONLY";
/// The repository that it serves.
pub const REPOSITORY: &str = "acme/widgets";

/// A running stand-in.
pub struct GitHub {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    world: Arc<Mutex<World>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Changes the runs of a workflow when they are asked for; given the number of the look.
pub type OnRuns = Box<dyn FnMut(usize, &mut Vec<Value>) + Send>;

/// What the stand-in holds.
#[derive(Default)]
pub struct World {
    pub pulls: BTreeMap<u64, Value>,
    pub permissions: BTreeMap<String, String>,
    pub comments: BTreeMap<u64, Comment>,
    pub reactions: Vec<(u64, String)>,
    /// Workflow runs by the workflow's file name.
    pub runs: BTreeMap<String, Vec<Value>>,
    pub faults: Vec<Fault>,
    pub requests: Vec<Seen>,
    pub breaches: Vec<String>,
    /// How many items a page has at most.
    pub page: usize,
    /// How many coming lists of comments still lack the newest one.
    pub lag: usize,
    /// The bare repository behind `/acme/widgets.git`.
    pub repository: Option<PathBuf>,
    /// What happens when the runs are asked for: called with the number of the look, from 1.
    pub on_runs: Option<OnRuns>,
    pub looks: usize,
    pub url: String,
    next_id: u64,
}

#[derive(Clone, Debug)]
pub struct Comment {
    pub number: u64,
    pub author: String,
    pub body: String,
}

/// An answer that comes instead of the right one.
pub struct Fault {
    pub method: &'static str,
    /// A part of the path.
    pub path: &'static str,
    pub times: usize,
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub status: u16,
}

impl Fault {
    pub fn new(method: &'static str, path: &'static str, status: u16) -> Self {
        let body = json!({ "message": format!("fault {status}") });
        Self { method, path, times: 1, status, headers: Vec::new(), body }
    }

    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub fn message(self, message: &str) -> Self {
        Self { body: json!({ "message": message }), ..self }
    }
}

impl GitHub {
    pub fn start() -> Self {
        let world = Arc::new(Mutex::new(World { page: 100, next_id: 1000, ..World::default() }));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (send, receive) = std::sync::mpsc::channel();
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                let app = Router::new().fallback(serve).with_state(shared);
                let stop = async move { drop(stopped.await) };
                axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
            });
        });
        let address = receive.recv().unwrap();
        let url = format!("http://{address}");
        world.lock().unwrap().url.clone_from(&url);
        Self { url, world, stop: Some(stop) }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A same-repository pull request, as the REST API writes it.
    pub fn pull(&self, number: u64, branch: &str, sha: &str, base: &str, base_sha: &str) {
        let pull = pull_request(number, branch, sha, base, base_sha, REPOSITORY);
        self.world().pulls.insert(number, pull);
    }

    pub fn fault(&self, fault: Fault) {
        self.world().faults.push(fault);
    }

    /// How many requests of this kind were answered with this status.
    pub fn seen(&self, method: &str, path: &str, status: u16) -> usize {
        let matches = |seen: &&Seen| {
            seen.method == method && seen.path.contains(path) && seen.status == status
        };
        self.world().requests.iter().filter(matches).count()
    }

    pub fn bodies(&self) -> Vec<String> {
        self.world().comments.values().map(|comment| comment.body.clone()).collect()
    }

    pub fn reactions(&self) -> Vec<(u64, String)> {
        self.world().reactions.clone()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if !std::thread::panicking() {
            let breaches = self.world().breaches.clone();
            assert!(breaches.is_empty(), "requests that GitHub would refuse:\n{breaches:#?}");
        }
    }
}

/// A pull request as payloads and the REST API write it, with the fields that matter here.
pub fn pull_request(
    number: u64,
    branch: &str,
    sha: &str,
    base: &str,
    base_sha: &str,
    head_repository: &str,
) -> Value {
    json!({
        "number": number,
        "state": "open",
        "merged": false,
        "user": { "login": "ann", "type": "User" },
        "head": { "ref": branch, "sha": sha, "repo": { "full_name": head_repository } },
        "base": { "ref": base, "sha": base_sha, "repo": { "full_name": REPOSITORY } },
    })
}

/// A run of a workflow as the REST API writes it.
pub fn run(id: u64, sha: &str, event: &str, status: &str, conclusion: Option<&str>) -> Value {
    json!({
        "id": id,
        "name": "Build CI image",
        "head_sha": sha,
        "event": event,
        "status": status,
        "conclusion": conclusion,
        "html_url": format!("https://github.com/{REPOSITORY}/actions/runs/{id}"),
        "run_attempt": 1,
        "pull_requests": [],
    })
}

async fn serve(State(world): State<Arc<Mutex<World>>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or("").to_owned());
    let method = parts.method.to_string();
    if path.contains(".git/") {
        let repository = world.lock().unwrap().repository.clone();
        return git::serve(repository, &method, &path, &query, &parts.headers, body).await;
    }
    let mut world = world.lock().unwrap();
    let call = rest::Call { method: &method, path: &path, query: &query, body: &body };
    let (status, headers, body) = answer(&mut world, &call, &parts.headers);
    world.requests.push(Seen { method, path, status });
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body = if status == 304 || status == 204 { Body::empty() } else { Body::from(body) };
    response.body(body).unwrap()
}

type Answer = (u16, Vec<(&'static str, String)>, String);

fn answer(world: &mut World, call: &rest::Call<'_>, headers: &HeaderMap) -> Answer {
    check_headers(world, call, headers);
    let of = |fault: &&mut Fault| {
        fault.times > 0 && fault.method == call.method && call.path.contains(fault.path)
    };
    if let Some(fault) = world.faults.iter_mut().find(of) {
        fault.times -= 1;
        return (fault.status, fault.headers.clone(), fault.body.to_string());
    }
    let authorized = headers.get("authorization").and_then(|value| value.to_str().ok());
    if authorized != Some(&format!("Bearer {TOKEN}")) {
        return (401, Vec::new(), json!({ "message": "Bad credentials" }).to_string());
    }
    let (status, mut headers_out, value) = rest::answer(world, call);
    let text = value.to_string();
    if call.method == "GET" && status == 200 {
        let etag = format!("W/\"{:x}\"", hash(&text));
        let known = headers.get("if-none-match").and_then(|value| value.to_str().ok());
        headers_out.push(("etag", etag.clone()));
        if known == Some(&etag) {
            return (304, headers_out, String::new());
        }
    }
    (status, headers_out, text)
}

/// Every request has to look as GitHub's documentation asks for.
fn check_headers(world: &mut World, call: &rest::Call<'_>, headers: &HeaderMap) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut wanted =
        vec![("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];
    if !call.body.is_empty() {
        wanted.push(("content-type", "application/json"));
    }
    for (name, value) in wanted {
        if header(name) != value {
            let breach = format!("{} {}: `{name}: {}`", call.method, call.path, header(name));
            world.breaches.push(breach);
        }
    }
    if !header("user-agent").starts_with("kitwright/") {
        world.breaches.push(format!("{} {}: no user agent", call.method, call.path));
    }
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
