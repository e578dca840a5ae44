//! What a compilation must know of base images, and how it asks.
//!
//! The compiler does no I/O. It asks an [`ImageResolver`]; what that does not know yet is collected
//! and handed back, so that the caller can look everything up at once and compile again.
use std::collections::BTreeMap;

use bytes::Bytes;

use super::options::ResolveMode;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;

/// A question about an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageQuery {
    /// The image in full form: registry, repository, and a tag, a digest or both.
    pub reference: String,
    /// The platform it is for.
    pub platform: Platform,
    /// How it is looked up.
    pub mode: ResolveMode,
    /// Where it is.
    pub place: ImagePlace,
    /// The name under which the look-up is shown to people.
    pub name: String,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImagePlace {
    /// In the registry that its reference names.
    Registry,
    /// In an OCI layout of the client.
    OciLayout {
        /// The name under which the session offers the layout.
        store: String,
        /// The manifest or index.
        digest: Digest,
    },
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The reference that takes the place of the one asked for, when something redirects it.
    pub reference: Option<String>,
    /// What the reference points to now: the index of a multi-platform image.
    pub digest: Digest,
    /// The config of the image for the platform asked for, as JSON.
    pub config: Bytes,
}

/// Why an image cannot be used.
#[derive(Debug, Clone, thiserror::Error, miette::Diagnostic)]
#[error("cannot resolve image `{reference}` for {platform}: {reason}")]
pub struct ResolveError {
    /// The image asked for.
    pub reference: String,
    /// The platform asked for.
    pub platform: String,
    /// What went wrong.
    pub reason: String,
    /// What to do about it.
    #[help]
    pub help: Option<String>,
    /// Whether the environment is to blame (network, credentials) rather than the Dockerfile.
    pub environment: bool,
}

/// Answers questions about images from what is known, without waiting for anything.
pub trait ImageResolver {
    /// What is known of the image; `None` if it has not been looked up yet.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] when it has been looked up and cannot be used.
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError>;
}

/// Answers from a map, which is filled as answers arrive.
#[derive(Debug, Clone, Default)]
pub struct KnownImages {
    answers: BTreeMap<(String, String, ImagePlace), Result<ResolvedImage, ResolveError>>,
}

impl KnownImages {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the answer to `query`.
    pub fn insert(&mut self, query: &ImageQuery, answer: Result<ResolvedImage, ResolveError>) {
        self.answers.insert(key(query), answer);
    }
}

/// What decides the answer: not how it is looked up, nor what people see.
fn key(query: &ImageQuery) -> (String, String, ImagePlace) {
    (query.reference.clone(), query.platform.normalize().to_string(), query.place.clone())
}

impl ImageResolver for KnownImages {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        self.answers.get(&key(query)).cloned().transpose()
    }
}
