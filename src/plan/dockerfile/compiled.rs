//! What a compilation results in.
use std::collections::BTreeMap;

use super::lint::Warning;
use crate::oci::config::ImageConfig;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::plan::llb::Definition;

/// The outcome of compiling a Dockerfile: one definition for each target platform.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The results, in the order in which platforms were asked for.
    pub platforms: Vec<CompiledPlatform>,
    /// Whether the result lists its platforms even if there is one.
    pub multi_platform: bool,
    /// What the checks found.
    pub warnings: Vec<Warning>,
}

/// The result for one platform.
#[derive(Debug, Clone)]
pub struct CompiledPlatform {
    /// The platform in canonical spelling.
    pub platform: Platform,
    /// What the engine solves; empty for an empty file system.
    pub definition: Definition,
    /// The config of the image, without what the layers decide.
    pub config: ImageConfig,
    /// The config of the base image, as it was before anything was changed.
    pub base_config: Option<ImageConfig>,
    /// The images that were resolved, in the order of their references.
    pub images: Vec<UsedImage>,
    /// The local directories that the definition reads, by their name.
    pub locals: Vec<LocalContext>,
    /// The time that all files and the image get, in seconds since 1970.
    pub epoch: Option<i64>,
    /// Whether the target is built without the cache.
    pub ignore_cache: bool,
    /// What an SBOM scanner looks at besides the result: further definitions by name.
    pub sbom_extras: BTreeMap<String, Definition>,
    /// Secrets that instructions ask for, with whether they must be there.
    pub secrets: BTreeMap<String, bool>,
    /// SSH agents that instructions ask for, with whether they must be there.
    pub ssh: BTreeMap<String, bool>,
}

/// An image that a definition starts from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedImage {
    /// Its reference without the digest, in full form.
    pub reference: String,
    /// The platform it is used for.
    pub platform: Platform,
    /// What the reference points to.
    pub digest: Digest,
    /// The chain ID of its layers, by which caches know it under any name; `None` without layers.
    pub chain_id: Option<Digest>,
}

/// A local directory that a definition reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalContext {
    /// The name under which the session offers it.
    pub name: String,
    /// The paths that are used; empty for all.
    pub follow_paths: Vec<String>,
    /// Patterns of what is left out.
    pub exclude_patterns: Vec<String>,
}

impl CompiledPlatform {
    /// The config of the image as JSON, byte by byte what BuildKit's frontend returns.
    #[must_use]
    pub fn config_json(&self) -> Vec<u8> {
        self.config.to_json()
    }
}
