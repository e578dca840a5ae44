//! Referrers: the manifests that say something about another one.
//!
//! Registries of the 1.1 specification list them; for the others the specification keeps an index
//! under the tag `sha256-<hex>`, which the clients themselves maintain.
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Method};

use super::scope::{PULL, Scopes};
use super::tag::next_page;
use super::transport::{Call, Wire};
use super::{Client, Precondition, RegistryError, path};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageIndex, Manifest, ManifestError, media};
use crate::oci::reference::ImageReference;

/// The largest page that is read.
const PAGE_LIMIT: u64 = 8 << 20;

impl Client {
    /// Lists the referrers of the manifest `digest` in a reference's repository.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer. A manifest without referrers, and one
    /// that does not exist, have an empty list.
    pub async fn referrers(
        &self,
        reference: &ImageReference,
        digest: Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let wire = self.upstream(reference)?;
        let mut found = match listed(&wire, reference, digest, artifact_type).await? {
            Some(found) => found,
            None => self.tagged_referrers(reference, digest).await?,
        };
        // Registries need not filter.
        found.retain(|entry| {
            artifact_type.is_none_or(|wanted| entry.artifact_type.as_deref() == Some(wanted))
        });
        Ok(found)
    }

    async fn tagged_referrers(
        &self,
        reference: &ImageReference,
        digest: Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let tag = fallback_tag(reference, digest);
        let Some(fetched) = self.get_upstream_manifest(&tag).await? else { return Ok(Vec::new()) };
        match fetched.parse()? {
            Manifest::Index(index) => Ok(index.manifests),
            // Somebody's image happens to have that tag.
            Manifest::Image(_) => Ok(Vec::new()),
        }
    }

    /// Adds a manifest to its subject's fallback tag, if it has a subject at all.
    pub(super) async fn add_referrer(
        &self,
        reference: &ImageReference,
        media_type: &str,
        bytes: &Bytes,
        digest: Digest,
    ) -> Result<(), RegistryError> {
        let Ok(manifest) = Manifest::parse(Some(media_type), bytes) else { return Ok(()) };
        let Some(subject) = manifest.subject() else { return Ok(()) };
        // A registry may keep the list and not say so.
        let wire = self.upstream(reference)?;
        let kept = listed(&wire, reference, subject.digest, None).await?;
        if kept.is_some_and(|kept| kept.iter().any(|other| other.digest == digest)) {
            return Ok(());
        }
        let mut entry = Descriptor::new(media_type, digest, bytes.len() as u64);
        entry.annotations = manifest.annotations().clone();
        entry.artifact_type = match &manifest {
            Manifest::Image(image) => {
                Some(image.artifact_type.as_ref().unwrap_or(&image.config.media_type).clone())
            }
            Manifest::Index(index) => index.artifact_type.clone(),
        };
        let mut known = self.tagged_referrers(reference, subject.digest).await?;
        if known.iter().any(|other| other.digest == digest) {
            return Ok(());
        }
        known.push(entry);
        let tag = fallback_tag(reference, subject.digest);
        let bytes = serde_json::to_vec(&ImageIndex::new(known)).map_err(|source| {
            let source = ManifestError::Json { media_type: media::OCI_INDEX.to_owned(), source };
            RegistryError::Manifest { what: tag.to_string(), source }
        })?;
        // The index has no subject, so this does not come back here.
        Box::pin(self.put_manifest(&tag, media::OCI_INDEX, bytes.into(), Precondition::None))
            .await
            .map(drop)
    }
}

/// The list that the registry keeps; `None` when it keeps none.
async fn listed(
    wire: &Wire,
    reference: &ImageReference,
    digest: Digest,
    artifact_type: Option<&str>,
) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let query: Vec<_> = artifact_type.map(|kind| ("artifactType", kind)).into_iter().collect();
    let mut url = wire.host.url(&path(reference, &format!("referrers/{digest}")), &query)?;
    let mut found = Vec::new();
    loop {
        let scopes = Scopes::on(reference.repository(), PULL);
        let what = format!("{}@{digest}", reference.name());
        let call = Call::new(Method::GET, url.clone(), &what, reference.repository(), scopes)
            .header(ACCEPT, media::OCI_INDEX);
        let page = |headers: &HeaderMap, bytes: Bytes| {
            let next = next_page(wire, &url, headers)?;
            Ok((Manifest::parse(Some(media::OCI_INDEX), &bytes).ok(), next))
        };
        let (page, next) = match wire.fetch(&call, PAGE_LIMIT, page).await {
            Ok(page) => page,
            Err(error) if keeps_no_list(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A registry without the list may answer anything, even a web page.
        let Some(Manifest::Index(index)) = page else { return Ok(None) };
        found.extend(index.manifests);
        match next {
            Some(next) => url = next,
            None => return Ok(Some(found)),
        }
    }
}

fn keeps_no_list(error: &RegistryError) -> bool {
    match error {
        RegistryError::NotFound { .. } => true,
        RegistryError::Status { source, .. } => {
            matches!(source.status.as_u16(), 400 | 405 | 406 | 501)
        }
        _ => false,
    }
}

fn fallback_tag(reference: &ImageReference, digest: Digest) -> ImageReference {
    let name = reference.name_only();
    // The tag is within the grammar whatever the digest is.
    name.with_tag(&format!("sha256-{}", digest.hex())).unwrap_or(name)
}
