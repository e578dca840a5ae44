//! What a compilation depends on besides the Dockerfile: the options of BuildKit's frontend.
//!
//! [`CompileOptions`] is the typed form; [`CompileOptions::from_frontend`] reads the `key=value` form
//! in which clients such as buildx send the same options to an engine.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;

use crate::oci::platform::Platform;

mod frontend;

pub(in crate::plan::dockerfile) use frontend::parse_bool;
pub use frontend::{OptionError, parse_ulimit};

/// The name under which a client offers its build context.
pub const CONTEXT_NAME: &str = "context";

/// Everything outside the Dockerfile that its LLB depends on.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Stage to build; `None` for the last one.
    pub target: Option<String>,
    /// Build arguments, also those that options are read from (`BUILDKIT_*`, `SOURCE_DATE_EPOCH`).
    pub build_args: BTreeMap<String, String>,
    /// Labels added to the image.
    pub labels: BTreeMap<String, String>,
    /// Platforms to build for, in canonical spelling; empty for that of the engine.
    pub platforms: Vec<Platform>,
    /// The platforms of the engine, the preferred one first.
    pub build_platforms: Vec<Platform>,
    /// Whether the result lists platforms even if there is one; `None` decides by their number.
    pub multi_platform: Option<bool>,
    /// Where the build context comes from.
    pub context: MainContext,
    /// Directory of a Git or HTTP context to use as the whole of it.
    pub context_subdir: Option<String>,
    /// Named contexts by name (`alpine`, `stage`, `alpine::linux/arm64`), as buildx writes their
    /// source: `docker-image://ref`, `oci-layout://store@digest`, `local:name`, a Git or HTTP URL.
    pub named_contexts: BTreeMap<String, String>,
    /// Stages that are built without the cache.
    pub no_cache: NoCache,
    /// How references of images are looked up.
    pub resolve_mode: ResolveMode,
    /// Network of commands that do not choose one.
    pub network: pb::NetMode,
    /// Host name of commands; empty for the engine's choice.
    pub hostname: String,
    /// Additional hosts of commands.
    pub extra_hosts: Vec<pb::HostIp>,
    /// Resource limits of commands.
    pub ulimits: Vec<pb::Ulimit>,
    /// Size of `/dev/shm` of commands in bytes; 0 for the engine's choice.
    pub shm_size: i64,
    /// Parent control group of commands; empty for the engine's choice.
    pub cgroup_parent: String,
    /// CPU and memory limits of commands.
    pub linux_resources: Option<pb::LinuxResources>,
    /// Devices of all commands.
    pub devices: Vec<pb::CdiDevice>,
    /// The session that offers local directories and OCI layouts. It lies inside digests.
    pub session_id: String,
    /// Sessions of single local directories, by their name, where they differ.
    pub local_sessions: BTreeMap<String, String>,
    /// What tells apart directories that are offered under one name, by name of the named context.
    pub shared_keys: BTreeMap<String, String>,
    /// Patterns of the build context's `.dockerignore`, in order.
    pub dockerignore: Vec<String>,
    /// Patterns of the `.dockerignore` of named contexts that are local, by name of the context.
    pub named_dockerignores: BTreeMap<String, Vec<String>>,
    /// What is checked besides errors, in the form of the `check` directive; `None` leaves it to the
    /// Dockerfile.
    pub check: Option<String>,
    /// Compile all stages, not only those that the target needs: for checks.
    pub all_stages: bool,
}

/// Where the build context comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MainContext {
    /// A directory that the client offers under this name, usually [`CONTEXT_NAME`].
    Local(String),
    /// A Git repository, in any form that `docker build` takes.
    Git(String),
    /// A file to download.
    Http {
        /// Where it is.
        url: String,
        /// Whether it is an archive to unpack, rather than a Dockerfile.
        archive: bool,
    },
}

/// Stages that are built without the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These, in any case of letters.
    Stages(BTreeSet<String>),
}

/// How references of images are looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResolveMode {
    /// In the registry.
    #[default]
    Default,
    /// In the registry, never taking a local answer.
    Pull,
    /// Preferring what the engine has.
    Local,
}

impl ResolveMode {
    /// The word of the frontend's options and of source attributes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Pull => "pull",
            Self::Local => "local",
        }
    }
}

impl NoCache {
    /// Whether the stage `name` is built without the cache; an unnamed stage has an empty name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Stages(names) => names.iter().any(|n| n.to_lowercase() == name.to_lowercase()),
        }
    }
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            build_platforms: vec![Platform::host()],
            multi_platform: None,
            context: MainContext::Local(CONTEXT_NAME.to_owned()),
            context_subdir: None,
            named_contexts: BTreeMap::new(),
            no_cache: NoCache::None,
            resolve_mode: ResolveMode::Default,
            network: pb::NetMode::Unset,
            hostname: String::new(),
            extra_hosts: Vec::new(),
            ulimits: Vec::new(),
            shm_size: 0,
            cgroup_parent: String::new(),
            linux_resources: None,
            devices: Vec::new(),
            session_id: "kitwright".to_owned(),
            local_sessions: BTreeMap::new(),
            shared_keys: BTreeMap::new(),
            dockerignore: Vec::new(),
            named_dockerignores: BTreeMap::new(),
            check: None,
            all_stages: false,
        }
    }
}

impl CompileOptions {
    /// Whether the result lists its platforms.
    #[must_use]
    pub fn is_multi_platform(&self) -> bool {
        self.multi_platform.unwrap_or(self.platforms.len() > 1)
    }

    /// Host name of commands: the option, or the build argument that stands for it.
    #[must_use]
    pub fn effective_hostname(&self) -> &str {
        match self.build_args.get("BUILDKIT_SANDBOX_HOSTNAME") {
            Some(name) if !name.is_empty() => name,
            _ => &self.hostname,
        }
    }

    /// What the ids of cache mounts begin with.
    #[must_use]
    pub fn cache_namespace(&self) -> &str {
        self.build_args.get("BUILDKIT_CACHE_MOUNT_NS").map_or("", String::as_str)
    }

    /// What is checked besides errors, if not left to the Dockerfile.
    #[must_use]
    pub fn effective_check(&self) -> Option<&str> {
        self.check
            .as_deref()
            .or_else(|| self.build_args.get("BUILDKIT_DOCKERFILE_CHECK").map(String::as_str))
    }

    /// The session that offers the local directory `name`.
    #[must_use]
    pub fn session_of(&self, name: &str) -> &str {
        self.local_sessions.get(name).unwrap_or(&self.session_id)
    }
}
