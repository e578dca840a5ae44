//! The local image store: an OCI image layout in kitwright's state folder.
//!
//! Any tool that reads OCI layouts can read it: `index.json` names the images by their full
//! references, `blobs/sha256/` holds the content. Writers put blobs in place by renaming them after
//! they have been verified, and rewrite the index under a lock. Whoever brings content holds the
//! store's lock shared, so that the garbage collector, which needs it alone, never takes blobs that
//! an image is about to name.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::digest::Digest;
use super::manifest::{Descriptor, ImageIndex, ImageManifest, Manifest, REF_NAME};
use super::reference::ImageReference;
use super::registry::{FetchedManifest, RegistryError};

mod archive;
mod error;
pub mod layout;
mod pull;

pub use archive::ArchiveKind;
pub use error::StoreError;
pub use pull::{PullEvent, Pulled};

/// The content of a layout's `oci-layout` file.
const LAYOUT_VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotation under which containerd keeps an image's name, for tools that look for it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A folder with images.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoredImage {
    /// Its name.
    pub reference: ImageReference,
    /// What the name stands for.
    pub descriptor: Descriptor,
}

/// What a garbage collection has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Blobs and unfinished downloads that were removed.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the garbage collector out while it lives.
#[derive(Debug)]
pub struct StoreGuard {
    _file: File,
}

impl Store {
    /// Opens the store in `root` and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_path_buf() };
        for folder in [store.blobs(), store.ingest()] {
            std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        }
        let layout = root.join("oci-layout");
        if !layout.exists() {
            replace(&layout, LAYOUT_VERSION.as_bytes())?;
        }
        Ok(store)
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// Where a blob is, or would be.
    #[must_use]
    pub fn blob_path(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Whether a blob is there in full length. Its content was verified before it got its name.
    #[must_use]
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        let found = std::fs::metadata(self.blob_path(descriptor.digest));
        found.is_ok_and(|found| found.is_file() && found.len() == descriptor.size)
    }

    /// Keeps the garbage collector out. To be held from the first blob to the tag.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the lock file cannot be made.
    pub fn guard(&self) -> Result<StoreGuard, StoreError> {
        let (file, path) = self.lock_file("lock")?;
        file.lock_shared().map_err(StoreError::io("lock", &path))?;
        Ok(StoreGuard { _file: file })
    }

    fn lock_file(&self, name: &str) -> Result<(File, PathBuf), StoreError> {
        let path = self.root.join(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        Ok((file.map_err(StoreError::io("open", &path))?, path))
    }

    /// Puts bytes into the store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when they cannot be written.
    pub fn write_blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::of(media_type, bytes);
        if !self.has_blob(&descriptor) {
            replace(&self.blob_path(descriptor.digest), bytes)?;
        }
        Ok(descriptor)
    }

