//! Bringing an image and all that belongs to it into a repository, under its digest.
//!
//! Children go before the index that names them and blobs before the manifests that name those, so
//! that a transfer which ends early has published nothing: the tag is the caller's, and last.
//! Attestations are entries of the index and travel with it; referrers are looked up and follow.
use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::digest::Digest;
use super::manifest::{Descriptor, Manifest, ManifestError};
use super::reference::ImageReference;
use super::registry::{
    BlobOutcome, BlobSource, Client, FetchedManifest, FileSource, Precondition, RegistryError,
    RemoteSource,
};
use super::store::Store;

/// Blobs that are on their way at once. The engine's own limit a registry is 4.
const PARALLEL: usize = 4;
/// Manifests that one transfer takes along; an index of indexes without end stops here.
const MANIFESTS: usize = 10_000;
/// Layer types that must not be distributed: they are fetched from their `urls`.
const FOREIGN: &[&str] = &["nondistributable", "foreign"];

/// Where the content comes from.
pub enum Origin<'a> {
    /// A repository of a registry.
    Registry {
        /// Who reads from it.
        client: &'a Client,
        /// The repository.
        repository: ImageReference,
    },
    /// The local image store.
    Store(&'a Store),
}

/// What a transfer has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Manifests and indexes that were written.
    pub manifests: u64,
    /// Blobs that were there.
    pub present: u64,
    /// Blobs that the registry took from its own.
    pub mounted: u64,
    /// Blobs that were sent.
    pub uploaded: u64,
    /// The bytes of those.
    pub bytes: u64,
}

/// What has to go, in an order in which it can.
#[derive(Default)]
struct Plan {
    seen: BTreeSet<Digest>,
    blobs: BTreeMap<Digest, Descriptor>,
    /// Children before their parents, subjects before their referrers.
    manifests: Vec<FetchedManifest>,
}

/// Publishes `root` with all below it in the repository of `to`, by digest.
///
/// # Errors
///
/// A [`RegistryError`] when something cannot be read or is not taken. What was sent until then stays
/// at the registry without a name.
pub async fn publish(
    origin: &Origin<'_>,
    client: &Client,
    to: &ImageReference,
    root: &FetchedManifest,
    with_referrers: bool,
) -> Result<Tally, RegistryError> {
    let mut plan = Plan::default();
    let to = to.name_only();
    collect(&mut plan, origin, client, &to, root.clone()).await?;
    if with_referrers {
        collect_referrers(&mut plan, origin, client, &to).await?;
    }
    let mut tally = Tally::default();
    let pushes: Vec<_> =
        plan.blobs.into_values().map(|b| push_blob(origin, client, &to, b)).collect();
    let mut outcomes = stream::iter(pushes).buffer_unordered(PARALLEL);
    while let Some(outcome) = outcomes.next().await {
        let (size, outcome) = outcome?;
        match outcome {
            BlobOutcome::Present => tally.present += 1,
            BlobOutcome::Mounted => tally.mounted += 1,
            BlobOutcome::Uploaded => {
                tally.uploaded += 1;
                tally.bytes += size;
            }
        }
    }
    for manifest in plan.manifests {
        let kind = &manifest.descriptor.media_type;
        client.put_manifest(&to, kind, manifest.bytes.clone(), Precondition::None).await?;
        tally.manifests += 1;
    }
    Ok(tally)
}

/// Notes a manifest and what it names, unless the destination has it, and with it all below.
async fn collect(
    plan: &mut Plan,
    origin: &Origin<'_>,
    client: &Client,
    to: &ImageReference,
    manifest: FetchedManifest,
) -> Result<(), RegistryError> {
    // Depth first by hand: futures that call themselves would have to be boxed level by level.
    let mut stack = vec![(manifest, false)];
    while let Some((manifest, children_done)) = stack.pop() {
        let digest = manifest.descriptor.digest;
        if children_done {
            plan.manifests.push(manifest);
            continue;
        }
        if !plan.seen.insert(digest) || is_there(client, to, digest).await? {
            continue;
        }
        if plan.seen.len() > MANIFESTS {
            let source = ManifestError::TooMany(MANIFESTS);
            return Err(RegistryError::Manifest { what: digest.to_string(), source });
        }
        let parsed = manifest.parse()?;
        stack.push((manifest, true));
        match parsed {
            Manifest::Image(image) => {
                let blobs = image.layers.into_iter().chain([image.config]);
                plan.blobs
                    .extend(blobs.filter(|blob| !is_foreign(blob)).map(|blob| (blob.digest, blob)));
            }
            Manifest::Index(index) => {
                for entry in &index.manifests {
                    stack.push((origin.manifest(entry).await?, false));
                }
            }
        }
    }
    Ok(())
}

/// Notes the referrers of all that was seen, and theirs.
async fn collect_referrers(
    plan: &mut Plan,
    origin: &Origin<'_>,
    client: &Client,
    to: &ImageReference,
) -> Result<(), RegistryError> {
    let mut asked = BTreeSet::new();
    while let Some(digest) = plan.seen.difference(&asked).next().copied() {
        asked.insert(digest);
        for entry in origin.referrers(digest).await? {
            let manifest = origin.manifest(&entry).await?;
            collect(plan, origin, client, to, manifest).await?;
        }
    }
    Ok(())
}

async fn is_there(
    client: &Client,
    to: &ImageReference,
    digest: Digest,
) -> Result<bool, RegistryError> {
    // What a mirror has is not what the registry has.
    client.has_manifest(&to.clone().with_digest(digest)).await
}

async fn push_blob(
    origin: &Origin<'_>,
    client: &Client,
    to: &ImageReference,
    blob: Descriptor,
) -> Result<(u64, BlobOutcome), RegistryError> {
    let (source, mount_from): (Box<dyn BlobSource>, _) = match origin {
        Origin::Registry { client: from, repository } => {
            let source = RemoteSource {
                client: (*from).clone(),
                reference: repository.clone(),
                descriptor: blob.clone(),
            };
            (Box::new(source), Some(repository))
        }
        Origin::Store(store) => (Box::new(FileSource(store.blob_path(blob.digest))), None),
    };
    let outcome = client.push_blob(to, &blob, source.as_ref(), mount_from).await?;
    Ok((blob.size, outcome))
}

fn is_foreign(blob: &Descriptor) -> bool {
    FOREIGN.iter().any(|word| blob.media_type.contains(word))
}

impl Origin<'_> {
    async fn manifest(&self, entry: &Descriptor) -> Result<FetchedManifest, RegistryError> {
        match self {
            Self::Registry { client, repository } => {
                client.get_manifest(&repository.clone().with_digest(entry.digest)).await
            }
            Self::Store(store) => store.manifest(entry),
        }
    }

    async fn referrers(&self, digest: Digest) -> Result<Vec<Descriptor>, RegistryError> {
        match self {
            Self::Registry { client, repository } => {
                client.referrers(repository, digest, None).await
            }
            // The store keeps images as they were pulled, with their index and nothing beside it.
            Self::Store(_) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: T) {}

    #[test]
    fn transfers_may_run_as_tasks() {
        let client = Client::new(super::super::registry::Options::default());
        let reference: ImageReference = "a".parse().unwrap();
        let descriptor = Descriptor::of("x", b"");
        let root = FetchedManifest { descriptor, bytes: bytes::Bytes::new() };
        let origin = Origin::Registry { client: &client, repository: reference.clone() };
        is_send(publish(&origin, &client, &reference, &root, true));
        is_send(super::super::promote::move_tags(&client, &reference, &root, &[]));
        is_send(client.resolve(&reference, &super::super::platform::Platform::host()));
    }
}
