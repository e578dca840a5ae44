//! Manifests at a registry: their heads, their bytes, writing and removing them.
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};

use super::scope::{DELETE, PULL, PULL_PUSH, Scopes};
use super::transport::{Body, Call, Wire};
use super::{Client, RegistryError, path};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Manifest, media};
use crate::oci::reference::ImageReference;

/// The largest manifest that is read; the specification lets registries refuse more than 4 MiB.
const MANIFEST_LIMIT: u64 = 8 << 20;
/// The header in which registries name a manifest's digest.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";
/// The header with which a registry says that it lists a manifest as its subject's referrer.
const OCI_SUBJECT: &str = "oci-subject";

/// A manifest as it came: its bytes are its identity.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// Type, digest and size of the bytes.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Bytes,
}

impl FetchedManifest {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Manifest`] when it is none that kitwright can read.
    pub fn parse(&self) -> Result<Manifest, RegistryError> {
        Manifest::parse(Some(&self.descriptor.media_type), &self.bytes).map_err(|source| {
            RegistryError::Manifest { what: self.descriptor.digest.to_string(), source }
        })
    }
}

/// What a tag must point at for a write to happen, at registries that honour such conditions.
///
/// Most registries ignore them: a caller who needs certainty reads before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Write whatever is there.
    None,
    /// Write only over this manifest.
    Matches(Digest),
    /// Write only when there is nothing.
    Absent,
}

impl Client {
    /// Asks what a reference points at, without fetching it; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer.
    pub async fn head_manifest(
        &self,
        reference: &ImageReference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let found = self.read(reference, |wire| async move {
            let call = request(&wire, Method::HEAD, reference, PULL)?;
            let response = wire.send(&call).await?;
            head(reference, response.headers())
        });
        match found.await {
            Ok(Some(descriptor)) => Ok(Some(descriptor)),
            // A registry that does not tell the digest in the head has to send the bytes.
            Ok(None) => Ok(Some(self.get_manifest(reference).await?.descriptor)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same from the registry itself, for what must not come from a mirror's memory.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer.
    pub async fn head_upstream_manifest(
        &self,
        reference: &ImageReference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let wire = self.upstream(reference)?;
        let call = request(&wire, Method::HEAD, reference, PULL)?;
        let response = match wire.send(&call).await {
            Ok(response) => response,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        match head(reference, response.headers())? {
            Some(descriptor) => Ok(Some(descriptor)),
            None => Ok(self.get_upstream_manifest(reference).await?.map(|m| m.descriptor)),
        }
    }

    /// Whether the registry itself has a manifest.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer.
    pub async fn has_manifest(&self, reference: &ImageReference) -> Result<bool, RegistryError> {
        let wire = self.upstream(reference)?;
        match wire.send(&request(&wire, Method::HEAD, reference, PULL)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest or an index, verified.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when it does not exist, does not come or is not what its digest says.
    pub async fn get_manifest(
        &self,
        reference: &ImageReference,
    ) -> Result<FetchedManifest, RegistryError> {
        self.read(reference, |wire| async move { get(&wire, reference).await }).await
    }

    /// The same from the registry itself, for what must not come from a mirror's memory.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when it does not exist, does not come or is not what its digest says.
    pub async fn get_upstream_manifest(
        &self,
        reference: &ImageReference,
    ) -> Result<Option<FetchedManifest>, RegistryError> {
        match get(&self.upstream(reference)?, reference).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a manifest under a reference's tag, or under its digest when the reference has no tag.
    ///
    /// A manifest with a subject becomes its referrer, also at registries that keep no such list.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry refuses it, for example because a blob or child is
    /// missing; [`RegistryError::Changed`] when `precondition` does not hold.
    pub async fn put_manifest(
        &self,
        reference: &ImageReference,
        media_type: &str,
        bytes: Bytes,
        precondition: Precondition,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let wire = self.upstream(reference)?;
        let tag = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let url = wire.host.url(&path(reference, &format!("manifests/{tag}")), &[])?;
        let scopes = Scopes::on(reference.repository(), PULL_PUSH);
        let what = reference.to_string();
        let mut call = Call::new(Method::PUT, url, &what, reference.repository(), scopes)
            .header(CONTENT_TYPE, media_type)
            .body(Body::Bytes(bytes.clone()));
        call = match precondition {
            Precondition::None => call,
            Precondition::Matches(digest) => call.header(IF_MATCH, &format!("\"{digest}\"")),
            Precondition::Absent => call.header(IF_NONE_MATCH, "*"),
        };
        let response = match wire.send(&call).await {
            Ok(response) => response,
            Err(RegistryError::Status { source, .. })
                if source.status == StatusCode::PRECONDITION_FAILED =>
            {
                return Err(RegistryError::Changed { what });
            }
            Err(error) => return Err(error),
        };
        let found = named_digest(response.headers());
        if let Some(found) = found.filter(|found| *found != digest) {
            return Err(RegistryError::Digest { what, expected: digest, found });
        }
        if !response.headers().contains_key(OCI_SUBJECT) {
            self.add_referrer(reference, media_type, &bytes, digest).await?;
        }
        Ok(digest)
    }

    /// Removes a manifest by its digest, or a tag where the registry can do that.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when it is not there or the registry does not remove.
    pub async fn delete_manifest(&self, reference: &ImageReference) -> Result<(), RegistryError> {
        let wire = self.upstream(reference)?;
        let call = request(&wire, Method::DELETE, reference, DELETE)?;
        wire.send(&call).await.map(drop)
    }
}

fn request<'a>(
    wire: &Wire,
    method: Method,
    reference: &'a ImageReference,
    actions: &str,
) -> Result<Call<'a>, RegistryError> {
    let selector = reference.selector();
    let url = wire.host.url(&path(reference, &format!("manifests/{selector}")), &[])?;
    let scopes = Scopes::on(reference.repository(), actions);
    let call = Call::new(method, url, &reference.to_string(), reference.repository(), scopes);
    Ok(call.header(ACCEPT, media::ACCEPT_MANIFESTS))
}

async fn get(wire: &Wire, reference: &ImageReference) -> Result<FetchedManifest, RegistryError> {
    let call = request(wire, Method::GET, reference, PULL)?;
    wire.fetch(&call, MANIFEST_LIMIT, |headers, bytes| check(reference, headers, bytes)).await
}

/// Holds the bytes against the digest that was asked for, or else the one the registry names.
fn check(
    reference: &ImageReference,
    headers: &HeaderMap,
    bytes: Bytes,
) -> Result<FetchedManifest, RegistryError> {
    let found = Digest::of(&bytes);
    let expected = reference.digest().or_else(|| named_digest(headers)).unwrap_or(found);
    if expected != found {
        return Err(RegistryError::Digest { what: reference.to_string(), expected, found });
    }
    let media_type = match content_type(headers) {
        Some(kind) if media::is_index(&kind) || media::is_image_manifest(&kind) => kind,
        // Some registries serve manifests as plain JSON: the document knows.
        _ => match Manifest::parse(None, &bytes) {
            Ok(manifest) => manifest.media_type().to_owned(),
            Err(source) => {
                return Err(RegistryError::Manifest { what: reference.to_string(), source });
            }
        },
    };
    let descriptor = Descriptor::new(&media_type, found, bytes.len() as u64);
    Ok(FetchedManifest { descriptor, bytes })
}

fn head(
    reference: &ImageReference,
    headers: &HeaderMap,
) -> Result<Option<Descriptor>, RegistryError> {
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let (Some(found), Some(kind), Some(length)) =
        (named_digest(headers), content_type(headers), length)
    else {
        return Ok(None);
    };
    match reference.digest() {
        Some(expected) if expected != found => {
            Err(RegistryError::Digest { what: reference.to_string(), expected, found })
        }
        _ => Ok(Some(Descriptor::new(&kind, found, length))),
    }
}

fn named_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}
