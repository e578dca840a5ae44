//! The process that runs the private engine's daemon and counts the leases on it.
//!
//! It is started by the first build, in a session of its own, with the listening socket as its
//! stdin. It ends when nobody holds a lease, when the daemon dies, or on SIGTERM; see
//! [`private`](super::private) for the other side.
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::asks::Asks;
use super::daemon::{Daemon, Happening, log_end};
use super::lease::{PROTOCOL, Reply, Request, Running, Status, Wish};
use super::private::{SUPERVISE, lock};
use super::programs::Programs;
use super::state::StateDir;
use crate::fault::chain;

/// Becomes the supervisor if this process was started as one: its first argument says so.
#[must_use]
pub fn run_as_supervisor() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != OsStr::new(SUPERVISE) {
        return None;
    }
    let state = StateDir::at(PathBuf::from(arguments.next()?));
    Some(match supervise(&state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kitwright {SUPERVISE}: {error}");
            ExitCode::from(crate::fault::Fault::Environment.exit_code())
        }
    })
}

fn supervise(state: &StateDir) -> std::io::Result<()> {
    close_inherited();
    // Out of the terminal's reach: Ctrl-C there is for the builds, which then give up their leases.
    // It fails for a process that leads a session already, which is as good.
    let _ = rustix::process::setsid();
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let listener = std::os::unix::net::UnixListener::from(stdin);
    listener.set_nonblocking(true)?;
    let socket = listener.local_addr()?;
    let sockets = socket.as_pathname().and_then(Path::parent).map(Path::to_owned);
    let sockets = sockets.ok_or(std::io::ErrorKind::InvalidInput)?;
    // The engine before this one may still be stopping; clients wait meanwhile in the socket's queue.
    let life = lock(&state.engine().join("life.lock")).map_err(std::io::Error::other)?;
    // One thread: a parent-death signal hangs on the thread that starts the child.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        Supervisor::new(state.clone(), sockets, listener, life).run().await
    })
}

