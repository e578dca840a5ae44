//! Promotion: making tags point at an image that exists, without building or changing a byte.
//!
//! Content goes first, by digest; tags move last. Registries have no compare-and-set, so a guarded
//! promotion makes one out of what they have: it reads a tag right before it writes it, writes with
//! `If-Match` for those that honour it, and reads it again after as long as any other promotion
//! may have been between its own reading and writing. Of two promotions that race, the one whose
//! update is gone is told so; `docs/registry.md` says what this does and does not guarantee.
use std::time::{Duration, Instant};

use super::digest::Digest;
use super::manifest::{CREATED, Descriptor, Manifest};
use super::reference::ImageReference;
use super::registry::{Client, FetchedManifest, Precondition, RegistryError};
use super::transfer::{Origin, Tally, publish};

mod error;

pub use error::PromoteError;

/// How long a guarded promotion may take from reading a tag to having written it, and so how long
/// it waits before its last look.
pub const WINDOW: Duration = Duration::from_secs(2);
/// The largest image config that is read for its date.
const CONFIG_LIMIT: u64 = 8 << 20;

/// What to promote, and under which conditions.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The image, by tag or digest.
    pub source: ImageReference,
    /// The tags to move, in any repositories.
    pub destinations: Vec<ImageReference>,
    /// The digest that the source must have.
    pub expect_digest: Option<Digest>,
    /// A tag of the source's repository that must name the same image: its content key.
    pub expect_tag: Option<String>,
    /// What the destinations must hold before.
    pub replaces: Replaces,
    /// Whether an older image may replace a newer one.
    pub allow_backwards: bool,
    /// [`WINDOW`], or what the caller makes of it.
    pub window: Duration,
}

/// What a destination must hold before it is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Whatever it holds when the promotion begins, or nothing.
    WhatIsThere,
    /// This manifest.
    Exactly(Digest),
    /// Nothing: the tag must be new.
    Nothing,
}

/// What a promotion has done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Promoted {
    /// The manifest that all destinations now point at.
    pub digest: Digest,
    /// Its type.
    pub media_type: String,
    /// The destinations, in the order they were given.
    pub tags: Vec<MovedTag>,
    /// What had to be brought to other repositories.
    pub transferred: Tally,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MovedTag {
    /// The tag.
    pub reference: ImageReference,
    /// What it pointed at before.
    pub before: Option<Digest>,
}

fn registry(reference: &ImageReference) -> impl FnOnce(RegistryError) -> PromoteError {
    let reference = reference.to_string();
    move |source| PromoteError::Registry { reference, source }
}

/// Moves all destinations to the source, with every guard.
///
/// # Errors
///
/// A [`PromoteError`]. Before the first tag has moved every condition has been checked at every
/// destination and all content is in place, so that only a registry that fails in between leaves
/// some tags moved and others not.
pub async fn promote(client: &Client, promotion: &Promotion) -> Result<Promoted, PromoteError> {
    let source = &promotion.source;
    for destination in &promotion.destinations {
        client.expect_push(destination).await.map_err(registry(destination))?;
    }
    let fetched = client.get_manifest(source).await.map_err(registry(source))?;
    check_source(client, promotion, fetched.descriptor.digest).await?;
    let mut tags = Vec::new();
    for destination in &promotion.destinations {
        let reference = destination.name_only().with_tag(tag_of(destination)).map_err(|_| {
            // Unreachable: the tag comes out of a reference.
            changed(destination, "a tag", None)
        })?;
        let before = check_destination(client, promotion, &reference, &fetched).await?;
        tags.push(MovedTag { reference, before });
    }
    let transferred = transfer(client, source, &fetched, &tags).await?;
    let mut written = Vec::new();
    for tag in &tags {
        if tag.before != Some(fetched.descriptor.digest) {
            move_guarded(client, tag, &fetched, promotion.window).await?;
            written.push(tag);
        }
    }
    if !written.is_empty() {
        tokio::time::sleep(promotion.window).await;
    }
    for tag in written {
        let found = head(client, &tag.reference).await?;
        if found != Some(fetched.descriptor.digest) {
            let (reference, ours) = (tag.reference.to_string(), fetched.descriptor.digest);
            return Err(PromoteError::Overtaken { reference, ours, found: shown(found) });
        }
    }
    let Descriptor { digest, media_type, .. } = fetched.descriptor;
    Ok(Promoted { digest, media_type, tags, transferred })
}

