//! The hierarchy of caches that one repository holds: which a build reads, and which it may write.
//!
//! Input: a repository and a [`Situation`], in plain values. Output: imports, the best first, and
//! exports by the rights of the run.
//!
//! | run | reads, in this order | writes |
//! |---|---|---|
//! | pull request N | `buildcache`, `buildcache-pr-N`, `pr-N`, the stable tag, gha | `buildcache-pr-N` |
//! | the same from a fork | the same | nothing |
//! | a stable branch | `buildcache`, its tag, gha | `buildcache`, gha |
//! | another branch | `buildcache`, `buildcache-branch-NAME`, the stable tag, gha | `buildcache-branch-NAME` |
//! | outside CI | `buildcache`, the stable tags | nothing |
//!
//! Every writer has a ref of its own, so two runs never overwrite each other's cache, and what a
//! pull request wrote is read by nobody else before somebody promotes it.
use std::collections::BTreeMap;

use crate::engine::solve::CacheEntry;
use crate::fault::{Classified, Fault};
use crate::oci::reference::{ImageReference, ReferenceError};

/// The tag of the cache that all runs read and stable branches write.
pub const SHARED_TAG: &str = "buildcache";

/// What the source of a local cache begins with that is one of another type.
const SERVED: &str = "kitwright:";

/// What a run knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// The pull request that is built.
    pub pull_request: Option<u64>,
    /// What the run may write.
    pub writer: Writer,
    /// The tags of the stable branches' images, the nearest first.
    pub stable_tags: Vec<String>,
    /// How GitHub's cache service is reached, where the runner has one.
    pub github: Option<CacheEntry>,
}

/// Whose cache a run may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Writer {
    /// Nobody's: a fork, or a build outside CI.
    #[default]
    Nobody,
    /// Its own, by this name: `pr-7`, `branch-feature-x`.
    Own(String),
    /// Everybody's: a stable branch.
    Shared,
}

/// The caches of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// What is read, the best first.
    pub imports: Vec<CacheEntry>,
    /// What is written.
    pub exports: Vec<CacheEntry>,
    /// Whether images of this repository that the build pushes carry their own cache.
    pub inline: bool,
    /// The run's own cache in the repository, if it may write one.
    pub home: Option<ImageReference>,
}

/// A repository that cannot hold caches.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HierarchyError {
    /// It is no repository name.
    #[error("`{repository}` is not an image repository")]
    #[diagnostic(help("write it as `--cache REGISTRY/NAME`, such as `ghcr.io/owner/repo/ci`"))]
    Repository {
        /// The name.
        repository: String,
        /// Why not.
        source: ReferenceError,
    },
    /// It names a tag, which the situation chooses.
    #[error("the cache repository `{0}` has a tag or digest")]
    #[diagnostic(help("name the repository alone: the event and the branch decide on the tags"))]
    Tagged(String),
    /// A tag cannot be one.
    #[error("`{tag}` cannot be a tag of `{repository}`")]
    Tag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
        /// Why not.
        source: ReferenceError,
    },
}

impl Classified for HierarchyError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Hierarchy {
    /// Chooses the caches of `repository` for a run.
    ///
    /// # Errors
    ///
    /// [`HierarchyError`] when the repository or a tag is none.
    pub fn choose(repository: &str, situation: &Situation) -> Result<Self, HierarchyError> {
        let repository = Repository::parse(repository)?;
        let own = match &situation.writer {
            Writer::Own(name) => Some(format!("{SHARED_TAG}-{name}")),
            _ => situation.pull_request.map(|number| format!("{SHARED_TAG}-pr-{number}")),
        };
        let image = situation.pull_request.map(|number| format!("pr-{number}"));
        let mut tags = vec![SHARED_TAG.to_owned()];
        tags.extend(own.clone().into_iter().chain(image));
        tags.extend(situation.stable_tags.iter().cloned());
        let mut imports = Vec::new();
        for (index, tag) in tags.iter().enumerate() {
            if !tags[..index].contains(tag) {
                imports.push(repository.import(tag)?);
            }
        }
        imports.extend(situation.github.clone());
        let mut exports = Vec::new();
        match (&situation.writer, &own) {
            (Writer::Shared, _) => {
                exports.push(repository.export(SHARED_TAG)?);
                exports.extend(situation.github.clone().map(whole));
            }
            (Writer::Own(_), Some(own)) => exports.push(repository.export(own)?),
            _ => {}
        }
        let inline = situation.writer != Writer::Nobody;
        let home = match (&situation.writer, &own) {
            (Writer::Shared, _) => Some(repository.tagged(SHARED_TAG)?),
            (Writer::Own(_), Some(own)) => Some(repository.tagged(own)?),
            _ => None,
        };
        Ok(Self { imports, exports, inline, home })
    }
}

/// The repository that holds the caches.
struct Repository(ImageReference);

impl Repository {
    fn parse(text: &str) -> Result<Self, HierarchyError> {
        let reference = ImageReference::parse(text)
            .map_err(|source| HierarchyError::Repository { repository: text.to_owned(), source })?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(HierarchyError::Tagged(text.to_owned()));
        }
        Ok(Self(reference))
    }

    fn tagged(&self, tag: &str) -> Result<ImageReference, HierarchyError> {
        self.0.name_only().with_tag(tag).map_err(|source| HierarchyError::Tag {
            repository: self.0.to_string(),
            tag: tag.to_owned(),
            source,
        })
    }

    fn import(&self, tag: &str) -> Result<CacheEntry, HierarchyError> {
        let attributes = BTreeMap::from([("ref".to_owned(), self.tagged(tag)?.to_string())]);
        Ok(CacheEntry { kind: "registry".into(), attributes })
    }

    /// All stages, in a form that every registry takes, packed so that it is quick to fetch.
    fn export(&self, tag: &str) -> Result<CacheEntry, HierarchyError> {
        let CacheEntry { kind, mut attributes } = whole(self.import(tag)?);
        for (name, value) in
            [("oci-mediatypes", "true"), ("image-manifest", "true"), ("compression", "zstd")]
        {
            attributes.insert(name.to_owned(), value.to_owned());
        }
        Ok(CacheEntry { kind, attributes })
    }
}

