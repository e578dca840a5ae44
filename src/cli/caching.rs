//! The cache flags, and what becomes of them: imports that were asked first, and exports by right.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::report::Failure;
use crate::attributes::{self, AttributesError};
use crate::cache::hierarchy::{self, Hierarchy};
use crate::cache::probe::{Answer, Probes};
use crate::engine::solve::CacheEntry;
use crate::fault::{Classified, Fault};
use crate::oci::reference::ImageReference;
use crate::oci::registry::Options;

mod github;

/// Where cached results come from and go to
#[derive(Clone, Debug, Args)]
pub(super) struct CacheArgs {
    /// Repository with the whole cache hierarchy: `REPO:buildcache`, the pull request's, the stable
    /// image's, GitHub's; what is written depends on the run's rights
    #[arg(long, value_name = "REPO", env = "KITWRIGHT_CACHE")]
    pub cache: Option<String>,
    /// Tag of the stable branch's image [default: by the event and `kitwright.toml`]
    #[arg(long, value_name = "TAG", env = "KITWRIGHT_CACHE_STABLE")]
    pub cache_stable: Option<String>,
    /// What of the hierarchy may be written: `auto`, `none`, `shared`, or the name of an own cache
    #[arg(long, value_name = "WRITER", env = "KITWRIGHT_CACHE_WRITE", default_value = "auto")]
    pub cache_write: String,
    /// Import the build cache from, e.g. `type=registry,ref=user/app:cache` or just `user/app:cache`
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Export the build cache to, e.g. `type=registry,ref=user/app:cache,mode=max`
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// How long a cache may take to answer before it is left out
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub cache_timeout: Duration,
}

/// A cache flag that cannot be understood.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum CacheFlagError {
    #[error("invalid value `{value}` of `{flag}`")]
    Syntax { flag: &'static str, value: String, source: AttributesError },
    #[error("`{flag} {value}`: it has no `type`")]
    NoType { flag: &'static str, value: String },
}

impl Classified for CacheFlagError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// The caches of a build, as the flags and the situation want them.
#[derive(Clone, Default)]
pub(super) struct Caches {
    /// Cache imports, in order.
    pub imports: Vec<CacheEntry>,
    /// Cache exports, in order.
    pub exports: Vec<CacheEntry>,
    /// The repository whose pushed images carry their own cache.
    pub inline: Option<String>,
    /// The hierarchy's cache that this run writes.
    pub home: Option<ImageReference>,
    /// What the user should know about the choice.
    pub notes: Vec<String>,
}

impl Caches {
    /// Reads the flags, and the situation if they name a hierarchy; `work_tree` has the settings.
    ///
    /// # Errors
    ///
    /// Flags or settings that are wrong.
    pub(super) fn read(args: &CacheArgs, work_tree: &Path) -> Result<Self, Failure> {
        let mut caches = Self {
            imports: entries("--cache-from", &args.cache_from)?,
            exports: entries("--cache-to", &args.cache_to)?,
            ..Self::default()
        };
        let unusable = |entry: &CacheEntry| entry.kind == "gha" && !github::is_reachable(entry);
        if caches.imports.iter().chain(&caches.exports).any(unusable) {
            let line =
                "no GitHub cache: `ACTIONS_RUNTIME_TOKEN` and its URL are not in the environment";
            caches.notes.push(line.into());
            caches.imports.retain(|entry| !unusable(entry));
            caches.exports.retain(|entry| !unusable(entry));
        }
        let Some(repository) = args.cache.as_ref().filter(|name| !name.is_empty()) else {
            return Ok(caches);
        };
        let situation = github::situation(args, repository, work_tree, &mut caches.notes)?;
        let chosen = Hierarchy::choose(repository, &situation)?;
        add_new(&mut caches.imports, chosen.imports);
        add_new(&mut caches.exports, chosen.exports);
        caches.inline = chosen.inline.then(|| repository.clone());
        caches.home = chosen.home;
        Ok(caches)
    }

    /// Starts to ask the imports whether they can be used.
    pub(super) fn probe(&self, args: &CacheArgs, mirrors: &[String]) -> Result<Probing, Failure> {
        let mut options = Options::from_env();
        for mirror in mirrors {
            options.add_mirror(mirror)?;
        }
        let (imports, timeout) = (self.imports.clone(), args.cache_timeout);
        Ok(Probing(Probes::start(&options, imports, timeout, !has_proxy())))
    }
}

/// Whether requests may have to go through a proxy.
fn has_proxy() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["http_proxy", "https_proxy", "all_proxy"]
        .iter()
        .any(|name| set(name) || set(&name.to_ascii_uppercase()))
}

