//! A project whose cache lies in a registry behind a proxy, and engines that have not seen it.
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use sha2::Digest as _;

use crate::kit::{Ended, Project};
use crate::support::engine::{self, Engine, Options};
use crate::support::proxy::{self, Proxy};
use crate::support::registry::{self, Registry};

/// A stage that is worth caching, and a step on top that asks for its files.
const DOCKERFILE: &str = "FROM busybox AS base\n\
    ARG SALT\n\
    COPY file /file\n\
    RUN head -c 300000 /dev/urandom > /data && echo $SALT > /salt\n\
    FROM base\n\
    ARG LAST=1\n\
    RUN cat /salt /file && test -s /data && echo $LAST > /last\n";

/// A registry, a proxy before it, and a project whose steps nobody else has.
pub(crate) struct Lab {
    pub(crate) project: Project,
    pub(crate) registry: &'static Registry,
    pub(crate) proxy: Proxy,
    pub(crate) name: String,
}

/// The registry of all cache tests.
pub(crate) fn shared_registry() -> Option<&'static Registry> {
    static SHARED: OnceLock<Option<Registry>> = OnceLock::new();
    SHARED.get_or_init(registry::start).as_ref()
}

/// The engine that fills caches.
pub(crate) fn writer() -> Option<&'static Engine> {
    static WRITER: OnceLock<Option<Engine>> = OnceLock::new();
    WRITER.get_or_init(fresh).as_ref()
}

/// An engine on which nothing was built that a cache could serve.
pub(crate) fn reader() -> Option<&'static Engine> {
    static READER: OnceLock<Option<Engine>> = OnceLock::new();
    READER.get_or_init(fresh).as_ref()
}

/// An engine that has built nothing.
pub(crate) fn fresh() -> Option<Engine> {
    engine::start(Options::default())
}

impl Lab {
    /// A lab of this name, which is its repository's as well.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::with(name, DOCKERFILE)
    }

    /// The same with another Dockerfile.
    pub(crate) fn with(name: &str, dockerfile: &str) -> Option<Self> {
        let registry = shared_registry()?;
        let project = Project::new(dockerfile)?;
        project.write("file", name);
        let proxy = proxy::start(&registry.host);
        Some(Self { project, registry, proxy, name: name.to_owned() })
    }

    /// The lab's repository, straight at the registry.
    pub(crate) fn repository(&self) -> String {
        self.registry.reference(&self.name)
    }

    /// A tag of it.
    pub(crate) fn direct(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository())
    }

    /// The same through the proxy.
    pub(crate) fn through(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.proxy.host, self.name)
    }

    /// Builds on `engine`.
    pub(crate) fn build(&self, engine: &Engine, args: &[&str]) -> Ended {
        self.with_env(engine, args, &[])
    }

    /// The same in an environment such as a runner's.
    pub(crate) fn with_env(&self, engine: &Engine, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let mut all = self.arguments(args);
        all.insert(1, "--builder".into());
        all.insert(2, engine.address.clone());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.project.with_env(&all, env)
    }

    /// A build on `engine` that has not begun.
    pub(crate) fn command(&self, engine: &Engine, args: &[&str]) -> Command {
        let mut all = self.arguments(args);
        all.extend(["--builder".to_owned(), engine.address.clone()]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
        command.args(&all).current_dir(self.project.path("")).env_clear();
        command
            .env("HOME", self.project.path(""))
            .env("PATH", std::env::var_os("PATH").expect("PATH"));
        command
    }

    /// The arguments of a build.
    pub(crate) fn arguments(&self, args: &[&str]) -> Vec<String> {
        let base = format!("busybox=oci-layout://{}:latest", self.project.base.layout.display());
        let salt = format!("SALT={}", self.name);
        let fixed =
            ["build", ".", "--progress=plain", "--build-arg", &salt, "--build-context", &base];
        fixed.iter().chain(args).map(|&argument| argument.to_owned()).collect()
    }

    /// Writes the cache of the whole build under `tag`, from an engine that no test reads with.
    pub(crate) fn fill(&self, tag: &str) -> Option<()> {
        let export = format!("type=registry,ref={},mode=max", self.direct(tag));
        self.build(writer()?, &["--cache-to", &export, "--strict-cache"]).ok();
        Some(())
    }

    /// Stands a new proxy before the registry, in which nothing goes wrong yet.
    pub(crate) fn renew_proxy(&mut self) {
        self.proxy = proxy::start(&self.registry.host);
    }

    /// The digest of the cache config under `tag`.
    pub(crate) fn config(&self, tag: &str) -> String {
        let manifest = self.registry.manifest(&self.name, tag).json();
        manifest["config"]["digest"].as_str().expect("a digest").to_owned()
    }

    /// The digest of the layer that the stage's command made, in the cache under `tag`.
    pub(crate) fn layer(&self, tag: &str) -> String {
        let answer = self.registry.manifest(&self.name, tag);
        let manifest: Value = serde_json::from_slice(&answer.body).expect("a manifest");
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        let is_data = |layer: &&Value| {
            layer["size"].as_u64().is_some_and(|size| (290_000..320_000).contains(&size))
        };
        let layer = layers.iter().find(is_data).expect("a layer with the data");
        layer["digest"].as_str().expect("a digest").to_owned()
    }

    /// The tags of the lab's repository.
    pub(crate) fn tags(&self) -> Vec<String> {
        let answer =
            self.registry.request("GET", &format!("/v2/{}/tags/list", self.name), &[], b"");
        let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        let mut tags: Vec<String> =
            tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        tags
    }

    /// Checks that whatever a tag points at is there as a whole, and is what its digest says.
    #[track_caller]
    pub(crate) fn is_whole(&self) {
        for tag in self.tags() {
            let answer = self.registry.manifest(&self.name, &tag);
            assert_eq!(answer.status, 200, "{tag}");
            let manifest: Value = serde_json::from_slice(&answer.body).expect("a manifest");
            let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
            for blob in layers.iter().chain([&manifest["config"]]) {
                let digest = blob["digest"].as_str().expect("a digest");
                let blob = self.registry.blob(&self.name, digest);
                assert_eq!(blob.status, 200, "{tag}: {digest}");
                let found = sha2::Sha256::digest(&blob.body);
                assert_eq!(digest, format!("sha256:{found:x}"), "{tag}");
            }
        }
    }
}

/// Whether the step whose name contains `name` was cached, by the log.
#[track_caller]
pub(crate) fn is_cached(log: &str, name: &str) -> bool {
    let number = log.lines().find(|line| line.starts_with('#') && line.contains(name));
    let number = number.and_then(|line| line.split(' ').next());
    let number = number.unwrap_or_else(|| panic!("no step `{name}` in\n{log}"));
    log.lines().any(|line| line == format!("{number} CACHED"))
}