/// Moves tags without guards and without looking at them: one write a tag in the same repository.
///
/// For images that are found by content key, where whoever writes last writes the same.
///
/// # Errors
///
/// A [`PromoteError`] when the registry fails.
pub async fn move_tags(
    client: &Client,
    source: &ImageReference,
    fetched: &FetchedManifest,
    destinations: &[ImageReference],
) -> Result<Tally, PromoteError> {
    let tags: Vec<MovedTag> = destinations
        .iter()
        .map(|reference| MovedTag { reference: reference.clone().tag_name_only(), before: None })
        .collect();
    let transferred = transfer(client, source, fetched, &tags).await?;
    let writes: Vec<_> = tags.iter().map(|tag| write(client, &tag.reference, fetched)).collect();
    futures_util::future::try_join_all(writes).await?;
    Ok(transferred)
}

async fn write(
    client: &Client,
    reference: &ImageReference,
    fetched: &FetchedManifest,
) -> Result<(), PromoteError> {
    let (kind, bytes) = (&fetched.descriptor.media_type, fetched.bytes.clone());
    let written = client.put_manifest(reference, kind, bytes, Precondition::None).await;
    written.map(drop).map_err(registry(reference))
}

fn tag_of(reference: &ImageReference) -> &str {
    reference.tag().unwrap_or(super::reference::DEFAULT_TAG)
}

/// Brings the content to every repository that is not the source's own.
async fn transfer(
    client: &Client,
    source: &ImageReference,
    fetched: &FetchedManifest,
    tags: &[MovedTag],
) -> Result<Tally, PromoteError> {
    let origin = Origin::Registry { client, repository: source.name_only() };
    let mut all = Tally::default();
    let mut done: Vec<&ImageReference> = vec![source];
    for MovedTag { reference, .. } in tags {
        if done.iter().any(|other| other.same_repository(reference)) {
            continue;
        }
        done.push(reference);
        let tally = publish(&origin, client, reference, fetched, true).await;
        let tally = tally.map_err(registry(reference))?;
        all.manifests += tally.manifests;
        all.present += tally.present;
        all.mounted += tally.mounted;
        all.uploaded += tally.uploaded;
        all.bytes += tally.bytes;
    }
    Ok(all)
}

async fn check_source(
    client: &Client,
    promotion: &Promotion,
    found: Digest,
) -> Result<(), PromoteError> {
    let source_reference = promotion.source.to_string();
    if let Some(expected) = promotion.expect_digest.filter(|expected| *expected != found) {
        return Err(PromoteError::Unexpected { source_reference, expected, found });
    }
    let Some(key) = &promotion.expect_tag else { return Ok(()) };
    let tagged = promotion.source.name_only().with_tag(key).map_err(|error| PromoteError::Key {
        source_reference: source_reference.clone(),
        key: key.clone(),
        reason: error.to_string(),
    })?;
    let reason = match head(client, &tagged).await? {
        Some(keyed) if keyed == found => return Ok(()),
        Some(keyed) => format!("`{keyed}` has it, the source is `{found}`"),
        None => "no image in this repository has it".to_owned(),
    };
    Err(PromoteError::Key { source_reference, key: key.clone(), reason })
}

