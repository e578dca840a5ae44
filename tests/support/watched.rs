//! Processes that end with the test binary, however it ends.
//!
//! `PR_SET_PDEATHSIG` does not serve here: it fires when the *thread* that started the process
//! ends, and the harness gives each test its own. A shell stands between instead and reads from a
//! pipe that only the test binary holds: at its end, by exit or by SIGKILL, the kernel closes the
//! pipe and the shell stops the process and removes its folder.
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Longer than anything here takes; a test that waits this long is stuck.
const STUCK: Duration = Duration::from_secs(60);

const WATCH: &str = r#"
dir=$1; shift
"$@" </dev/null >&2 &
pid=$!
echo "$pid"
exec >/dev/null 2>&1
read -r word
kill -TERM "$pid"
( sleep 15; kill -KILL "$pid" ) & killer=$!
wait "$pid"
kill "$killer"
[ -z "$dir" ] || [ "$word" = keep ] || rm -rf --one-file-system "$dir"
"#;

/// What a watched process has done.
#[derive(Debug)]
pub enum Event {
    /// A line of its output.
    Line(String),
    /// Something else that the starter listens to, for example a readiness socket.
    Ready,
    /// Its output has ended: it is gone.
    Ended,
}

/// A process under watch; dropping it stops it, waits, and removes its folder.
#[derive(Debug)]
pub struct Watched {
    shell: Child,
    hold: Option<ChildStdin>,
    /// The process itself, not the shell that watches it.
    pub pid: u32,
    log: Arc<Mutex<String>>,
    events: Mutex<Receiver<Event>>,
    sender: Sender<Event>,
}

impl Watched {
    /// Starts `program`; `folder` is removed after its end.
    pub fn spawn(
        program: &Path,
        args: &[OsString],
        env: &[(&str, OsString)],
        folder: Option<&Path>,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCH, "watch"])
            .arg(folder.unwrap_or(Path::new("")))
            .arg(program)
            .args(args);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Out of the terminal's reach: Ctrl-C must stop the tests first, then this.
        command.process_group(0);
        let mut shell = command.spawn().expect("a shell");
        let mut pid = String::new();
        let mut stdout = BufReader::new(shell.stdout.take().expect("a pipe"));
        stdout.read_line(&mut pid).expect("the process's id");
        let (sender, events) = channel();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = shell.stderr.take().expect("a pipe");
        std::thread::spawn({
            let (log, sender) = (Arc::clone(&log), sender.clone());
            move || follow(stderr, &log, &sender)
        });
        let hold = shell.stdin.take();
        let pid = pid.trim().parse().expect("a process id");
        Self { shell, hold, pid, log, events: Mutex::new(events), sender }
    }

    /// A way to report [`Event::Ready`] from elsewhere.
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Waits for the first event that `wanted` makes something of.
    ///
    /// # Panics
    ///
    /// When the process ends before, or nothing comes for a minute; with the process's own log.
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let events = self.events.lock().expect("no test died here");
        loop {
            let event = match events.recv_timeout(STUCK) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("waited too long for {what}:\n{}", self.log())
                }
                Err(RecvTimeoutError::Disconnected) => panic!("no more events for {what}"),
            };
            if let Some(found) = wanted(&event) {
                return found;
            }
            assert!(!matches!(event, Event::Ended), "ended before {what}:\n{}", self.log());
        }
    }

    /// Stops it, waits for its end, and leaves its folder to whoever goes on with it.
    pub fn end_and_keep(mut self) {
        let hold = self.hold.as_mut().expect("a process under watch");
        hold.write_all(b"keep\n").expect("the shell reads");
    }

    /// What the process has printed so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test died here").clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.hold.take());
        let _ = self.shell.wait();
    }
}

fn follow(output: impl std::io::Read, log: &Mutex<String>, sender: &Sender<Event>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).into_owned();
        log.lock().expect("no test died here").push_str(&text);
        let _ = sender.send(Event::Line(text));
        line.clear();
    }
    let _ = sender.send(Event::Ended);
    tell_of_crash(&log.lock().expect("no test died here"));
}

/// Prints how a program written in Go died, if it did: tests that were using it only see that it is gone.
fn tell_of_crash(log: &str) {
    let is_crash = |line: &str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    let crash: Vec<_> = log.lines().skip_while(|line| !is_crash(line)).take(60).collect();
    if crash.is_empty() {
        return;
    }
    eprintln!("a program that tests were using died:\n{}", crash.join("\n"));
}

/// A folder for what this whole test binary shares, removed at its end.
///
/// Statics are never dropped, so a temporary folder in one would stay for ever.
pub fn shared_folder() -> &'static Path {
    static FOLDER: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (folder, _) = FOLDER.get_or_init(|| {
        let folder =
            tempfile::Builder::new().prefix("kitwright-test-").tempdir().expect("a folder").keep();
        let mut shell = Command::new("/bin/sh")
            .args(["-c", r#"echo; read -r _; rm -rf --one-file-system "$1""#, "watch"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let _ = shell.stdout.take().expect("a pipe").read(&mut [0]);
        (folder, shell)
    });
    folder
}
