//! Pulling images into the store: layers in parallel, each resumable and verified.
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{Store, StoreError};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Manifest, candidates};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, FetchedManifest, RegistryError};

/// Layers that come at once.
const PARALLEL: usize = 4;

/// What happens while an image is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// A blob is in the store already.
    Present(Descriptor),
    /// A blob begins to come; so many bytes are there from an earlier attempt.
    Begun(Descriptor, u64),
    /// A blob is in the store, verified.
    Done(Descriptor),
}

/// What a pull has done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pulled {
    /// The image's name in the store.
    pub reference: ImageReference,
    /// What the name stands for: the index, or the manifest of the one platform.
    pub descriptor: Descriptor,
    /// Blobs that had to be fetched.
    pub fetched: u64,
    /// The bytes that came for them, without those of earlier attempts.
    pub bytes: u64,
}

impl Store {
    /// Pulls an image: the one for `platform`, or with `None` the index with all its images.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when something does not come or cannot be kept. What came until then stays,
    /// so that the next attempt goes on there.
    pub async fn pull(
        &self,
        client: &Client,
        reference: &ImageReference,
        platform: Option<&Platform>,
        on_event: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Pulled, StoreError> {
        let failed = |source| StoreError::Registry { reference: reference.to_string(), source };
        let guard = self.guard()?;
        let (manifests, root) = select(client, reference, platform).await.map_err(failed)?;
        let mut blobs: Vec<Descriptor> = Vec::new();
        for manifest in &manifests {
            if let Manifest::Image(image) = manifest.parse().map_err(failed)? {
                blobs.extend(image.layers);
                blobs.push(image.config);
            }
        }
        blobs.sort_by_key(|blob| blob.digest);
        blobs.dedup_by_key(|blob| blob.digest);
        let fetches: Vec<_> =
            blobs.iter().map(|blob| self.fetch(client, reference, blob, on_event)).collect();
        let fetched: Vec<Option<u64>> =
            stream::iter(fetches).buffer_unordered(PARALLEL).try_collect().await?;
        for manifest in &manifests {
            self.write_blob(&manifest.descriptor.media_type, &manifest.bytes)?;
        }
        let name = stored_name(reference);
        self.tag(&guard, &name, &root)?;
        let bytes = fetched.iter().flatten().sum();
        let fetched = fetched.iter().flatten().count() as u64;
        Ok(Pulled { reference: name, descriptor: root, fetched, bytes })
    }

    /// Brings one blob into the store; returns the bytes that came, or `None` when it was there.
    async fn fetch(
        &self,
        client: &Client,
        reference: &ImageReference,
        blob: &Descriptor,
        on_event: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Option<u64>, StoreError> {
        if self.has_blob(blob) {
            on_event(PullEvent::Present(blob.clone()));
            return Ok(None);
        }
        let path = self.ingest().join(blob.digest.hex());
        let mut partial = lock_partial(&path).await?;
        // Another pull of the same blob may have held the lock, and be done.
        if self.has_blob(blob) {
            on_event(PullEvent::Present(blob.clone()));
            return Ok(None);
        }
        let mut again = true;
        loop {
            match self.fill(client, reference, blob, &mut partial, on_event).await {
                Ok(came) => {
                    let place = self.blob_path(blob.digest);
                    partial.sync_data().map_err(StoreError::io("write", &path))?;
                    std::fs::rename(&path, &place).map_err(StoreError::io("create", &place))?;
                    on_event(PullEvent::Done(blob.clone()));
                    return Ok(Some(came));
                }
                // What was there, or what came, is wrong: once more from nothing.
                Err(StoreError::Registry { source: RegistryError::Digest { .. }, .. }) if again => {
                    partial.set_len(0).map_err(StoreError::io("write", &path))?;
                    again = false;
                }
                Err(error) => {
                    if matches!(
                        error,
                        StoreError::Registry { source: RegistryError::Digest { .. }, .. }
                    ) {
                        let _ = std::fs::remove_file(&path);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Appends to a partial file what it lacks and checks the whole.
    async fn fill(
        &self,
        client: &Client,
        reference: &ImageReference,
        blob: &Descriptor,
        partial: &mut File,
        on_event: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<u64, StoreError> {
        let path = self.ingest().join(blob.digest.hex());
        let failed = |source| StoreError::Registry { reference: reference.to_string(), source };
        let (hasher, offset) =
            hash_partial(partial, blob.size).map_err(StoreError::io("read", &path))?;
        on_event(PullEvent::Begun(blob.clone(), offset));
        let mut reader =
            client.resume_blob(reference, blob, offset, hasher).await.map_err(failed)?;
        let mut came = 0;
        while let Some(chunk) = reader.next().await {
            let chunk = chunk.map_err(failed)?;
            partial.write_all(&chunk).map_err(StoreError::io("write", &path))?;
            came += chunk.len() as u64;
        }
        Ok(came)
    }
}

/// The manifests to keep, children before parents, and the one that the name stands for.
async fn select(
    client: &Client,
    reference: &ImageReference,
    platform: Option<&Platform>,
) -> Result<(Vec<FetchedManifest>, Descriptor), RegistryError> {
    let root = client.get_manifest(reference).await?;
    let Manifest::Index(index) = root.parse()? else {
        let descriptor = root.descriptor.clone();
        return Ok((vec![root], descriptor));
    };
    let child = |digest: Digest| reference.name_only().with_digest(digest);
    if let Some(platform) = platform {
        let Some(entry) = candidates(&index.manifests, platform).first().copied().cloned() else {
            let shown = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            return Err(RegistryError::Platform {
                what: reference.to_string(),
                wanted: platform.to_string(),
                available: shown.map(ToString::to_string).collect::<Vec<_>>().join(", "),
            });
        };
        let manifest = client.get_manifest(&child(entry.digest)).await?;
        let mut descriptor = manifest.descriptor.clone();
        descriptor.platform = entry.platform;
        return Ok((vec![manifest], descriptor));
    }
    let descriptor = root.descriptor.clone();
    let mut found = vec![root];
    let mut open: Vec<Digest> = index.manifests.iter().map(|entry| entry.digest).collect();
    while let Some(digest) = open.pop() {
        if found.iter().any(|manifest| manifest.descriptor.digest == digest) {
            continue;
        }
        let manifest = client.get_manifest(&child(digest)).await?;
        if let Manifest::Index(index) = manifest.parse()? {
            open.extend(index.manifests.iter().map(|entry| entry.digest));
        }
        found.push(manifest);
    }
    found.reverse();
    Ok((found, descriptor))
}

/// A reference by digest alone is kept under the digest's short form as tag.
fn stored_name(reference: &ImageReference) -> ImageReference {
    match (reference.tag(), reference.digest()) {
        (None, Some(digest)) => {
            let name = reference.name_only();
            name.with_tag(&format!("sha256-{}", digest.hex())).unwrap_or(name)
        }
        (Some(tag), Some(_)) => reference.with_tag(tag).unwrap_or_else(|_| reference.clone()),
        _ => reference.clone().tag_name_only(),
    }
}

/// Opens a partial download for this process alone; another one that has it is waited for.
async fn lock_partial(path: &Path) -> Result<File, StoreError> {
    let path = path.to_path_buf();
    let open = move || {
        loop {
            let options =
                || File::options().create(true).truncate(false).read(true).write(true).open(&path);
            let file = options().map_err(StoreError::io("open", &path))?;
            file.lock().map_err(StoreError::io("lock", &path))?;
            // Whoever held the lock may have moved the file to its place.
            let same = std::fs::metadata(&path).is_ok_and(|there| {
                use std::os::unix::fs::MetadataExt as _;
                file.metadata().is_ok_and(|own| own.ino() == there.ino())
            });
            if same {
                return Ok(file);
            }
        }
    };
    match tokio::task::spawn_blocking(open).await {
        Ok(result) => result,
        Err(error) => {
            let path = Path::new("ingest");
            Err(StoreError::io("lock", path)(std::io::Error::other(error)))
        }
    }
}

/// Hashes what is there, and leaves the file at its end. What is too long is thrown away.
fn hash_partial(partial: &mut File, size: u64) -> std::io::Result<(Sha256, u64)> {
    if partial.metadata()?.len() > size {
        partial.set_len(0)?;
    }
    partial.rewind()?;
    let (mut hasher, mut offset) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = partial.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher, offset));
        }
        hasher.update(&buffer[..read]);
        offset += read as u64;
    }
}