/// Closes what the first build's caller has left open, before anything is opened here: a lock or
/// a pipe of theirs would be held for as long as the engine runs.
fn close_inherited() {
    // SAFETY: besides the standard streams, which stay, this process has nothing open yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

/// A client's connection, by the order in which it came.
type Client = u64;

enum Event {
    Asked(Client, Request, OwnedWriteHalf),
    /// The client has closed its side, or has sent something unreadable.
    Gone(Client),
}

struct Supervisor {
    state: StateDir,
    sockets: PathBuf,
    listener: Option<UnixListener>,
    life: File,
    daemon: Option<Daemon>,
    running: Option<Running>,
    /// What the daemon was started with.
    asks: Asks,
    kept: bool,
    next: Client,
    /// Connections whose request has not come yet: any of them may become a lease.
    undecided: std::collections::BTreeSet<Client>,
    leases: std::collections::BTreeMap<Client, OwnedWriteHalf>,
    /// The last lease to be given back, whose holder waits for the end.
    farewell: Option<OwnedWriteHalf>,
    /// Who only waits for the end.
    waiting: std::collections::BTreeMap<Client, OwnedWriteHalf>,
    events: UnboundedReceiver<Event>,
    sender: UnboundedSender<Event>,
}

impl Supervisor {
    fn new(state: StateDir, sockets: PathBuf, listener: UnixListener, life: File) -> Self {
        let (sender, events) = unbounded_channel();
        Self {
            state,
            sockets,
            listener: Some(listener),
            life,
            daemon: None,
            running: None,
            asks: Asks::default(),
            kept: false,
            next: 0,
            undecided: Default::default(),
            leases: Default::default(),
            farewell: None,
            waiting: Default::default(),
            events,
            sender,
        }
    }

    async fn run(mut self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                connection = accept(self.listener.as_ref()) => self.accepted(connection?),
                Some(event) = self.events.recv() => self.event(event).await,
                happening = happening(self.daemon.as_mut()) => match happening {
                    Happening::Ready(running) => self.ready(running).await,
                    Happening::Ended(message) => return self.failed(message).await,
                },
                _ = terminate.recv() => return self.failed("the private engine was stopped by a signal".into()).await,
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
            if self.nobody_left() && self.close()? {
                return self.end().await;
            }
        }
    }

    fn accepted(&mut self, stream: UnixStream) {
        let client = self.next;
        self.next += 1;
        self.undecided.insert(client);
        let (read, write) = stream.into_split();
        tokio::spawn(listen(client, read, write, self.sender.clone()));
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Asked(client, request, mut write) => {
                self.undecided.remove(&client);
                if request.protocol != PROTOCOL {
                    say(&mut write, &Reply::Protocol { protocol: PROTOCOL }).await;
                    return;
                }
                match request.wish {
                    Wish::Lease(asks) => self.lease(client, asks, write).await,
                    Wish::Keep(asks) => {
                        self.lease(client, asks, write).await;
                        self.kept |= self.leases.contains_key(&client);
                    }
                    Wish::Stop => {
                        self.kept = false;
                        say(&mut write, &Reply::Stopping { leases: self.leases.len() }).await;
                        self.waiting.insert(client, write);
                    }
                    Wish::Status => say(&mut write, &Reply::Status(self.status())).await,
                }
            }
            Event::Gone(client) => {
                self.undecided.remove(&client);
                self.waiting.remove(&client);
                if let Some(write) = self.leases.remove(&client) {
                    // The last one is told of the end; all others need not wait.
                    let last = self.leases.is_empty() && !self.kept;
                    self.farewell = Some(write).filter(|_| last);
                }
            }
        }
    }

    async fn lease(&mut self, client: Client, asks: Asks, mut write: OwnedWriteHalf) {
        if self.daemon.is_none() {
            match self.start(&asks) {
                Ok(daemon) => self.daemon = Some(daemon),
                Err(message) => {
                    say(&mut write, &Reply::Failed { message, log: String::new() }).await;
                    return;
                }
            }
            self.asks = asks;
        } else if let Some(lacks) = asks.missing_from(&self.asks) {
            say(&mut write, &Reply::Differs { lacks, kept: self.kept }).await;
            self.waiting.insert(client, write);
            return;
        }
        if let Some(running) = &self.running {
            say(&mut write, &Reply::Ready(running.clone())).await;
        }
        self.leases.insert(client, write);
        // It goes on: who wanted to see the end need not wait for this build's.
        self.farewell = None;
    }

    fn start(&self, asks: &Asks) -> Result<Daemon, String> {
        let programs = Programs::find(&self.state).map_err(|error| chain(&error))?;
        let life = self.life.try_clone().map_err(|error| error.to_string())?;
        Daemon::spawn(&self.state, &self.sockets, &programs, asks, life)
            .map_err(|error| chain(&error))
    }

    async fn ready(&mut self, running: Running) {
        let reply = Reply::Ready(running.clone());
        for write in self.leases.values_mut() {
            say(write, &reply).await;
        }
        self.running = Some(running);
    }

    fn status(&self) -> Status {
        Status {
            running: self.running.clone(),
            kept: self.kept,
            leases: self.leases.len(),
            supervisor: std::process::id(),
            asks: self.asks.clone(),
        }
    }

    fn nobody_left(&self) -> bool {
        self.leases.is_empty() && self.undecided.is_empty() && !self.kept
    }

    /// Closes the door, unless somebody is on the threshold; `false` then.
    fn close(&mut self) -> std::io::Result<bool> {
        // Under this lock nobody starts another engine, so the socket to remove is ours.
        let _lock = lock(&self.state.engine().join("start.lock")).map_err(std::io::Error::other)?;
        let Some(listener) = &self.listener else { return Ok(true) };
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Ok((stream, _))) = listener.poll_accept(&mut context) {
            self.accepted(stream);
            return Ok(false);
        }
        let _ = fs_err::remove_file(self.sockets.join("lease.sock"));
        self.listener = None;
        Ok(true)
    }

    /// Tells everybody what happened and ends.
    async fn failed(mut self, message: String) -> std::io::Result<()> {
        {
            let _lock =
                lock(&self.state.engine().join("start.lock")).map_err(std::io::Error::other)?;
            let _ = fs_err::remove_file(self.sockets.join("lease.sock"));
            self.listener = None;
        }
        let reply = Reply::Failed { message, log: log_end(&self.state.log()) };
        for write in self.leases.values_mut() {
            say(write, &reply).await;
        }
        self.end().await
    }

    async fn end(mut self) -> std::io::Result<()> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
        for write in self.waiting.values_mut().chain(self.farewell.as_mut()) {
            say(write, &Reply::Stopped).await;
        }
        Ok(())
    }
}

async fn accept(listener: Option<&UnixListener>) -> std::io::Result<UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn happening(daemon: Option<&mut Daemon>) -> Happening {
    match daemon {
        Some(daemon) => daemon.happening().await,
        None => std::future::pending().await,
    }
}

/// Reads a client's request, then waits for the end of its connection.
async fn listen(
    client: Client,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    events: UnboundedSender<Event>,
) {
    let mut read = BufReader::new(read);
    let mut line = String::new();
    let read_line = read.read_line(&mut line).await;
    if let (Ok(1..), Ok(request)) = (read_line, serde_json::from_str(&line)) {
        // The receiver lives as long as the runtime that runs this.
        let _ = events.send(Event::Asked(client, request, write));
        let mut rest = [0; 64];
        while read.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
    let _ = events.send(Event::Gone(client));
}

/// Says something to a client. One that is gone is noticed when its connection ends.
async fn say(write: &mut OwnedWriteHalf, reply: &Reply) {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    let _ = write.write_all(&line).await;
}
