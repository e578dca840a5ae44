//! What a vertex says about itself outside its digest.
use buildkit_rs_proto::pb;

use super::few::{FewMap, FewSet};

/// The key of the name that progress output shows.
pub const CUSTOM_NAME: &str = "llb.customname";
/// The key of the instruction that a vertex comes from.
pub const COMMAND: &str = "com.docker.dockerfile.v1.command";

/// Metadata of one vertex.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The vertex runs again even when its result is cached.
    pub ignore_cache: bool,
    /// Texts for people, by key.
    pub description: FewMap<&'static str, String>,
    /// Capabilities that the engine must have.
    pub caps: FewSet<&'static str>,
    /// The group that progress output shows this vertex in.
    pub progress_group: Option<ProgressGroup>,
    /// CPU and memory limits.
    pub linux_resources: Option<Box<pb::LinuxResources>>,
}

/// Vertices that progress output shows as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressGroup {
    /// Identity of the group within the build.
    pub id: String,
    /// Name that is shown.
    pub name: String,
    /// Whether a vertex of another group with the same digest wins.
    pub weak: bool,
}

impl Metadata {
    /// Metadata with a name for progress output.
    #[must_use]
    pub fn named(name: String) -> Self {
        let mut metadata = Self::default();
        metadata.description.insert(CUSTOM_NAME, name);
        metadata
    }

    /// The name that progress output shows.
    #[must_use]
    pub fn custom_name(&self) -> Option<&str> {
        self.description.get(CUSTOM_NAME).map(String::as_str)
    }

    /// Adds what an equal vertex says: several instructions may stand for one vertex.
    pub(super) fn merge(&mut self, other: Self) {
        self.ignore_cache |= other.ignore_cache;
        self.description.extend(other.description);
        self.caps.extend(other.caps);
        self.progress_group = other.progress_group.or_else(|| self.progress_group.take());
        self.linux_resources = other.linux_resources.or_else(|| self.linux_resources.take());
    }

    /// The wire form.
    #[must_use]
    pub fn to_pb(&self) -> pb::OpMetadata {
        pb::OpMetadata {
            ignore_cache: self.ignore_cache,
            description: self
                .description
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            export_cache: None,
            caps: self.caps.iter().map(|cap| ((*cap).to_owned(), true)).collect(),
            progress_group: self.progress_group.as_ref().map(|group| pb::ProgressGroup {
                id: group.id.clone(),
                name: group.name.clone(),
                weak: group.weak,
            }),
            linux_resources: self.linux_resources.as_deref().cloned(),
        }
    }
}
