//! Lock files: base images pinned to digests, with the configs that compiling needs.
//!
//! `gen.Dockerfile.lock` beside `gen.Dockerfile` names every base image of the file for every platform
//! it is built for. With it a Dockerfile compiles to the same bytes anywhere, without a network.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dockerfile::resolver::{
    ImagePlace, ImageQuery, ImageResolver, ResolveError, ResolvedImage,
};
use crate::oci::config::ImageConfig;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;

/// The version of the format.
const VERSION: u32 = 1;

const HEADER: &str = "# Base images pinned by `kitwright lock`: the digest of each reference, and the \
                      config of its image\n# for one platform. `kitwright lock --update` writes it \
                      again.\n";

/// The images of a lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    images: BTreeMap<(String, String), LockedImage>,
}

/// What a lock file knows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedImage {
    /// What the reference points to.
    pub digest: Digest,
    /// The config of the image, with the fields that matter to compiling.
    pub config: ImageConfig,
}

/// A text that is no lock file.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LockError {
    /// It is not TOML, or has other fields.
    #[error("the lock file cannot be read")]
    #[diagnostic(help("write it again with `kitwright lock`"))]
    Syntax(#[source] toml::de::Error),
    /// Another version of kitwright wrote it.
    #[error("the lock file has version {0}, and this kitwright reads version {VERSION}")]
    #[diagnostic(help("write it again with `kitwright lock`"))]
    Version(u32),
    /// An entry that makes no sense.
    #[error("the lock file's entry of `{reference}` for {platform} cannot be used: {reason}")]
    #[diagnostic(help("write it again with `kitwright lock --update {reference}`"))]
    Entry {
        /// The image.
        reference: String,
        /// The platform.
        platform: String,
        /// What is wrong.
        reason: String,
    },
}

/// The file as TOML.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    image: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reference: String,
    platform: String,
    digest: String,
    config: String,
}

impl LockFile {
    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// [`LockError`] names the entry that cannot be used.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let document: Document = toml::from_str(text).map_err(LockError::Syntax)?;
        if document.version != VERSION {
            return Err(LockError::Version(document.version));
        }
        let mut lock = Self::default();
        for entry in document.image {
            let bad = |reason: String| LockError::Entry {
                reference: entry.reference.clone(),
                platform: entry.platform.clone(),
                reason,
            };
            let reference =
                ImageReference::parse(&entry.reference).map_err(|error| bad(error.to_string()))?;
            let platform =
                Platform::parse(&entry.platform).map_err(|error| bad(error.to_string()))?;
            let digest = entry.digest.parse().map_err(|error| bad(format!("{error}")))?;
            let config = ImageConfig::parse(entry.config.as_bytes())
                .map_err(|error| bad(format!("its config is broken: {error}")))?;
            lock.insert(&reference.to_string(), &platform, LockedImage { digest, config });
        }
        Ok(lock)
    }

    /// The text of the file, in the order of references and platforms.
    #[must_use]
    pub fn render(&self) -> String {
        let entry = |((reference, platform), image): (&(String, String), &LockedImage)| Entry {
            reference: reference.clone(),
            platform: platform.clone(),
            digest: image.digest.to_string(),
            config: String::from_utf8(image.config.to_json()).unwrap_or_default(),
        };
        let document =
            Document { version: VERSION, image: self.images.iter().map(entry).collect() };
        let text = toml::to_string(&document).unwrap_or_default();
        format!("{HEADER}{text}")
    }

    /// Pins an image.
    pub fn insert(&mut self, reference: &str, platform: &Platform, image: LockedImage) {
        self.images.insert(key(reference, platform), image);
    }

    /// The pinned image, if there is one.
    #[must_use]
    pub fn get(&self, reference: &str, platform: &Platform) -> Option<&LockedImage> {
        self.images.get(&key(reference, platform))
    }

    /// All images: reference, platform, and what is known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &LockedImage)> {
        self.images.iter().map(|((reference, platform), image)| (&**reference, &**platform, image))
    }

    /// Whether nothing is pinned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

fn key(reference: &str, platform: &Platform) -> (String, String) {
    (reference.to_owned(), platform.normalize().to_string())
}

/// Answers from the file alone: an image of a registry that it lacks is an error.
///
/// Images in OCI layouts are on this machine already and need no pinning.
impl ImageResolver for LockFile {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        if query.place != ImagePlace::Registry {
            return Ok(None);
        }
        let Some(image) = self.get(&query.reference, &query.platform) else {
            return Err(ResolveError {
                reference: query.reference.clone(),
                platform: query.platform.to_string(),
                reason: "the lock file does not have it".to_owned(),
                help: Some("add it with `kitwright lock`".to_owned()),
                environment: false,
            });
        };
        let config = image.config.to_json().into();
        Ok(Some(ResolvedImage { reference: None, digest: image.digest, config }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::dockerfile::options::ResolveMode;

    fn sample() -> LockFile {
        let config = ImageConfig::parse(
            br#"{"os":"linux","architecture":"arm","history":[{"created_by":"RUN echo 'a\nb' \"c\" \\ <"}],
                "rootfs":{"type":"layers","diff_ids":["sha256:1"]}}"#,
        );
        let image = LockedImage { digest: Digest::of(b"x"), config: config.unwrap() };
        let mut lock = LockFile::default();
        for (reference, platform) in
            [("docker.io/library/b:1", "linux/arm"), ("docker.io/library/a:1", "linux/amd64")]
        {
            lock.insert(reference, &Platform::parse(platform).unwrap(), image.clone());
        }
        lock
    }

    #[test]
    fn is_read_as_it_was_written_in_a_stable_order() {
        let text = sample().render();
        assert_eq!(LockFile::parse(&text).unwrap(), sample());
        assert!(text.find("library/a:1").unwrap() < text.find("library/b:1").unwrap(), "{text}");
        assert!(text.contains("platform = \"linux/arm/v7\""), "{text}");
    }

    #[test]
    fn answers_for_what_it_has_and_refuses_the_rest() {
        let lock = sample();
        let mut query = ImageQuery {
            reference: "docker.io/library/b:1".to_owned(),
            platform: Platform::parse("linux/arm/v7").unwrap(),
            mode: ResolveMode::Default,
            place: ImagePlace::Registry,
            name: String::new(),
        };
        assert_eq!(lock.resolve(&query).unwrap().unwrap().digest, Digest::of(b"x"));
        query.platform = Platform::parse("linux/arm64").unwrap();
        let error = lock.resolve(&query).unwrap_err();
        assert!(
            error.to_string().contains("linux/arm64: the lock file does not have it"),
            "{error}"
        );
        query.place = ImagePlace::OciLayout { store: "x".to_owned(), digest: Digest::of(b"") };
        assert!(lock.resolve(&query).unwrap().is_none());
    }

    #[test]
    fn refuses_other_files() {
        for bad in [
            "",
            "version = 2",
            "version = 1\nother = 1",
            "version = 1\n[[image]]\nreference = 'a'\nplatform = 'linux/amd64'\ndigest = 'x'\nconfig = '{}'",
            "version = 1\n[[image]]\nreference = 'a'\nplatform = 'linux/*'\ndigest = 'x'\nconfig = '{}'",
        ] {
            assert!(LockFile::parse(bad).is_err(), "{bad}");
        }
    }
}
