//! Answers the compiler's questions about base images: from OCI layouts, the lock file, registries.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::fault::chain;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, RegistryError};
use crate::oci::store::layout;
use crate::plan::dockerfile::resolver::{
    ImagePlace, ImageQuery, ImageResolver, KnownImages, ResolveError, ResolvedImage,
};
use crate::plan::lock::LockFile;

/// Where images are looked up.
pub(super) struct Images {
    registry: Client,
    /// OCI layouts by the name under which the session offers them.
    layouts: BTreeMap<String, PathBuf>,
    known: KnownImages,
    /// What is pinned, when nothing else may be used.
    lock: Option<LockFile>,
}

impl Images {
    pub(super) fn new(registry: Client, layouts: BTreeMap<String, PathBuf>) -> Self {
        Self { registry, layouts, known: KnownImages::new(), lock: None }
    }

    /// Looks images of registries up in `lock` alone.
    pub(super) fn locked(self, lock: LockFile) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// What has been looked up so far.
    pub(super) const fn known(&self) -> &KnownImages {
        &self.known
    }

    /// Keeps an answer that comes from elsewhere, such as a lock file.
    pub(super) fn insert(&mut self, query: &ImageQuery, image: ResolvedImage) {
        self.known.insert(query, Ok(image));
    }

    /// Looks all `queries` up at once.
    pub(super) async fn look_up(&mut self, queries: &[ImageQuery]) {
        let answers = join_all(queries.iter().map(|query| self.answer(query))).await;
        for (query, answer) in queries.iter().zip(answers) {
            self.known.insert(query, answer);
        }
    }

    async fn answer(&self, query: &ImageQuery) -> Result<ResolvedImage, ResolveError> {
        if let Some(lock) = &self.lock
            && let Some(image) = lock.resolve(query)?
        {
            return Ok(image);
        }
        match &query.place {
            ImagePlace::Registry => self.in_registry(query).await,
            ImagePlace::OciLayout { store, digest } => self.in_layout(query, store, *digest),
        }
    }

    async fn in_registry(&self, query: &ImageQuery) -> Result<ResolvedImage, ResolveError> {
        let failed = |reason: String, environment| ResolveError {
            reference: query.reference.clone(),
            platform: query.platform.to_string(),
            reason,
            help: None,
            environment,
        };
        let reference = ImageReference::parse(&query.reference)
            .map_err(|error| failed(error.to_string(), false))?;
        let resolved = self.registry.resolve(&reference, &query.platform).await;
        let resolved = resolved.map_err(|error| ResolveError {
            help: help(&error, &query.reference),
            ..failed(chain(&error), !error.is_not_found())
        })?;
        Ok(ResolvedImage { reference: None, digest: resolved.root.digest, config: resolved.config })
    }

    fn in_layout(
        &self,
        query: &ImageQuery,
        store: &str,
        digest: Digest,
    ) -> Result<ResolvedImage, ResolveError> {
        let failed = |reason: String| ResolveError {
            reference: query.reference.clone(),
            platform: query.platform.to_string(),
            reason,
            help: None,
            environment: false,
        };
        let unknown = || failed(format!("no OCI layout is offered under the name `{store}`"));
        let layout = self.layouts.get(store).ok_or_else(unknown)?;
        let config = layout_config(layout, digest, &query.platform).map_err(failed)?;
        Ok(ResolvedImage { reference: None, digest, config })
    }
}

fn help(error: &RegistryError, reference: &str) -> Option<String> {
    if error.is_not_found() {
        return Some(format!("check the name and tag of `{reference}`"));
    }
    error.is_retryable().then(|| {
        "try again, name a mirror with `--registry-mirror`, or give the image as \
         `--build-context NAME=oci-layout://DIR:TAG`"
            .to_owned()
    })
}

/// Reads the config of the image for `platform` below `digest` in a layout.
pub(super) fn layout_config(
    layout: &Path,
    digest: Digest,
    platform: &Platform,
) -> Result<Bytes, String> {
    let read = || {
        let image = layout::image(layout, digest, platform)?;
        layout::read(layout, image.config.digest)
    };
    read().map_err(|error: std::io::Error| chain(&error))
}
