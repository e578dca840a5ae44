//! Image archives: importing OCI layouts, writing OCI and Docker archives.
//!
//! Archives are deterministic: sorted, without times and owners. A Docker archive is an OCI archive
//! with Docker's `manifest.json` beside it, as `docker save` writes it, so both kinds of reader
//! understand it.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{LAYOUT_VERSION, Store, StoreError, StoredImage, layout, read_index};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageIndex, Manifest, REF_NAME, candidates};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;

/// The form of a written archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI image layout.
    Oci,
    /// The same with a `manifest.json` that `docker load` reads.
    Docker,
}

impl Store {
    /// Imports all images of an OCI layout, a folder or a tar archive of one.
    ///
    /// An image gets the name that the layout gives it, or `name` when it has only one image.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when the layout is broken; then no image was named.
    pub fn import(
        &self,
        path: &Path,
        name: Option<&ImageReference>,
    ) -> Result<Vec<StoredImage>, StoreError> {
        let guard = self.guard()?;
        let not_a_layout = |reason: &str| StoreError::NotALayout {
            path: path.to_path_buf(),
            reason: reason.to_owned(),
        };
        let unpacked;
        let folder = if path.is_dir() {
            path
        } else {
            unpacked = tempfile::tempdir_in(self.ingest())
                .map_err(StoreError::io("create", &self.ingest()))?;
            unpack(path, unpacked.path())?;
            unpacked.path()
        };
        if !folder.join("index.json").is_file() {
            return Err(not_a_layout("it has no `index.json`"));
        }
        let entries = read_index(&folder.join("index.json"))?.manifests;
        let mut images = Vec::new();
        for entry in &entries {
            let reference = match name {
                Some(name) if entries.len() == 1 => name.clone().tag_name_only(),
                _ => name_of(entry).ok_or_else(|| not_a_layout("an image in it has no name"))?,
            };
            self.import_tree(folder, path, entry)?;
            let mut descriptor = entry.clone();
            descriptor.annotations = BTreeMap::new();
            images.push(StoredImage { reference, descriptor });
        }
        for image in &images {
            self.tag(&guard, &image.reference, &image.descriptor)?;
        }
        Ok(images)
    }

    /// Copies a manifest and all below it out of an unpacked layout.
    fn import_tree(
        &self,
        folder: &Path,
        shown: &Path,
        root: &Descriptor,
    ) -> Result<(), StoreError> {
        let mut open = vec![(root.clone(), true)];
        while let Some((entry, is_manifest)) = open.pop() {
            let source = layout::blob(folder, entry.digest);
            if !self.has_blob(&entry) {
                self.import_blob(&source, shown, &entry)?;
            }
            if !is_manifest {
                continue;
            }
            match self.parse(&entry)? {
                Manifest::Image(image) => {
                    open.extend(image.layers.into_iter().chain([image.config]).map(|b| (b, false)));
                }
                Manifest::Index(index) => {
                    open.extend(index.manifests.into_iter().map(|child| (child, true)));
                }
            }
        }
        Ok(())
    }

