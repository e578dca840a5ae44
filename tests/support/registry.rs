//! Real registries on loopback, each on a port of its own.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::http::{self, Response};
use super::tool;
use super::watched::{Event, Watched};

/// The user that a registry with a password knows.
pub const USER: &str = "kit";
/// That user's password.
pub const PASSWORD: &str = "wright";

/// `htpasswd -Bbn kit wright`, at the lowest cost: the registry checks it on every request.
const HTPASSWD: &str = "kit:$2b$04$jmznOfZ1dkO4dnzmWas2xetRN/OLLPG5ch4l6SmhCR285fMbvE4Ie\n";

/// A running registry; it stops and its content goes when this is dropped or the tests end.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`: what image references begin with.
    pub host: String,
    /// Where it keeps its blobs.
    pub root: PathBuf,
    password: bool,
    process: Watched,
}

/// Starts a registry that lets everybody in.
pub fn start() -> Option<Registry> {
    launch(false, "")
}

/// Starts a registry that lets everybody in, with more lines at the end of its configuration.
///
/// Lines that begin with two spaces go on with the `http` section.
pub fn start_with(config: &str) -> Option<Registry> {
    launch(false, config)
}

/// Starts a registry that asks for [`USER`] and [`PASSWORD`] (basic authentication).
pub fn start_with_password() -> Option<Registry> {
    launch(true, "")
}

fn launch(password: bool, more: &str) -> Option<Registry> {
    let [program] = tool::need(["docker-registry"])?;
    let folder =
        tempfile::Builder::new().prefix("kitwright-registry-").tempdir().expect("a folder").keep();
    let root = folder.join("data");
    let htpasswd = folder.join("htpasswd");
    let mut config = format!(
        "version: 0.1\nlog: {{level: info, formatter: text}}\n\
         storage: {{filesystem: {{rootdirectory: {root:?}}}, delete: {{enabled: true}}}}\n\
         http:\n  addr: \"127.0.0.1:0\"\n  secret: test\n"
    );
    if password {
        std::fs::write(&htpasswd, HTPASSWD).expect("a written password file");
        config += &format!("auth: {{htpasswd: {{realm: test, path: {htpasswd:?}}}}}\n");
    }
    config += more;
    let path = folder.join("config.yml");
    std::fs::write(&path, config).expect("a written config");
    Some(spawn(&program, &["serve".into(), path.into()], &folder, password))
}

/// Starts a registry of another make, which says `listening on HOST:PORT` when it does.
pub fn start_other(program: &Path) -> Registry {
    let folder =
        tempfile::Builder::new().prefix("kitwright-registry-").tempdir().expect("a folder").keep();
    spawn(program, &[], &folder, false)
}

fn spawn(program: &Path, args: &[OsString], folder: &Path, password: bool) -> Registry {
    let process = Watched::spawn(program, args, &[], Some(folder));
    let host = process.wait_for("the registry to listen", |event| match event {
        Event::Line(line) => listening_on(line),
        _ => None,
    });
    Registry { host, root: folder.join("data"), password, process }
}

/// The address in the registry's log: it listens from here on, on a port the system chose.
fn listening_on(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    Some(rest.split(['"', ' ', ',', '\n']).next()?.to_owned())
}

impl Registry {
    /// An image reference in this registry, for example `reference("app:latest")`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// Sends a request as the user it knows, if it asks for one.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let credentials = self.password.then_some((USER, PASSWORD));
        http::request(&self.host, credentials, method, path, headers, body)
    }

    /// Fetches a manifest or index by tag or digest, whatever its type.
    pub fn manifest(&self, repository: &str, tag_or_digest: &str) -> Response {
        self.request(
            "GET",
            &format!("/v2/{repository}/manifests/{tag_or_digest}"),
            &[("Accept", http::MANIFESTS)],
            b"",
        )
    }

    /// Fetches a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Response {
        self.request("GET", &format!("/v2/{repository}/blobs/{digest}"), &[], b"")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