    /// Reads a small blob, verified.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] or [`StoreError::Digest`] when it is not there, or not any more.
    pub fn read_blob(&self, digest: Digest) -> Result<Bytes, StoreError> {
        let path = self.blob_path(digest);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { path: self.root.clone(), digest },
            _ => StoreError::io("read", &path)(error),
        })?;
        let found = Digest::of(&bytes);
        if found == digest {
            return Ok(bytes.into());
        }
        Err(StoreError::Digest { path: self.root.clone(), expected: digest, found })
    }

    /// Reads a manifest as the transfer to a registry wants it.
    pub(super) fn manifest(&self, entry: &Descriptor) -> Result<FetchedManifest, RegistryError> {
        let bytes = self.read_blob(entry.digest).map_err(|error| RegistryError::Source {
            what: entry.digest.to_string(),
            source: io::Error::other(error.to_string()),
        })?;
        let descriptor = Descriptor::new(&entry.media_type, entry.digest, entry.size);
        Ok(FetchedManifest { descriptor, bytes })
    }

    fn parse(&self, entry: &Descriptor) -> Result<Manifest, StoreError> {
        let bytes = self.read_blob(entry.digest)?;
        Manifest::parse(Some(&entry.media_type), &bytes).map_err(|source| StoreError::Manifest {
            digest: entry.digest,
            path: self.root.clone(),
            source,
        })
    }

    /// All images, by name.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when the index cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        let mut images: Vec<StoredImage> = self
            .read_index()?
            .manifests
            .into_iter()
            .filter_map(|mut descriptor| {
                let name = descriptor.annotations.remove(REF_NAME)?;
                descriptor.annotations.remove(CONTAINERD_NAME);
                Some(StoredImage { reference: name.parse().ok()?, descriptor })
            })
            .collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }

    /// Finds an image by its name, or by its name and digest.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoImage`] when there is none of that name.
    pub fn find(&self, reference: &ImageReference) -> Result<StoredImage, StoreError> {
        let wanted = reference.clone().tag_name_only();
        let matches = |image: &StoredImage| match wanted.digest() {
            Some(digest) => {
                image.descriptor.digest == digest && image.reference.same_repository(&wanted)
            }
            None => image.reference == wanted,
        };
        let missing = || StoreError::NoImage(wanted.familiar());
        self.list()?.into_iter().find(matches).ok_or_else(missing)
    }

    /// Names an image. Its content must be there; the guard must be held since it came.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when the index cannot be written.
    pub fn tag(
        &self,
        _guard: &StoreGuard,
        reference: &ImageReference,
        descriptor: &Descriptor,
    ) -> Result<(), StoreError> {
        let name = reference.clone().tag_name_only().to_string();
        self.change_index(|entries| {
            entries.retain(|entry| entry.annotations.get(REF_NAME) != Some(&name));
            let mut entry = descriptor.clone();
            entry.annotations.insert(REF_NAME.to_owned(), name.clone());
            entry.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
            entries.push(entry);
        })
    }

    /// Forgets a name; the content stays until [`Store::collect_garbage`].
    ///
    /// # Errors
    ///
    /// [`StoreError::NoImage`] when there is none of that name.
    pub fn untag(&self, reference: &ImageReference) -> Result<(), StoreError> {
        let name = self.find(reference)?.reference.to_string();
        self.change_index(|entries| {
            entries.retain(|entry| entry.annotations.get(REF_NAME) != Some(&name));
        })
    }

    /// Removes all content that no image names.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when an image cannot be read: what it names is unknown, so nothing is
    /// removed then.
    pub fn collect_garbage(&self) -> Result<Collected, StoreError> {
        let (file, path) = self.lock_file("lock")?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        let mut named = BTreeSet::new();
        for entry in self.read_index()?.manifests {
            self.walk(&entry, &mut |descriptor| {
                named.insert(descriptor.digest.hex());
            })?;
        }
        let mut collected = Collected::default();
        for folder in [self.blobs(), self.ingest()] {
            let entries = std::fs::read_dir(&folder).map_err(StoreError::io("list", &folder))?;
            for entry in entries {
                let entry = entry.map_err(StoreError::io("list", &folder))?;
                if folder == self.blobs() && named.contains(&*entry.file_name().to_string_lossy()) {
                    continue;
                }
                collected.bytes += entry.metadata().map_or(0, |found| found.len());
                let path = entry.path();
                // An import that was cut off leaves a folder.
                let removed = if path.is_dir() {
                    std::fs::remove_dir_all(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                removed.map_err(StoreError::io("remove", &path))?;
                collected.removed += 1;
            }
        }
        Ok(collected)
    }

    /// Visits a manifest and all below it, children before their parents.
    ///
    /// A child that is not there is passed over: an image may have come for one platform only.
    fn walk(
        &self,
        entry: &Descriptor,
        visit: &mut dyn FnMut(&Descriptor),
    ) -> Result<(), StoreError> {
        match self.parse(entry)? {
            Manifest::Image(image) => {
                let ImageManifest { config, layers, .. } = *image;
                layers.iter().chain([&config]).for_each(&mut *visit);
            }
            Manifest::Index(index) => {
                for child in index.manifests.iter().filter(|child| self.has_blob(child)) {
                    self.walk(child, visit)?;
                }
            }
        }
        visit(entry);
        Ok(())
    }

    fn read_index(&self) -> Result<ImageIndex, StoreError> {
        read_index(&self.root.join("index.json"))
    }

    fn change_index(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<(), StoreError> {
        let (file, path) = self.lock_file("index.lock")?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        let mut index = self.read_index()?;
        change(&mut index.manifests);
        let path = self.root.join("index.json");
        let bytes = serde_json::to_vec(&index)
            .map_err(|source| StoreError::Json { path: path.clone(), source })?;
        replace(&path, &bytes)
    }
}

/// Reads a layout's index; a layout that has none has no images.
fn read_index(path: &Path) -> Result<ImageIndex, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Json { path: path.to_path_buf(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ImageIndex::new(Vec::new())),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Writes a file beside its place and renames it there: nobody ever sees half of it.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_data()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(StoreError::io("write", path))
}

#[cfg(test)]
mod tests;
