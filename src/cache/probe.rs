//! Asks caches whether they are worth importing, before the engine would wait for them.
//!
//! The engine queries all its cache imports at once and waits for the slowest, without a deadline.
//! So every registry cache is asked first, all at the same time, while the engine boots and the
//! Dockerfile compiles: a probe fetches the manifest and the cache config, which are small, checks
//! them as the engine would, and has until its deadline. What is missing, slow, unreadable or corrupt
//! is dropped with a reason. Output: [`ProbedRef`]s, which also tell what the caches hold.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use tokio_util::task::AbortOnDropHandle;

use super::config::{CacheConfig, ConfigError, ENGINE_LIMIT, Location};
use super::github::ServiceError;
use super::{github, hierarchy};
use crate::engine::solve::CacheEntry;
use crate::fault::chain;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageManifest, Manifest};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::registry::{Client, FetchedManifest, Options, RegistryError, RetryPolicy};

mod service;

/// How long a cache may take to answer, unless somebody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// The largest image config that is read for its inline cache.
const IMAGE_CONFIG_LIMIT: u64 = 8 << 20;

/// A cache that answered, and what it holds.
#[derive(Clone, Debug)]
pub struct ProbedRef {
    /// What people call it, such as `ghcr.io/org/repo/ci:buildcache`.
    pub name: String,
    /// The import.
    pub entry: CacheEntry,
    /// Where it is.
    pub place: Place,
    /// The steps and layers that it holds.
    pub config: CacheConfig,
}

/// Where a cache's manifest and layers are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a registry.
    Registry {
        /// Under this name.
        reference: ImageReference,
        /// The manifest or index behind it.
        manifest: FetchedManifest,
    },
    /// In GitHub's cache service.
    Github(Arc<github::Cache>),
}

impl ProbedRef {
    /// Whether a layer of the cache, or its manifest, has this digest.
    #[must_use]
    pub fn holds(&self, digest: Digest) -> bool {
        let is_document = match &self.place {
            Place::Registry { manifest, .. } => manifest.descriptor.digest == digest,
            Place::Github(cache) => cache.holds(digest),
        };
        is_document || self.config.layers.iter().any(|layer| layer.digest == digest)
    }
}

/// Why a cache is left out.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing under its name.
    #[error("it is not there")]
    Missing,
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Slow(Duration),
    /// Its name is none.
    #[error("its name is none")]
    Name {
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// Its service does not give it.
    #[error(transparent)]
    Service(ServiceError),
    /// The registry did not give it.
    #[error("{}", chain(.0))]
    Registry(RegistryError),
    /// The engine refuses a document of this size.
    #[error("its {what} has {size} bytes, and the engine reads no more than {ENGINE_LIMIT}")]
    TooLarge {
        /// The document.
        what: &'static str,
        /// Its size.
        size: u64,
    },
    /// It is no cache that the engine could import.
    #[error("it is corrupt: {}", chain(.0))]
    Corrupt(ConfigError),
    /// A local cache's index cannot be read.
    #[error("its `index.json` is corrupt: {0}")]
    LocalIndex(String),
    /// It is an image without a cache.
    #[error("the image carries no cache")]
    NoCache,
    /// The probe itself broke down.
    #[error("its probe broke down")]
    Broken,
}

impl Unusable {
    /// Whether this is what the first build of a branch finds, and nothing is wrong.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Missing | Self::NoCache)
    }
}

/// The answer to one probe.
#[derive(Debug)]
pub enum Answer {
    /// It can be imported, and this is what it holds.
    Ready(Box<ProbedRef>),
    /// It is of a type that is not probed, and is imported as it is.
    Unprobed(CacheEntry),
    /// It is left out.
    Dropped {
        /// What people call it.
        name: String,
        /// Why.
        reason: Unusable,
    },
}

impl Answer {
    /// The import, if there is one.
    #[must_use]
    pub fn entry(&self) -> Option<&CacheEntry> {
        match self {
            Self::Ready(probed) => Some(&probed.entry),
            Self::Unprobed(entry) => Some(entry),
            Self::Dropped { .. } => None,
        }
    }
}

/// Probes under way; dropping this gives them up.
#[derive(Debug)]
pub struct Probes(Vec<(String, AbortOnDropHandle<Answer>)>);

impl Probes {
    /// Starts to ask every cache of `entries`, each with `timeout` from now.
    ///
    /// `is_direct` tells that the network is reached without a proxy.
    #[must_use]
    pub fn start(
        options: &Options,
        entries: Vec<CacheEntry>,
        timeout: Duration,
        is_direct: bool,
    ) -> Self {
        let mut options = options.clone();
        options.retry = RetryPolicy {
            attempts: 3,
            first_pause: Duration::from_millis(20),
            longest_pause: timeout / 2,
        };
        let deadline = Instant::now() + timeout;
        let client = Client::new(options.clone());
        let start = |entry: CacheEntry| {
            let name = hierarchy::name(&entry);
            let client = match is_insecure(&entry) {
                true => Client::new(with_plain_http(options.clone(), &entry)),
                false => client.clone(),
            };
            let task = tokio::spawn(async move {
                let name = hierarchy::name(&entry);
                let asked = ask(&client, entry, timeout, is_direct);
                match tokio::time::timeout_at(deadline.into(), asked).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(reason)) => Answer::Dropped { name, reason },
                    Err(_) => Answer::Dropped { name, reason: Unusable::Slow(timeout) },
                }
            });
            (name, AbortOnDropHandle::new(task))
        };
        Self(entries.into_iter().map(start).collect())
    }

    /// Waits for the answers, which come in the order of the entries.
    pub async fn ready(self) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.0.len());
        for (name, task) in self.0 {
            let broken = || Answer::Dropped { name, reason: Unusable::Broken };
            answers.push(task.await.unwrap_or_else(|_| broken()));
        }
        answers
    }
}

