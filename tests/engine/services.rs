//! The session's small services, one by one: secrets, SSH agents, uploads, registry credentials.
use std::process::{Child, Command, Stdio};

use buildkit_rs_proto::pb;
use kitwright::engine::client::Client;
use kitwright::engine::session::SessionBuilder;
use kitwright::engine::session::auth::RegistryAuth;
use kitwright::engine::session::secrets::Secrets;
use kitwright::engine::session::ssh::SshAgents;
use kitwright::engine::session::upload::Uploads;
use kitwright::engine::solve::{ExportTarget, SolveRequest};
use kitwright::fault::{Classified as _, Fault};
use kitwright::oci::credentials::{CredentialSources, CredentialStore};
use kitwright::oci::registry::{Client as Registry, Options};

use crate::lab::{Graph, build, busybox_root, client, export, logs};
use crate::support::{base, registry, tool};

fn secret_mount(id: &str, optional: bool) -> pb::Mount {
    pb::Mount {
        input: -1,
        dest: "/run/secrets/it".into(),
        output: -1,
        mount_type: pb::MountType::Secret.into(),
        secret_opt: Some(pb::SecretOpt {
            id: id.into(),
            mode: 0o400,
            optional,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Runs a script over busybox with one mount; returns the build's error and its logs.
async fn run(
    client: &Client,
    session: SessionBuilder,
    script: &str,
    mount: pb::Mount,
) -> Option<(Option<kitwright::engine::failure::SolveError>, String)> {
    Some(run_over(client, session, &busybox_root()?, script, mount).await)
}

async fn run_over(
    client: &Client,
    session: SessionBuilder,
    root: &tempfile::TempDir,
    script: &str,
    mount: pb::Mount,
) -> (Option<kitwright::engine::failure::SolveError>, String) {
    let session = session.directory("context", root.path());
    let mut graph = Graph::default();
    let source = graph.source("local://context", &[("local.session", session.session_id())]);
    let step = graph.run(&source, script, vec![mount]);
    graph.metadata(&step).ignore_cache = true;
    let request = SolveRequest::definition(graph.finish(&step));
    let (result, events) = build(client, request, session).await;
    (result.err(), logs(&events))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_reads_secrets_from_files_and_values() {
    let Some(client) = client().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from a file").unwrap();
    let mut secrets = Secrets::default();
    secrets.file("file", file).unwrap();
    secrets.value("value", "from a value").unwrap();
    // Written backwards, so that the log holds no secret to be found below.
    for (id, expected) in [("file", "elif a morf"), ("value", "eulav a morf")] {
        let session = SessionBuilder::new().attach(secrets.clone());
        let script = "/bin/busybox rev /run/secrets/it; stat -c %a /run/secrets/it";
        let Some((error, said)) = run(&client, session, script, secret_mount(id, false)).await
        else {
            return;
        };
        assert!(error.is_none(), "{error:?}");
        assert!(said.contains(expected) && said.contains("400"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_fails_a_step_unless_it_is_optional() {
    let Some(client) = client().await else { return };
    let session = || SessionBuilder::new().attach(Secrets::default());
    let mount = secret_mount("none", true);
    let Some((error, said)) = run(&client, session(), "echo done without", mount).await else {
        return;
    };
    assert!(error.is_none() && said.contains("done without"), "{error:?}");
    let mount = secret_mount("none", false);
    let (error, _) = run(&client, session(), "echo never", mount).await.unwrap();
    let error = error.unwrap();
    assert!(error.to_string().contains("none"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_vanished_is_named() {
    let Some(client) = client().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "x").unwrap();
    let mut secrets = Secrets::default();
    secrets.file("gone", file.clone()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let session = SessionBuilder::new().attach(secrets);
    let Some((error, _)) = run(&client, session, "true", secret_mount("gone", false)).await else {
        return;
    };
    let error = error.unwrap();
    assert_eq!(error.fault(), Fault::Usage);
    assert!(error.to_string().contains("`gone`"), "{error}");
}

fn ssh_mount() -> pb::Mount {
    pb::Mount {
        input: -1,
        dest: "/run/agent".into(),
        output: -1,
        mount_type: pb::MountType::Ssh.into(),
        ssh_opt: Some(pb::SshOpt { id: "default".into(), mode: 0o600, ..Default::default() }),
        ..Default::default()
    }
}

/// Lists the agent's keys, tries to remove them, and lists them again.
const USE_AGENT: &str =
    "export SSH_AUTH_SOCK=/run/agent; ssh-add -L; ssh-add -D || echo refused; ssh-add -L";

/// Copies a program and the libraries that it needs.
fn copy_program(program: &std::path::Path, root: &std::path::Path) {
    let listed = Command::new("ldd").arg(program).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for library in libraries {
        let place = root.join(&library[1..]);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(library, place).unwrap();
    }
    std::fs::copy(program, root.join("bin").join(program.file_name().unwrap())).unwrap();
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_uses_keys_and_agents_but_cannot_change_them() {
    let Some(client) = client().await else { return };
    let Some([keygen, agent, add]) = tool::need(["ssh-keygen", "ssh-agent", "ssh-add"]) else {
        return;
    };
    let Some(root) = busybox_root() else { return };
    copy_program(&add, root.path());
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let flags = ["-q", "-t", "ed25519", "-N", "", "-C", "kit@test", "-f"];
    assert!(Command::new(keygen).args(flags).arg(&key).status().unwrap().success());
    let socket = folder.path().join("agent.sock");
    let started =
        Command::new(agent).arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn();
    let mut own = Agent(started.unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(own.0.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let list = |args: &[&str]| {
        let output = Command::new(&add).args(args).env("SSH_AUTH_SOCK", &socket).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    list(&["-q", key.to_str().unwrap()]);
    for paths in [vec![key.clone()], vec![socket.clone()]] {
        let mut agents = SshAgents::default();
        agents.add("default", paths).unwrap();
        let session = SessionBuilder::new().attach(agents);
        let (error, said) = run_over(&client, session, &root, USE_AGENT, ssh_mount()).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(said.matches("kit@test").count(), 2, "{said}");
        assert!(said.contains("refused"), "{said}");
    }
    assert!(list(&["-L"]).contains("kit@test"), "the key is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_by_its_url() {
    let Some(client) = client().await else { return };
    let uploads = Uploads::default();
    let url = uploads.add(std::io::Cursor::new(vec![7; 1 << 20]));
    let session = SessionBuilder::new().attach(uploads);
    let mut graph = Graph::default();
    let source = graph.source(&url, &[("http.filename", "context")]);
    let mut request = SolveRequest::definition(graph.finish(&source));
    let to = tempfile::tempdir().unwrap();
    let target = ExportTarget::Directory { path: to.path().to_owned(), delete: false };
    request.exports.push(export("local", &[], target));
    build(&client, request, session).await.0.unwrap();
    assert_eq!(std::fs::read(to.path().join("context")).unwrap(), vec![7; 1 << 20]);
}

fn auth(host: &str, password: &str) -> (RegistryAuth, tempfile::TempDir) {
    use base64::Engine as _;
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}:{password}", registry::USER);
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let config = serde_json::json!({ "auths": { host: { "auth": text } } });
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let sources = CredentialSources { inline: None, files: vec![path] };
    let credentials = CredentialStore::new(sources);
    let options = Options { credentials: credentials.clone(), ..Options::default() };
    (RegistryAuth::new(credentials, Registry::new(options)), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_password_is_pulled_from_and_pushed_to() {
    let Some(client) = client().await else { return };
    let Some(registry) = registry::start_with_password() else { return };
    let Some(base) = base::busybox() else { return };
    let image = base.push(&registry, "busybox", "latest");
    for (password, allowed) in [(registry::PASSWORD, true), ("wrong", false)] {
        let (auth, _folder) = auth(&registry.host, password);
        let session = SessionBuilder::new().attach(auth);
        let mut graph = Graph::default();
        let source =
            graph.source(&format!("docker-image://{image}"), &[("image.resolvemode", "pull")]);
        let step = graph.run(&source, &format!("echo {password} > /it"), Vec::new());
        let mut request = SolveRequest::definition(graph.finish(&step));
        let name = registry.reference(&format!("pushed-{allowed}:latest"));
        let attributes = [("name", name.as_str()), ("push", "true")];
        request.exports.push(export("image", &attributes, ExportTarget::Engine));
        let result = build(&client, request, session).await.0;
        if allowed {
            assert!(result.unwrap().image_digest().is_some());
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.fault(), Fault::Environment, "{error:?}");
            assert!(!error.to_string().contains(password), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_from_a_layout_and_goes_into_another() {
    let Some(client) = client().await else { return };
    let Some(base) = base::busybox() else { return };
    let to = tempfile::tempdir().unwrap();
    let session = SessionBuilder::new().layout("base", &base.layout);
    let id = session.session_id().to_owned();
    let mut graph = Graph::default();
    let identifier = format!("oci-layout://base/image@{}", base.digest);
    let source = graph.source(&identifier, &[("oci.session", &id), ("oci.store", "base")]);
    let step = graph.run(&source, "echo hello > /hello", Vec::new());
    let mut request = SolveRequest::definition(graph.finish(&step));
    let target = ExportTarget::Layout(to.path().join("layout"));
    request.exports.push(export("oci", &[("name", "example.com/kit:v1")], target));
    let digest =
        build(&client, request, session).await.0.unwrap().image_digest().unwrap().to_owned();
    let layout = to.path().join("layout");
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    assert!(index.contains(&digest) && index.contains("example.com/kit:v1"), "{index}");
    let blob = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    assert_eq!(crate::support::base::digest(&std::fs::read(blob).unwrap()), digest);
    assert!(layout.join("oci-layout").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_cache_serves_the_next_engine() {
    use kitwright::engine::solve::CacheEntry;
    let Some(first) = client().await else { return };
    let Some(other) = crate::support::engine::start(Default::default()) else { return };
    let other = kitwright::engine::connect::connect(&other.address.parse().unwrap()).await.unwrap();
    let Some(base) = base::busybox() else { return };
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("cache").to_str().unwrap().to_owned();
    let mut cached = Vec::new();
    for client in [&first, &other] {
        let session = SessionBuilder::new().layout("base", &base.layout);
        let id = session.session_id().to_owned();
        let mut graph = Graph::default();
        let identifier = format!("oci-layout://base/image@{}", base.digest);
        let source = graph.source(&identifier, &[("oci.session", &id), ("oci.store", "base")]);
        let step = graph.run(&source, "echo cached > /cached", Vec::new());
        let mut request = SolveRequest::definition(graph.finish(&step));
        let entry = |key: &str, more: &[(&str, &str)]| CacheEntry {
            kind: "local".into(),
            attributes: std::iter::once((key, place.as_str()))
                .chain(more.iter().copied())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        };
        request.cache_imports.push(entry("src", &[]));
        request.cache_exports.push(entry("dest", &[("mode", "max")]));
        let (result, events) = build(client, request, session).await;
        result.unwrap();
        cached.push(events.iter().any(|event| {
            matches!(event, kitwright::engine::status::StatusEvent::Vertex(vertex)
                if vertex.digest == step.0 && vertex.cached)
        }));
    }
    assert_eq!(cached, [false, true]);
}