    fn import_blob(
        &self,
        source: &Path,
        shown: &Path,
        entry: &Descriptor,
    ) -> Result<(), StoreError> {
        let path = || shown.to_path_buf();
        let mut from = File::open(source).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { path: path(), digest: entry.digest },
            _ => StoreError::io("read", source)(error),
        })?;
        let ingest = self.ingest();
        let mut to =
            tempfile::NamedTempFile::new_in(&ingest).map_err(StoreError::io("create", &ingest))?;
        let found =
            copy_hashed(&mut from, to.as_file_mut()).map_err(StoreError::io("copy", source))?;
        if found != entry.digest {
            return Err(StoreError::Digest { path: path(), expected: entry.digest, found });
        }
        let place = self.blob_path(entry.digest);
        to.as_file().sync_data().map_err(StoreError::io("write", &place))?;
        to.persist(&place).map_err(|error| StoreError::io("create", &place)(error.error))?;
        Ok(())
    }

    /// Writes an image as an archive.
    ///
    /// A Docker archive holds one image: that of `platform` when the name stands for an index.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] when the image is not there in full or the archive cannot be written.
    pub fn export(
        &self,
        reference: &ImageReference,
        kind: ArchiveKind,
        platform: &Platform,
        out: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let _guard = self.guard()?;
        let image = self.find(reference)?;
        let mut root = image.descriptor.clone();
        let name = image.reference.to_string();
        let mut files = BTreeMap::new();
        if kind == ArchiveKind::Docker {
            let (manifest, document) = self.docker_manifest(&image, platform)?;
            root = manifest;
            files.insert("manifest.json".to_owned(), document);
        }
        root.annotations.insert(REF_NAME.to_owned(), name);
        let index = serde_json::to_vec(&ImageIndex::new(vec![root.clone()]))
            .map_err(|source| StoreError::Json { path: self.root.clone(), source })?;
        files.insert("index.json".to_owned(), index);
        files.insert("oci-layout".to_owned(), LAYOUT_VERSION.as_bytes().to_vec());
        let mut blobs = BTreeMap::new();
        self.walk(&root, &mut |blob| {
            blobs.insert(blob.digest, blob.size);
        })?;
        let target = PathBuf::from("the archive");
        let mut tar = tar::Builder::new(out);
        for digest in blobs.keys() {
            let path = self.blob_path(*digest);
            let file = File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    StoreError::Missing { path: self.root.clone(), digest: *digest }
                }
                _ => StoreError::io("read", &path)(error),
            })?;
            let size = file.metadata().map_err(StoreError::io("read", &path))?.len();
            let name = format!("blobs/sha256/{}", digest.hex());
            append(&mut tar, &name, size, file).map_err(StoreError::io("write", &target))?;
        }
        for (name, bytes) in &files {
            append(&mut tar, name, bytes.len() as u64, bytes.as_slice())
                .map_err(StoreError::io("write", &target))?;
        }
        tar.finish().map_err(StoreError::io("write", &target))
    }

    /// The manifest of the one image that a Docker archive can hold, and Docker's words for it.
    fn docker_manifest(
        &self,
        image: &StoredImage,
        platform: &Platform,
    ) -> Result<(Descriptor, Vec<u8>), StoreError> {
        let refused =
            |reason: String| StoreError::NotDocker { image: image.reference.familiar(), reason };
        let mut descriptor = image.descriptor.clone();
        let mut manifest = self.parse(&descriptor)?;
        if let Manifest::Index(index) = &manifest {
            let found = candidates(&index.manifests, platform);
            let Some(child) = found.into_iter().find(|child| self.has_blob(child)) else {
                return Err(refused(format!("it has no image for `{platform}`")));
            };
            descriptor = child.clone();
            manifest = self.parse(&descriptor)?;
        }
        let Manifest::Image(found) = manifest else {
            return Err(refused("it is an index of indexes".to_owned()));
        };
        let place = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.hex());
        let document = serde_json::json!([{
            "Config": place(&found.config),
            "RepoTags": [image.reference.familiar()],
            "Layers": found.layers.iter().map(place).collect::<Vec<_>>(),
        }]);
        Ok((descriptor, document.to_string().into_bytes()))
    }
}

/// The name of an image in a layout: a whole reference. A bare tag names no repository.
fn name_of(entry: &Descriptor) -> Option<ImageReference> {
    ["io.containerd.image.name", REF_NAME].iter().find_map(|key| {
        let name = entry.annotations.get(*key)?;
        name.contains(['/', ':']).then(|| name.parse().ok()).flatten()
    })
}

/// Unpacks a layout: its three kinds of file and nothing else, wherever the archive would put them.
fn unpack(path: &Path, into: &Path) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    let blobs = into.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(StoreError::io("create", &blobs))?;
    let not_a_layout = |error: io::Error| StoreError::NotALayout {
        path: path.to_path_buf(),
        reason: format!("it is no tar archive ({error})"),
    };
    let mut tar = tar::Archive::new(file);
    for entry in tar.entries().map_err(not_a_layout)? {
        let mut entry = entry.map_err(not_a_layout)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(not_a_layout)?.to_string_lossy().into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name);
        let target = match name.strip_prefix("blobs/sha256/") {
            Some(hex) if format!("sha256:{hex}").parse::<Digest>().is_ok() => blobs.join(hex),
            None if matches!(name, "index.json" | "oci-layout") => into.join(name),
            _ => continue,
        };
        let mut to = File::create(&target).map_err(StoreError::io("create", &target))?;
        io::copy(&mut entry, &mut to).map_err(StoreError::io("write", &target))?;
    }
    Ok(())
}

fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

fn append(
    tar: &mut tar::Builder<&mut dyn Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, content)
}