/// Holds a destination against the conditions and returns what it points at.
async fn check_destination(
    client: &Client,
    promotion: &Promotion,
    reference: &ImageReference,
    source: &FetchedManifest,
) -> Result<Option<Digest>, PromoteError> {
    let current = client.get_upstream_manifest(reference).await.map_err(registry(reference))?;
    let found = current.as_ref().map(|current| current.descriptor.digest);
    match promotion.replaces {
        Replaces::Exactly(expected) if found != Some(expected) => {
            return Err(changed(reference, &format!("`{expected}`"), found));
        }
        Replaces::Nothing if found.is_some() => {
            return Err(changed(reference, "new", found));
        }
        _ => {}
    }
    let Some(current) = current else { return Ok(None) };
    if promotion.allow_backwards || current.descriptor.digest == source.descriptor.digest {
        return Ok(found);
    }
    let candidate = created(client, &promotion.source, source).await?;
    let current = created(client, reference, &current).await?;
    match (current, candidate) {
        (Some(current), Some(candidate)) if current > candidate => {
            let reference = reference.to_string();
            Err(PromoteError::Backwards { reference, current, candidate })
        }
        // An image without a date has no place in the order.
        _ => Ok(found),
    }
}

/// When an image was made: its annotation, or else the date in the config of its first image.
async fn created(
    client: &Client,
    reference: &ImageReference,
    fetched: &FetchedManifest,
) -> Result<Option<jiff::Timestamp>, PromoteError> {
    let failed = |error| registry(reference)(error);
    let mut manifest = fetched.parse().map_err(failed)?;
    if let Manifest::Index(index) = &manifest
        && !index.annotations.contains_key(CREATED)
    {
        let Some(first) = index.manifests.iter().find(|entry| !entry.is_attestation()) else {
            return Ok(None);
        };
        let child = reference.name_only().with_digest(first.digest);
        manifest =
            client.get_manifest(&child).await.and_then(|child| child.parse()).map_err(failed)?;
    }
    if let Some(date) = manifest.annotations().get(CREATED) {
        return Ok(date.parse().ok());
    }
    let Manifest::Image(image) = manifest else { return Ok(None) };
    let config = client.read_blob(reference, &image.config, CONFIG_LIMIT).await.map_err(failed)?;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    let date = config.get("created").and_then(serde_json::Value::as_str);
    Ok(date.and_then(|date| date.parse().ok()))
}

/// Writes one tag, if it still holds what it held when the promotion began.
async fn move_guarded(
    client: &Client,
    tag: &MovedTag,
    fetched: &FetchedManifest,
    window: Duration,
) -> Result<(), PromoteError> {
    let begun = Instant::now();
    let found = head(client, &tag.reference).await?;
    if found != tag.before {
        return Err(changed(&tag.reference, &shown(tag.before), found));
    }
    let (kind, bytes) = (&fetched.descriptor.media_type, &fetched.bytes);
    let put = |precondition| client.put_manifest(&tag.reference, kind, bytes.clone(), precondition);
    let failed = registry(&tag.reference);
    match put(tag.before.map_or(Precondition::Absent, Precondition::Matches)).await {
        Ok(_) => {}
        Err(RegistryError::Changed { .. }) => {
            let found = head(client, &tag.reference).await?;
            if found != tag.before {
                return Err(changed(&tag.reference, &shown(tag.before), found));
            }
            // The registry honours conditions, but its entity tags are not digests.
            put(Precondition::None).await.map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let took = begun.elapsed();
    if !window.is_zero() && took > window {
        let (reference, ours) = (tag.reference.to_string(), fetched.descriptor.digest);
        return Err(PromoteError::Slow { reference, ours, took });
    }
    Ok(())
}

async fn head(client: &Client, reference: &ImageReference) -> Result<Option<Digest>, PromoteError> {
    let found = client.head_upstream_manifest(reference).await.map_err(registry(reference))?;
    Ok(found.map(|descriptor| descriptor.digest))
}

fn changed(reference: &ImageReference, expected: &str, found: Option<Digest>) -> PromoteError {
    let (reference, expected) = (reference.to_string(), expected.to_owned());
    PromoteError::Changed { reference, expected, found: shown(found) }
}

fn shown(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "not there".to_owned(), |digest| format!("`{digest}`"))
}
