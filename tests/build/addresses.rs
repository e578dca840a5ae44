//! Builders at every kind of address: TLS, SSH, a container.
use std::ffi::OsString;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::kit::Project;
use crate::support::docker::{self, text_of};
use crate::support::engine::{self, Options};
use crate::support::tool;
use crate::support::watched::{Event, Watched};

const HELLO: &str = "FROM busybox\nRUN echo hello > /hello\n";

#[test]
fn a_port_with_certificates_on_both_sides() {
    let Some(project) = Project::new(HELLO) else { return };
    let port = free_port();
    make_certificates(&project);
    let flag = |name: &str, file: &str| format!("--tls{name}={}", project.path(file).display());
    let args = vec![
        format!("--addr=tcp://127.0.0.1:{port}"),
        flag("cacert", "ca.crt"),
        flag("cert", "server.crt"),
        flag("key", "server.key"),
    ];
    let Some(_engine) = engine::start(Options { args, ..Options::default() }) else { return };
    let address = |query: &str| format!("tcp://127.0.0.1:{port}?{query}");
    let ours = "cert=client.crt&key=client.key";
    let build = |query: &str| project.build(&["--builder", &address(query), "-o", "out"]);
    build(&format!("ca=ca.crt&{ours}")).ok();
    assert_eq!(project.read("out/hello"), "hello\n");
    let nameless = ["cannot set up TLS", "needs `cert` and `key` too", &address("ca=ca.crt")];
    build("ca=ca.crt").fails(3, &nameless);
    let stranger = format!("ca=stranger.crt&{ours}");
    build(&stranger).fails(3, &["cannot set up TLS", "invalid peer certificate"]);
    build("ca=none.crt").fails(2, &["none.crt"]);
    build("").fails(3, &["a daemon behind TLS needs"]);
}

#[test]
fn a_machine_behind_ssh() {
    let Some(project) = Project::new(HELLO) else { return };
    let Some(server) = SshServer::start(&project) else { return };
    let socket = project.address().trim_start_matches("unix://").to_owned();
    let builder = format!("ssh://127.0.0.1:{}{socket}", server.port);
    let path =
        format!("{}:{}", project.path("bin").display(), std::env::var("PATH").expect("PATH"));
    let build = |builder: &str, output: &str| {
        project.build_with_env(&["--builder", builder, "-o", output], &[("PATH", &path)])
    };
    build(&builder, "out").ok();
    assert_eq!(project.read("out/hello"), "hello\n");
    // Something else that listens is told apart.
    let stranger = format!("tcp://127.0.0.1:{}", server.port);
    build(&stranger, "none").fails(3, &[&stranger, "does not answer as a BuildKit daemon does"]);
    // What stands in the way is told in the words of who knows.
    let wrong = format!("ssh://127.0.0.1:{}/no/such.sock", server.port);
    build(&wrong, "none").fails(3, &[&wrong, "/no/such.sock"]);
    let nobody = format!("ssh://127.0.0.1:{}{socket}", free_port());
    build(&nobody, "none").fails(3, &[&nobody, "Connection refused"]);
}

#[test]
fn a_daemon_in_a_container() {
    let (Some(project), Some(docker)) = (Project::new(HELLO), docker::start()) else { return };
    let Some([buildctl]) = tool::need(["buildctl"]) else { return };
    let docker_host = [("DOCKER_HOST", docker.host.as_str())];
    project.build_with_env(&["--load=docker", "-t", "host:1"], &docker_host).ok();
    let socket = PathBuf::from(project.address().trim_start_matches("unix://"));
    let folder = socket.parent().expect("a folder").display();
    let buildctl = buildctl.canonicalize().expect("a program");
    let mounts = [
        format!("--volume={folder}:/run/buildkit"),
        format!("--volume={}:/bin/buildctl:ro", buildctl.display()),
    ];
    // The program may want the machine's C library.
    let libraries = ["/lib", "/lib64"].into_iter().filter(|folder| Path::new(folder).exists());
    let libraries: Vec<String> = libraries.map(|f| format!("--volume={f}:{f}:ro")).collect();
    let mut run = vec!["run", "--detach", "--name=builder", "--network=none"];
    run.extend(mounts.iter().chain(&libraries).map(String::as_str));
    run.extend(["host:1", "sleep", "600"]);
    docker.run(&run);
    let build =
        |builder: &str| project.build_with_env(&["--builder", builder, "-o", "out"], &docker_host);
    build("docker-container://builder").ok();
    assert_eq!(project.read("out/hello"), "hello\n");
    build("docker-container://nobody")
        .fails(3, &["docker-container://nobody", "No such container"]);
    docker.run(&["rm", "--force", "builder"]);
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Writes an authority with a server and a client, and a stranger to them.
fn make_certificates(project: &Project) {
    let (known, stranger) = (authority(), authority());
    project.write("ca.crt", &known.pem());
    project.write("stranger.crt", &stranger.pem());
    for name in ["server", "client"] {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .expect("parameters")
            .signed_by(&key, &known)
            .expect("a certificate");
        project.write(&format!("{name}.crt"), &certificate.pem());
        project.write(&format!("{name}.key"), &key.serialize_pem());
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A real `sshd` on loopback that lets one key in, and an `ssh` in `bin` that has it.
struct SshServer {
    port: u16,
    _process: Watched,
}

impl SshServer {
    fn start(project: &Project) -> Option<Self> {
        let [sshd, ssh, keygen, buildctl] = tool::need(["sshd", "ssh", "ssh-keygen", "buildctl"])?;
        let port = free_port();
        let file = |name: &str| project.path(name).display().to_string();
        for key in ["host", "user"] {
            text_of(Command::new(&keygen).args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                &file(key),
            ]));
        }
        // Where the daemon wants an empty folder that only root can write to.
        let _ = std::fs::create_dir_all("/run/sshd");
        let programs = buildctl.parent().map(Path::display).expect("a folder");
        let daemon = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             PasswordAuthentication no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
             SetEnv PATH={programs}:/usr/bin:/bin\n",
            file("host"),
            file("user.pub"),
        );
        project.write("sshd.conf", &daemon);
        let client = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile /dev/null\n\
             StrictHostKeyChecking no\nLogLevel ERROR\nBatchMode yes\n",
            file("user"),
        );
        project.write("ssh.conf", &client);
        let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", ssh.display(), file("ssh.conf"));
        project.write("bin/ssh", &script);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(project.path("bin/ssh"), executable).expect("an executable");
        let args: Vec<OsString> = ["-D", "-e", "-f", &file("sshd.conf")].map(Into::into).into();
        let process = Watched::spawn(&sshd, &args, &[], None);
        process.wait_for("sshd to listen", |event| match event {
            Event::Line(line) if line.contains("Server listening") => Some(()),
            _ => None,
        });
        Some(Self { port, _process: process })
    }
}
