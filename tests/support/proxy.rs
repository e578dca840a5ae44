//! A proxy that misbehaves on demand, to stand between a client and a plain HTTP server.
//!
//! Each connection serves one request (both sides are told `Connection: close`), so a fault hits
//! exactly the request that its rule names. Bodies pass through as bytes and are counted.
//!
//! ```ignore
//! let proxy = proxy::start(&registry.host);
//! proxy.add(Rule::new("GET", "/blobs/").times(1).fault(Fault::ResetAfter(1000)));
//! // … a build against `proxy.host` …
//! assert!(proxy.seen("GET", "/blobs/") >= 2);
//! ```
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

mod relay;

/// Longer than any client waits that gives up at all.
const STUCK: Duration = Duration::from_secs(60);

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The proxy answers itself, with these headers (`("Retry-After", "1")`) and body.
    Status(u16, Vec<(String, String)>, String),
    /// The connection is reset after so many bytes of the answer's body.
    ResetAfter(u64),
    /// The connection is closed cleanly after so many bytes of the answer's body.
    TruncateAfter(u64),
    /// One byte of the answer's body is changed.
    CorruptAt(u64),
    /// Nothing more comes after so many bytes of the answer's body, until [`Proxy::thaw`].
    StallAfter(u64),
    /// The request is accepted and never answered, until [`Proxy::thaw`].
    NoAnswer,
    /// The request is passed on after this time.
    Delay(Duration),
    /// The answer's body passes no faster than so many bytes a second.
    Slow(u64),
    /// The server gets no more than so many bytes of the request's body, and then its end.
    TruncateUploadAfter(u64),
    /// One byte of the request's body is changed on its way to the server.
    CorruptUploadAt(u64),
    /// The server gets so many bytes of the request's body, and nothing more until [`Proxy::thaw`].
    StallUploadAfter(u64),
    /// The connection is reset after so many bytes of the request's body: a broken upload.
    ResetUploadAfter(u64),
    /// The connection is closed cleanly in the middle of the answer's head.
    CutHead,
    /// The connection is reset when the server has answered, in place of the answer.
    ResetHead,
    /// The answer's `Docker-Content-Digest` is that of something else.
    ClaimOtherDigest,
    /// This request is answered in good order, and every later connection is refused.
    LastAnswer,
}

/// Which requests a fault hits.
#[derive(Clone, Debug)]
pub struct Rule {
    method: String,
    path: String,
    agent: String,
    skip: u64,
    times: u64,
    fault: Fault,
}

impl Rule {
    /// Requests of `method` (empty: any) whose path contains `path`; delays by nothing until
    /// [`Rule::fault`] says what to do.
    pub fn new(method: &str, path: &str) -> Self {
        let fault = Fault::Delay(Duration::ZERO);
        let (method, path, agent) = (method.to_owned(), path.to_owned(), String::new());
        Self { method, path, agent, skip: 0, times: u64::MAX, fault }
    }

    /// Hits only clients whose `User-Agent` begins like this.
    #[must_use]
    pub fn by(self, agent: &str) -> Self {
        Self { agent: agent.to_owned(), ..self }
    }

    /// Lets the first so many matching requests pass.
    #[must_use]
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Hits so many requests, then no more.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// What goes wrong.
    #[must_use]
    pub fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// Answers with a status alone.
    #[must_use]
    pub fn status(self, code: u16) -> Self {
        self.fault(Fault::Status(code, Vec::new(), String::new()))
    }

    fn matches(&self, seen: &Seen) -> bool {
        (self.method.is_empty() || self.method == seen.method)
            && seen.path.contains(&self.path)
            && seen.agent.starts_with(&self.agent)
    }
}

/// A request that came through.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    /// The client's `User-Agent`.
    pub agent: String,
    /// Whether a rule hit it.
    pub faulty: bool,
}

#[derive(Debug)]
struct State {
    upstream: String,
    listener: TcpListener,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Bytes from the server to the client, heads included.
    down: AtomicU64,
    /// Bytes from the client to the server, heads included.
    up: AtomicU64,
    closed: AtomicBool,
    frozen: Mutex<bool>,
    thawed: Condvar,
    /// How many requests that were never answered their clients have given up.
    given_up: Mutex<usize>,
    gives_up: Condvar,
}

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// `127.0.0.1:PORT`: give this to the client instead of the server's.
    pub host: String,
    state: Arc<State>,
}

/// Starts a proxy before `upstream` (`127.0.0.1:PORT`).
pub fn start(upstream: &str) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    let state = Arc::new(State {
        upstream: upstream.to_owned(),
        listener: listener.try_clone().expect("a second handle"),
        rules: Mutex::default(),
        seen: Mutex::default(),
        down: AtomicU64::new(0),
        up: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        frozen: Mutex::new(true),
        thawed: Condvar::new(),
        given_up: Mutex::new(0),
        gives_up: Condvar::new(),
    });
    std::thread::spawn({
        let state = Arc::clone(&state);
        move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if state.closed.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.serve(stream));
            }
        }
    });
    Proxy { host, state }
}

/// An address on loopback that refuses connections.
pub fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

impl Proxy {
    /// Adds a rule; of several that match a request the first counts.
    pub fn add(&self, rule: Rule) {
        self.state.rules.lock().expect("no handler died").push(rule);
    }

    /// Removes all rules and forgets what was seen and counted.
    pub fn clear(&self) {
        self.state.rules.lock().expect("no handler died").clear();
        self.state.seen.lock().expect("no handler died").clear();
        self.state.down.store(0, Ordering::SeqCst);
        self.state.up.store(0, Ordering::SeqCst);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no handler died").clone()
    }

    /// How many requests of `method` (empty: any) there were for paths that contain `path`.
    pub fn seen(&self, method: &str, path: &str) -> usize {
        self.seen_by("", method, path)
    }

    /// The same of clients whose `User-Agent` begins like this.
    pub fn seen_by(&self, agent: &str, method: &str, path: &str) -> usize {
        let rule = Rule::new(method, path).by(agent);
        self.requests().iter().filter(|seen| rule.matches(seen)).count()
    }

    /// Bytes that the server has sent through.
    pub fn bytes_down(&self) -> u64 {
        self.state.down.load(Ordering::SeqCst)
    }

    /// Bytes that clients have sent through.
    pub fn bytes_up(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
    }

    /// Waits until clients have given up so many requests that were never answered.
    ///
    /// # Panics
    ///
    /// When they have not within a minute.
    pub fn wait_until_given_up(&self, requests: usize) {
        let given_up = self.state.given_up.lock().expect("no handler died");
        let (given_up, waited) = self
            .state
            .gives_up
            .wait_timeout_while(given_up, STUCK, |given_up| *given_up < requests)
            .expect("no handler died");
        assert!(!waited.timed_out(), "{given_up} requests were given up: {:?}", self.requests());
    }

    /// Goes away: every later connection is refused.
    pub fn leave(&self) {
        self.state.leave();
    }

    /// Ends all stalls: their connections are closed.
    pub fn thaw(&self) {
        *self.state.frozen.lock().expect("no handler died") = false;
        self.state.thawed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.thaw();
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(&self.host);
    }
}
