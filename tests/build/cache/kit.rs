//! A project whose cache lies in a registry behind a proxy, and engines that have not seen it.
use crate::kit::{Ended, Project};
use crate::support::engine::{self, Engine, Options};
use crate::support::proxy::{self, Proxy};
use crate::support::registry::{self, Registry};

/// A stage that is worth caching, and a step on top that asks for its files.
const DOCKERFILE: &str = "FROM busybox AS base\n\
    ARG SALT\n\
    RUN head -c 300000 /dev/urandom > /data && echo $SALT > /salt\n\
    FROM base\n\
    ARG LAST=1\n\
    RUN cat /salt && test -s /data && echo $LAST > /last\n";

/// A registry, a proxy before it, and a project whose steps nobody else has.
pub(crate) struct Lab {
    pub(crate) project: Project,
    pub(crate) registry: &'static Registry,
    pub(crate) proxy: Proxy,
    salt: String,
}

/// The registry of all cache tests.
pub(crate) fn shared_registry() -> Option<&'static Registry> {
    static SHARED: std::sync::OnceLock<Option<Registry>> = std::sync::OnceLock::new();
    SHARED.get_or_init(registry::start).as_ref()
}

/// The engine that fills caches.
pub(crate) fn writer() -> Option<&'static Engine> {
    static WRITER: std::sync::OnceLock<Option<Engine>> = std::sync::OnceLock::new();
    WRITER.get_or_init(|| engine::start(Options::default())).as_ref()
}

impl Lab {
    /// A lab with the name `name`, which is its repository's as well.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let registry = shared_registry()?;
        let project = Project::new(DOCKERFILE)?;
        let proxy = proxy::start(&registry.host);
        Some(Self { project, registry, proxy, salt: name.to_owned() })
    }

    /// The lab's repository, straight at the registry.
    pub(crate) fn direct(&self, tag: &str) -> String {
        self.registry.reference(&format!("{}:{tag}", self.salt))
    }

    /// The same through the proxy.
    pub(crate) fn through(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.proxy.host, self.salt)
    }

    /// Builds on `engine`.
    pub(crate) fn build(&self, engine: &Engine, args: &[&str]) -> Ended {
        let salt = format!("SALT={}", self.salt);
        let mut all = vec!["--builder", &engine.address, "--build-arg", &salt];
        all.extend(args);
        self.project.build(&all)
    }

    /// Writes the cache of the whole build under `tag`, from an engine that no test reads with.
    pub(crate) fn fill(&self, tag: &str) -> Option<()> {
        let export = format!("type=registry,ref={},mode=max", self.direct(tag));
        self.build(writer()?, &["--cache-to", &export, "--strict-cache"]).ok();
        Some(())
    }
}

/// An engine that has built nothing.
pub(crate) fn fresh() -> Option<Engine> {
    engine::start(Options::default())
}
