//! The caches that a scenario reads and writes, by name, and what clients are told of them.
//!
//! | name | what it is | written by |
//! |---|---|---|
//! | `buildcache` | a cache of all stages in the registry | a build with `mode=max` |
//! | `gha` | GitHub's cache service | the same |
//! | `dead` | in a registry that refuses connections | nobody |
//! | `silent` | in one that accepts them and never answers | nobody |
//! | any other | an image of that tag, such as `pr-7` or `v2` | a push with inline cache |
use serde::{Deserialize, Serialize};

use crate::oci::reference::is_valid_tag;

/// The name of the registry cache.
pub const BUILDCACHE: &str = "buildcache";
/// The name of GitHub's cache service.
pub const GITHUB: &str = "gha";

/// The name of a cache in a registry that refuses connections.
pub const DEAD: &str = "dead";
/// The name of one in a registry that accepts connections and never answers.
pub const SILENT: &str = "silent";

/// Whether nobody can write the cache of this name.
#[must_use]
pub fn is_broken(name: &str) -> bool {
    [DEAD, SILENT].contains(&name)
}

/// Caches, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Caches {
    /// The registry cache, or none.
    Registry(bool),
    /// Those of these names.
    Named(Vec<String>),
}

impl Default for Caches {
    fn default() -> Self {
        Self::Registry(false)
    }
}

impl Caches {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (registry, named) = match self {
            Self::Registry(is_there) => (is_there.then_some(BUILDCACHE), &[][..]),
            Self::Named(names) => (None, &names[..]),
        };
        registry.into_iter().chain(named.iter().map(String::as_str))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// Whether GitHub's service is among them.
    #[must_use]
    pub fn has_github(&self) -> bool {
        self.names().any(|name| name == GITHUB)
    }

    /// What of them cannot be imported.
    #[must_use]
    pub fn unreadable(&self) -> Option<&'static str> {
        let wrong = self.names().any(|name| !is_valid_tag(name));
        wrong.then_some("`cache-from` takes `buildcache`, `gha`, `dead`, `silent` and tags")
    }

    /// What of them cannot be exported.
    #[must_use]
    pub fn unwritable(&self) -> Option<&'static str> {
        let wrong = self.names().any(|name| ![BUILDCACHE, GITHUB].contains(&name));
        wrong.then_some("`cache-to` takes `buildcache` and `gha`: images have their caches anyway")
    }
}

/// Where the images and caches of one work are.
#[derive(Clone, Debug, Default)]
pub struct Refs {
    /// Its repository.
    pub repository: String,
    /// The host of the registry that refuses connections.
    pub dead: String,
    /// The host of the one that never answers.
    pub silent: String,
    /// What follows each name that is written, so that nobody else finds it.
    pub suffix: String,
}

impl Refs {
    /// The name of a pushed image.
    #[must_use]
    pub fn image(&self, tag: &str) -> String {
        format!("{}:{tag}{}", self.repository, self.suffix)
    }

    /// The repository of cache mounts.
    #[must_use]
    pub fn mounts(&self) -> String {
        format!("{}/mounts", self.repository)
    }

    /// A cache, as `--cache-from` has it.
    #[must_use]
    pub fn import(&self, name: &str) -> String {
        match name {
            GITHUB => format!("type=gha,scope={}", self.scope()),
            BUILDCACHE => format!("type=registry,ref={}:cache", self.repository),
            DEAD => format!("type=registry,ref={}/bench:cache", self.dead),
            SILENT => format!("type=registry,ref={}/bench:cache", self.silent),
            tag => format!("type=registry,ref={}:{tag}", self.repository),
        }
    }

    /// A cache, as `--cache-to` has it; that of an image lies in the image.
    #[must_use]
    pub fn export(&self, name: &str) -> String {
        match name {
            GITHUB => format!("type=gha,mode=max,scope={}{}", self.scope(), self.suffix),
            BUILDCACHE => {
                format!("type=registry,mode=max,ref={}:cache{}", self.repository, self.suffix)
            }
            _ => "type=inline".to_owned(),
        }
    }

    /// Two works at one service have two caches. With the registry's port in the name, what an earlier
    /// benchmark has left in the service is not found.
    fn scope(&self) -> String {
        self.repository.replace(['/', ':', '.'], "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_clients_take() {
        let (repository, suffix) = ("h:1/bench/work-0".into(), "-7".into());
        let (dead, silent) = ("h:2".into(), "h:3".into());
        let refs = Refs { repository, dead, silent, suffix };
        let from = Caches::Named(vec!["buildcache".into(), "pr-7".into(), "gha".into()]);
        let imports: Vec<_> = from.names().map(|name| refs.import(name)).collect();
        assert_eq!(
            imports,
            [
                "type=registry,ref=h:1/bench/work-0:cache",
                "type=registry,ref=h:1/bench/work-0:pr-7",
                "type=gha,scope=h-1-bench-work-0"
            ]
        );
        let exports: Vec<_> = from.names().map(|name| refs.export(name)).collect();
        assert_eq!(
            exports,
            [
                "type=registry,mode=max,ref=h:1/bench/work-0:cache-7",
                "type=inline",
                "type=gha,mode=max,scope=h-1-bench-work-0-7"
            ]
        );
        let broken = [DEAD, SILENT].map(|name| refs.import(name));
        assert_eq!(
            broken,
            ["type=registry,ref=h:2/bench:cache", "type=registry,ref=h:3/bench:cache"]
        );
        assert!(Caches::Named(vec![DEAD.into()]).unwritable().is_some());
        assert_eq!(Caches::Registry(true).names().collect::<Vec<_>>(), [BUILDCACHE]);
        assert!(Caches::default().is_empty() && from.has_github());
        assert!(from.unreadable().is_none() && from.unwritable().is_some());
        assert!(Caches::Named(vec!["a:b".into()]).unreadable().is_some());
    }
}