/// The same cache, with the steps of all stages.
fn whole(mut entry: CacheEntry) -> CacheEntry {
    entry.attributes.insert("mode".to_owned(), "max".to_owned());
    entry
}

/// The source of a local cache that is one of another type, which kitwright gives to the engine.
#[must_use]
pub fn served(name: &str) -> String {
    format!("{SERVED}{name}")
}

/// What people call a cache: a registry's reference, or its type and what tells it apart.
#[must_use]
pub fn name(entry: &CacheEntry) -> String {
    let attribute = |key: &str| entry.attributes.get(key);
    if let Some(served) = attribute("src").and_then(|src| src.strip_prefix(SERVED)) {
        return served.to_owned();
    }
    let told = match entry.kind.as_str() {
        "registry" => return attribute("ref").cloned().unwrap_or_else(|| "registry".into()),
        "local" => attribute("src").or_else(|| attribute("dest")),
        "gha" => attribute("scope"),
        _ => attribute("name"),
    };
    match told {
        Some(told) => format!("{}:{told}", entry.kind),
        None => entry.kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "ghcr.io/org/repo/ci";

    fn github() -> CacheEntry {
        let attributes = BTreeMap::from([("scope".to_owned(), "ci".to_owned())]);
        CacheEntry { kind: "gha".into(), attributes }
    }

    fn tags(entries: &[CacheEntry]) -> Vec<String> {
        let short = |entry: &CacheEntry| {
            let name = name(entry);
            name.strip_prefix(&format!("{REPOSITORY}:")).map_or(name.clone(), str::to_owned)
        };
        entries.iter().map(short).collect()
    }

    #[test]
    fn a_pull_request_writes_its_own_cache_alone() {
        let situation = Situation {
            pull_request: Some(7),
            writer: Writer::Own("pr-7".into()),
            stable_tags: vec!["v2".into()],
            github: Some(github()),
        };
        let chosen = Hierarchy::choose(REPOSITORY, &situation).unwrap();
        let expected = ["buildcache", "buildcache-pr-7", "pr-7", "v2", "gha:ci"];
        assert_eq!(tags(&chosen.imports), expected);
        assert_eq!(tags(&chosen.exports), ["buildcache-pr-7"]);
        assert_eq!(chosen.home.as_ref().and_then(ImageReference::tag), Some("buildcache-pr-7"));
        assert!(chosen.inline);
        let fork = Situation { writer: Writer::Nobody, ..situation };
        let chosen = Hierarchy::choose(REPOSITORY, &fork).unwrap();
        assert_eq!(tags(&chosen.imports), expected);
        assert!(chosen.exports.is_empty() && !chosen.inline && chosen.home.is_none());
    }

    #[test]
    fn a_stable_branch_writes_what_all_read() {
        let stable_tags = vec!["latest".to_owned()];
        let situation = Situation {
            writer: Writer::Shared,
            stable_tags,
            github: Some(github()),
            ..Situation::default()
        };
        let chosen = Hierarchy::choose(REPOSITORY, &situation).unwrap();
        assert_eq!(tags(&chosen.imports), ["buildcache", "latest", "gha:ci"]);
        assert_eq!(tags(&chosen.exports), ["buildcache", "gha:ci"]);
        assert_eq!(chosen.home.as_ref().and_then(ImageReference::tag), Some("buildcache"));
        let shared = &chosen.exports[0].attributes;
        assert_eq!((&*shared["mode"], &*shared["compression"]), ("max", "zstd"));
        assert_eq!((&*shared["oci-mediatypes"], &*shared["image-manifest"]), ("true", "true"));
        assert_eq!(chosen.exports[1].attributes["mode"], "max");
        assert!(!chosen.imports[2].attributes.contains_key("mode"));
    }

    #[test]
    fn another_branch_writes_its_own() {
        let situation = Situation {
            writer: Writer::Own("branch-x".into()),
            stable_tags: vec!["v2".into(), "v2".into()],
            ..Situation::default()
        };
        let chosen = Hierarchy::choose(REPOSITORY, &situation).unwrap();
        assert_eq!(tags(&chosen.imports), ["buildcache", "buildcache-branch-x", "v2"]);
        assert_eq!(tags(&chosen.exports), ["buildcache-branch-x"]);
    }

    #[test]
    fn a_repository_has_no_tag() {
        let choose = |text: &str| Hierarchy::choose(text, &Situation::default());
        assert!(matches!(choose("a/b:c"), Err(HierarchyError::Tagged(_))));
        assert!(matches!(choose("A/B"), Err(HierarchyError::Repository { .. })));
        let stable_tags = vec!["a b".to_owned()];
        let situation = Situation { stable_tags, ..Situation::default() };
        let error = Hierarchy::choose("a/b", &situation).unwrap_err();
        assert_eq!(error.to_string(), "`a b` cannot be a tag of `docker.io/a/b`");
    }
}
