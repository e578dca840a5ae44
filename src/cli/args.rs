//! Flags as typed on the command line, shared by the subcommands that read a Dockerfile.
//!
//! Names, short forms and repetition are those of `docker buildx build`; values stay text here and
//! are checked in `build::request`, where errors can name the flag.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::output::exporter::ImageStore;

/// What decides the LLB of a build.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SourceArgs {
    /// Build context: a directory, `-` for a tar archive on stdin, a Git or an HTTP URL
    #[arg(default_value = ".")]
    pub context: String,
    /// Name of the Dockerfile (default: `CONTEXT/Dockerfile`); `-` reads it from stdin
    #[arg(short, long, value_name = "PATH")]
    pub file: Option<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Target platforms, e.g. `linux/amd64,linux/arm64`
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Build-time variable; without `=VALUE` the value comes from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Additional build context, e.g. `golang=oci-layout://./dir:tag`
    #[arg(long, value_name = "NAME=SOURCE")]
    pub build_context: Vec<String>,
    /// Metadata of the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Do not use the build cache
    #[arg(long)]
    pub no_cache: bool,
    /// Do not use the build cache for these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Always ask the registry for the current digest of base images
    #[arg(long)]
    pub pull: bool,
    /// Network of RUN instructions: `default`, `none` or `host`
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Custom host-to-IP mapping for RUN instructions, e.g. `host:10.0.0.1`
    #[arg(long, value_name = "HOST:IP")]
    pub add_host: Vec<String>,
    /// Size of `/dev/shm` in RUN instructions, e.g. `64m`
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Resource limit of RUN instructions, e.g. `nofile=1024:2048`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// Parent cgroup of RUN instructions
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
    /// Take base images from the lock file (see `kitwright lock`) and resolve none over the network
    #[arg(long)]
    pub locked: bool,
    /// Lock file of `--locked` (default: the Dockerfile's name with `.lock` added)
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Registry to use in place of another, e.g. `docker.io=mirror.example.com`; `*` stands for any,
    /// a mirror that starts with `http://` is a plain one
    #[arg(long, value_name = "HOST=MIRROR")]
    pub registry_mirror: Vec<String>,
}

/// Where and how a build runs.
#[derive(Clone, Debug, Args)]
pub(super) struct EngineArgs {
    /// Address of a BuildKit daemon (default: a private one for the length of the build)
    #[arg(long, value_name = "ADDRESS", env = "BUILDKIT_HOST")]
    pub builder: Option<String>,
    /// Entitlement to allow, e.g. `network.host`, `security.insecure`
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<String>,
    /// Mount this machine's CA certificates into RUN instructions, outside layers and cache keys
    #[arg(long)]
    pub host_ca: bool,
}

/// The values of `--load`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LoadInto {
    True,
    False,
    Docker,
    Podman,
    Store,
}

impl LoadInto {
    /// The image store that is meant, if any.
    pub(super) const fn image_store(self) -> Option<ImageStore> {
        match self {
            Self::True => Some(ImageStore::Found),
            Self::False => None,
            Self::Docker => Some(ImageStore::Docker),
            Self::Podman => Some(ImageStore::Podman),
            Self::Store => Some(ImageStore::Own),
        }
    }
}

/// What a build leaves behind.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputArgs {
    /// Image name and tag
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Output, e.g. `type=oci,dest=image.tar`, `type=local,dest=out`; a bare path is a local one
    #[arg(short, long, value_name = "OUTPUT")]
    pub output: Vec<String>,
    /// Shorthand for `--output=type=registry`
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub push: bool,
    /// Load the image into a local image store: with no value Docker's if its daemon answers, else
    /// Podman's if it is installed, else kitwright's own
    #[arg(long, value_enum, value_name = "STORE", overrides_with = "load", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true)]
    pub load: Option<LoadInto>,
    /// Annotation of the image
    #[arg(long, value_name = "[TYPE:]KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Attestation, e.g. `type=sbom`, `type=provenance,mode=max`
    #[arg(long, value_name = "ATTESTATION")]
    pub attest: Vec<String>,
    /// Shorthand for `--attest=type=provenance`
    #[arg(long, value_name = "VALUE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub provenance: Option<String>,
    /// Shorthand for `--attest=type=sbom`
    #[arg(long, value_name = "VALUE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub sbom: Option<String>,
    /// Write the build's result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
}

/// Secrets and agents that steps may use.
#[derive(Clone, Debug, Args)]
pub(super) struct SecretArgs {
    /// Secret for RUN instructions, e.g. `id=token,src=file` or `id=token,env=TOKEN`
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
    /// SSH agent socket or keys for RUN instructions, e.g. `default` or `id=key1,key2`
    #[arg(long, value_name = "ID[=SOCKET|KEY]")]
    pub ssh: Vec<String>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressMode {
    /// A live view on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A live view
    Tty,
    /// One line after the other
    Plain,
    /// The engine's status messages as JSON lines
    Rawjson,
    /// Nothing but errors
    Quiet,
}

/// What is shown on stderr while a build runs.
#[derive(Clone, Debug, Args)]
pub(super) struct ProgressArgs {
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = "BUILDKIT_PROGRESS")]
    pub progress: ProgressMode,
    /// Show nothing but errors and print the image ID
    #[arg(short, long)]
    pub quiet: bool,
}
