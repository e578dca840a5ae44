//! A real `buildkitd` under test: one for the whole test binary, or an own one.
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::tool;
use super::watched::{Event, Watched};

/// A running `buildkitd` with its own state; it stops when this is dropped or the tests end.
#[derive(Debug)]
pub struct Engine {
    /// What `--builder` and `BUILDKIT_HOST` take: `unix:///…/buildkitd.sock`.
    pub address: String,
    /// Its state folder.
    pub root: PathBuf,
    command: Invocation,
    process: Watched,
}

/// How the daemon is started, each time.
#[derive(Debug)]
struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    /// What goes with the daemon.
    folder: PathBuf,
}

/// How an own engine differs from the shared one.
#[derive(Debug, Default)]
pub struct Options {
    /// The content of its `buildkitd.toml`.
    pub config: String,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: Vec<(&'static str, OsString)>,
}

/// The engine that all tests of this binary share, started by the first one to ask.
///
/// Registries on loopback are plain HTTP to it without further configuration. Entitlements
/// `network.host` and `security.insecure` are allowed.
pub fn shared() -> Option<&'static Engine> {
    static SHARED: OnceLock<Option<Engine>> = OnceLock::new();
    let mut first = false;
    let engine = SHARED.get_or_init(|| {
        first = true;
        start(Options::default())
    });
    if engine.is_none() && !first {
        tool::skip("no engine: see the first test that was skipped");
    }
    engine.as_ref()
}

/// Starts an own engine.
pub fn start(options: Options) -> Option<Engine> {
    let [buildkitd] = tool::need(["buildkitd"])?;
    let runtime =
        tool::find("buildkit-runc").or_else(|| tool::find("runc")).or_else(|| tool::find("crun"));
    let Some(runtime) = runtime else {
        tool::skip("no OCI runtime: neither `runc` nor `crun` found");
        return None;
    };
    let folder =
        tempfile::Builder::new().prefix("kitwright-engine-").tempdir().expect("a folder").keep();
    let config = folder.join("buildkitd.toml");
    std::fs::write(&config, &options.config).expect("a written config");
    let scratch = folder.join("tmp");
    std::fs::create_dir(&scratch).expect("a folder");
    let root = folder.join("root");
    let socket = folder.join("buildkitd.sock");
    let address = format!("unix://{}", socket.display());
    let mut args: Vec<OsString> = Vec::new();
    let mut flag =
        |name: &str, value: &Path| args.push(format!("--{name}={}", value.display()).into());
    flag("config", &config);
    flag("root", &root);
    flag("addr", Path::new(&address));
    flag("otel-socket-path", &folder.join("otel.sock"));
    flag("oci-worker-binary", &runtime);
    args.extend(
        [
            "--containerd-worker=false",
            "--oci-worker-net=host",
            "--allow-insecure-entitlement=network.host",
            "--allow-insecure-entitlement=security.insecure",
        ]
        .map(OsString::from),
    );
    args.extend(options.args.into_iter().map(OsString::from));
    let mut env = options.env;
    env.push(("TMPDIR", scratch.into_os_string()));
    let (program, args) = as_this_user(buildkitd, args)?;
    let command = Invocation { program, args, env, folder };
    let process = command.run();
    Some(Engine { address, root, command, process })
}

impl Invocation {
    /// Starts the daemon and waits until it is ready.
    fn run(&self) -> Watched {
        let notify = self.folder.join("notify.sock");
        // The one of the daemon before.
        let _ = std::fs::remove_file(&notify);
        let ready = UnixDatagram::bind(&notify).expect("a readiness socket");
        let mut env = self.env.clone();
        env.push(("NOTIFY_SOCKET", notify.into_os_string()));
        let process = Watched::spawn(&self.program, &self.args, &env, Some(&self.folder));
        let sender = process.sender();
        std::thread::spawn(move || {
            let mut message = [0; 64];
            while ready
                .recv(&mut message)
                .is_ok_and(|read| !message[..read].starts_with(b"READY=1"))
            {}
            let _ = sender.send(Event::Ready);
        });
        let is_ready = |event: &Event| matches!(event, Event::Ready).then_some(());
        process.wait_for("the engine to be ready", is_ready);
        process
    }
}

impl Engine {
    /// Stops the daemon, has `between` do something to its state, and starts it again at the same address.
    #[must_use]
    pub fn restarted(self, between: impl FnOnce(&Path)) -> Self {
        let Self { address, root, command, process } = self;
        process.end_and_keep();
        between(&root);
        let process = command.run();
        Self { address, root, command, process }
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The daemon's process id, to kill it in a test.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }
}

/// Root runs the daemon itself, with its own mounts: those of a step that was running at the end
/// go with the daemon. Anybody else needs a user namespace around it.
fn as_this_user(buildkitd: PathBuf, mut args: Vec<OsString>) -> Option<(PathBuf, Vec<OsString>)> {
    let (program, flags) = if rustix::process::geteuid().is_root() {
        let Some(unshare) = tool::find("unshare") else { return Some((buildkitd, args)) };
        (unshare, ["--mount", "--propagation=slave"])
    } else {
        let [rootlesskit, _] = tool::need(["rootlesskit", "newuidmap"])?;
        (rootlesskit, ["--net=host", "--pidns"])
    };
    args.splice(0..0, flags.map(OsString::from).into_iter().chain([buildkitd.into_os_string()]));
    Some((program, args))
}
