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
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

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
    /// The connection is reset after so many bytes of the request's body: a broken upload.
    ResetUploadAfter(u64),
}

/// Which requests a fault hits.
#[derive(Clone, Debug)]
pub struct Rule {
    method: String,
    path: String,
    skip: u64,
    times: u64,
    fault: Fault,
}

impl Rule {
    /// Requests of `method` (empty: any) whose path contains `path`; delays by nothing until
    /// [`Rule::fault`] says what to do.
    pub fn new(method: &str, path: &str) -> Self {
        let fault = Fault::Delay(Duration::ZERO);
        Self { method: method.to_owned(), path: path.to_owned(), skip: 0, times: u64::MAX, fault }
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

    fn matches(&self, method: &str, path: &str) -> bool {
        (self.method.is_empty() || self.method == method) && path.contains(&self.path)
    }
}

/// A request that came through.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Whether a rule hit it.
    pub faulty: bool,
}

#[derive(Debug)]
struct State {
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Bytes from the server to the client, heads included.
    down: AtomicU64,
    /// Bytes from the client to the server, heads included.
    up: AtomicU64,
    closed: AtomicBool,
    frozen: Mutex<bool>,
    thawed: Condvar,
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
        rules: Mutex::default(),
        seen: Mutex::default(),
        down: AtomicU64::new(0),
        up: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        frozen: Mutex::new(true),
        thawed: Condvar::new(),
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
        let rule = Rule::new(method, path);
        self.requests().iter().filter(|seen| rule.matches(&seen.method, &seen.path)).count()
    }

    /// Bytes that the server has sent through.
    pub fn bytes_down(&self) -> u64 {
        self.state.down.load(Ordering::SeqCst)
    }

    /// Bytes that clients have sent through.
    pub fn bytes_up(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
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

impl State {
    fn serve(&self, mut client: TcpStream) {
        let Some((head, body)) = read_head(&mut client) else { return };
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fault = self.match_rule(method, path);
        let faulty = fault.is_some();
        let seen = Seen { method: method.to_owned(), path: path.to_owned(), faulty };
        self.seen.lock().expect("no handler died").push(seen);
        match &fault {
            Some(Fault::Status(code, headers, text)) => {
                return answer(&mut client, *code, headers, text);
            }
            Some(Fault::NoAnswer) => return self.stall(),
            Some(Fault::Delay(time)) => std::thread::sleep(*time),
            _ => {}
        }
        let _ = self.relay(client, &close_after(&head), &body, fault.as_ref());
    }

    fn match_rule(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no handler died");
        for rule in rules.iter_mut().filter(|rule| rule.matches(method, path)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }

    fn relay(
        &self,
        mut client: TcpStream,
        head: &str,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        let Ok(mut server) = TcpStream::connect(&self.upstream) else {
            answer(&mut client, 502, &[], "the server behind the proxy is gone");
            return Ok(());
        };
        server.write_all(head.as_bytes())?;
        server.write_all(body)?;
        self.up.fetch_add((head.len() + body.len()) as u64, Ordering::SeqCst);
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let limit = match fault {
            Some(Fault::ResetUploadAfter(limit)) => limit.saturating_sub(body.len() as u64),
            _ => u64::MAX,
        };
        let resetting = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let resetting = &resetting;
            scope.spawn(move || {
                if self.pump(&mut from_client, &mut to_server, limit).is_err() {
                    resetting.store(true, Ordering::SeqCst);
                    let _ = to_server.shutdown(Shutdown::Both);
                }
            });
            let end = self.pass_answer(&mut server, &mut client, fault);
            if matches!(end, Ok(End::Reset)) || resetting.load(Ordering::SeqCst) {
                // With a linger of zero the last close resets. Only the reading side is shut
                // before: a full shutdown would still end the stream in good order.
                let _ = rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO));
                let _ = client.shutdown(Shutdown::Read);
            } else {
                let _ = client.shutdown(Shutdown::Both);
            }
            let _ = server.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    /// Copies an upload; an error says that `limit` is reached.
    fn pump(&self, from: &mut TcpStream, to: &mut TcpStream, mut limit: u64) -> Result<(), ()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if limit == 0 {
                return Err(());
            }
            let room = usize::try_from(limit).unwrap_or(usize::MAX).min(buffer.len());
            let Ok(read @ 1..) = from.read(&mut buffer[..room]) else { return Ok(()) };
            self.up.fetch_add(read as u64, Ordering::SeqCst);
            limit -= read as u64;
            if to.write_all(&buffer[..read]).is_err() {
                return Ok(());
            }
        }
    }

    fn pass_answer(
        &self,
        server: &mut TcpStream,
        client: &mut TcpStream,
        fault: Option<&Fault>,
    ) -> std::io::Result<End> {
        let Some((head, rest)) = read_head(server) else { return Ok(End::Close) };
        let head = close_after(&head);
        client.write_all(head.as_bytes())?;
        self.down.fetch_add(head.len() as u64, Ordering::SeqCst);
        let mut body = std::io::Cursor::new(rest).chain(server);
        let mut sent = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let room = match fault {
                Some(Fault::ResetAfter(at) | Fault::TruncateAfter(at) | Fault::StallAfter(at)) => {
                    at - sent
                }
                Some(Fault::Slow(rate)) => (rate / 20).max(1),
                _ => u64::MAX,
            };
            if room == 0 {
                return Ok(self.end_early(fault));
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
            let read = body.read(&mut buffer[..room])?;
            if read == 0 {
                return Ok(End::Close);
            }
            match fault {
                Some(Fault::CorruptAt(at)) if (sent..sent + read as u64).contains(at) => {
                    buffer[usize::try_from(at - sent).expect("inside the buffer")] ^= 0xff;
                }
                Some(Fault::Slow(_)) => std::thread::sleep(Duration::from_millis(50)),
                _ => {}
            }
            client.write_all(&buffer[..read])?;
            sent += read as u64;
            self.down.fetch_add(read as u64, Ordering::SeqCst);
        }
    }

    fn end_early(&self, fault: Option<&Fault>) -> End {
        match fault {
            Some(Fault::ResetAfter(_)) => return End::Reset,
            Some(Fault::StallAfter(_)) => self.stall(),
            _ => {}
        }
        End::Close
    }

    fn stall(&self) {
        let frozen = self.frozen.lock().expect("no handler died");
        drop(self.thawed.wait_while(frozen, |frozen| *frozen));
    }
}

/// How a connection to the client ends.
enum End {
    Close,
    Reset,
}

fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// The same head, with `Connection: close` in place of what it said.
fn close_after(head: &str) -> String {
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.push("Connection: close");
    lines.join("\r\n") + "\r\n\r\n"
}

fn answer(client: &mut TcpStream, code: u16, headers: &[(String, String)], text: &str) {
    let mut head =
        format!("HTTP/1.1 {code} Fault\r\nContent-Length: {}\r\nConnection: close\r\n", text.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let _ = client.write_all(format!("{head}\r\n{text}").as_bytes());
    // What the client still sends must be read, or the close resets the answer away.
    let _ = client.shutdown(Shutdown::Write);
    let _ = std::io::copy(client, &mut std::io::sink());
}