fn is_insecure(entry: &CacheEntry) -> bool {
    entry.attributes.get("registry.insecure").is_some_and(|value| value == "true")
}

/// `registry.insecure=true` means plain HTTP to the engine.
fn with_plain_http(mut options: Options, entry: &CacheEntry) -> Options {
    let reference = entry.attributes.get("ref").and_then(|name| ImageReference::parse(name).ok());
    options.plain_http.extend(reference.map(|reference| reference.registry().to_owned()));
    options
}

async fn ask(
    client: &Client,
    entry: CacheEntry,
    timeout: Duration,
    is_direct: bool,
) -> Result<Answer, Unusable> {
    match entry.kind.as_str() {
        "registry" => {}
        "local" => return local(entry),
        "gha" => return service::ask(entry, timeout, is_direct).await,
        _ => return Ok(Answer::Unprobed(entry)),
    }
    let name = hierarchy::name(&entry);
    let reference = ImageReference::parse(&name).map_err(|source| Unusable::Name { source })?;
    let reference = reference.tag_name_only();
    let manifest = client.get_manifest(&reference).await.map_err(refused)?;
    let config = fetch_config(client, &reference, &manifest).await?.ok_or(Unusable::NoCache)?;
    let place = Place::Registry { reference, manifest };
    Ok(Answer::Ready(Box::new(ProbedRef { name, entry, place, config })))
}

fn refused(error: RegistryError) -> Unusable {
    if error.is_not_found() { Unusable::Missing } else { Unusable::Registry(error) }
}

/// Fetches the cache config behind a manifest; `None` when it is an image without one.
async fn fetch_config(
    client: &Client,
    reference: &ImageReference,
    manifest: &FetchedManifest,
) -> Result<Option<CacheConfig>, Unusable> {
    within(ENGINE_LIMIT, "manifest", manifest.descriptor.size)?;
    match Location::of(manifest.parse().map_err(Unusable::Registry)?) {
        Location::Config { config, layers } => {
            within(ENGINE_LIMIT, "cache config", config.size)?;
            let bytes = read(client, reference, &config).await?;
            Ok(Some(CacheConfig::parse(&bytes, &layers).map_err(Unusable::Corrupt)?))
        }
        Location::Image(image) => inline(client, reference, &image).await,
        Location::Images(entries) => {
            let images = entries.iter().filter(|entry| !entry.is_attestation());
            let read = images.map(async |entry| {
                let child = reference.name_only().with_digest(entry.digest);
                let fetched = client.get_manifest(&child).await.map_err(refused)?;
                match fetched.parse().map_err(Unusable::Registry)? {
                    Manifest::Image(image) => inline(client, reference, &image).await,
                    Manifest::Index(_) => Ok(None),
                }
            });
            let configs: Vec<_> = future::try_join_all(read).await?.into_iter().flatten().collect();
            Ok((!configs.is_empty()).then(|| CacheConfig::join(configs)))
        }
    }
}

/// Fetches the cache that an image carries in its config.
async fn inline(
    client: &Client,
    reference: &ImageReference,
    image: &ImageManifest,
) -> Result<Option<CacheConfig>, Unusable> {
    within(IMAGE_CONFIG_LIMIT, "image config", image.config.size)?;
    let bytes = read(client, reference, &image.config).await?;
    CacheConfig::from_image(&bytes, image).map_err(Unusable::Corrupt)
}

async fn read(
    client: &Client,
    reference: &ImageReference,
    descriptor: &Descriptor,
) -> Result<bytes::Bytes, Unusable> {
    let read = client.read_blob(reference, descriptor, IMAGE_CONFIG_LIMIT);
    read.await.map_err(Unusable::Registry)
}

fn within(limit: u64, what: &'static str, size: u64) -> Result<(), Unusable> {
    if size > limit { Err(Unusable::TooLarge { what, size }) } else { Ok(()) }
}

/// A local cache that is not there yet is none; one whose index is damaged would end the build.
fn local(entry: CacheEntry) -> Result<Answer, Unusable> {
    let Some(folder) = entry.attributes.get("src") else { return Ok(Answer::Unprobed(entry)) };
    match fs_err::read(Path::new(folder).join("index.json")) {
        Ok(bytes) => {
            let parsed = serde_json::from_slice::<serde_json::Value>(&bytes);
            let index = parsed.map_err(|error| Unusable::LocalIndex(error.to_string()))?;
            match index["manifests"].is_array() {
                true => Ok(Answer::Unprobed(entry)),
                false => Err(Unusable::LocalIndex("it lists no manifests".into())),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Answer::Unprobed(entry)),
        Err(error) => Err(Unusable::LocalIndex(error.to_string())),
    }
}