/// Adds what is not there yet, by name.
fn add_new(entries: &mut Vec<CacheEntry>, more: Vec<CacheEntry>) {
    for entry in more {
        if entries.iter().all(|known| hierarchy::name(known) != hierarchy::name(&entry)) {
            entries.push(entry);
        }
    }
}

/// Imports that are being asked.
pub(super) struct Probing(Probes);

impl Probing {
    /// The imports that can be used, in order, and a line for each that cannot.
    pub(super) async fn ready(self) -> (Vec<Answer>, Vec<String>) {
        let (dropped, usable): (Vec<_>, Vec<_>) =
            self.0.ready().await.into_iter().partition(|answer| answer.entry().is_none());
        let line = |answer| match answer {
            Answer::Dropped { name, reason } => Some(format!("no cache from `{name}`: {reason}")),
            _ => None,
        };
        (usable, dropped.into_iter().filter_map(line).collect())
    }
}

/// Reads caches; a bare reference stands for a registry cache, as in buildx.
fn entries(flag: &'static str, values: &[String]) -> Result<Vec<CacheEntry>, CacheFlagError> {
    let mut caches = Vec::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        let syntax = |source| CacheFlagError::Syntax { flag, value: value.clone(), source };
        let fields = attributes::fields(value).map_err(syntax)?;
        if fields.iter().all(|field| !field.contains('=')) {
            for reference in fields {
                let attributes = BTreeMap::from([("ref".to_owned(), reference)]);
                caches.push(CacheEntry { kind: "registry".into(), attributes });
            }
            continue;
        }
        let mut attributes = attributes::parse(value).map_err(syntax)?;
        let untyped = || CacheFlagError::NoType { flag, value: value.clone() };
        let kind = attributes.remove("type").ok_or_else(untyped)?;
        match kind.as_str() {
            "gha" => github::fill(&mut attributes),
            "s3" => fill_amazon(&mut attributes),
            _ => {}
        }
        caches.push(CacheEntry { kind, attributes });
    }
    Ok(caches)
}

/// Credentials from the environment, unless the flag has its own.
fn fill_amazon(attributes: &mut BTreeMap<String, String>) {
    const NAMES: [(&str, &str); 3] = [
        ("access_key_id", "AWS_ACCESS_KEY_ID"),
        ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("session_token", "AWS_SESSION_TOKEN"),
    ];
    if attributes.contains_key("access_key_id") && attributes.contains_key("secret_access_key") {
        return;
    }
    for (key, variable) in NAMES {
        if let Ok(value) = std::env::var(variable) {
            attributes.entry(key.to_owned()).or_insert(value);
        }
    }
}

/// Reads a length of time such as `500ms`, `2s` or `10m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "write it as `500ms`, `2s` or `10m`".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_cache_is_one_in_a_registry() {
        let read = entries("--cache-from", &["a/b:c".into(), "type=local,src=x".into()]).unwrap();
        assert_eq!(read[0].kind, "registry");
        assert_eq!(read[0].attributes["ref"], "a/b:c");
        assert_eq!(read[1].kind, "local");
        assert!(entries("--cache-from", &["src=x".into()]).is_err());
    }

    #[test]
    fn what_is_named_twice_is_one_cache() {
        let mut all = entries("--cache-from", &["a/b:c".into()]).unwrap();
        let more = entries("--cache-from", &["a/b:c".into(), "a/b:d".into()]).unwrap();
        add_new(&mut all, more);
        assert_eq!(all.iter().map(hierarchy::name).collect::<Vec<_>>(), ["a/b:c", "a/b:d"]);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert!(duration("2").is_err() && duration("-2s").is_err());
    }
}
