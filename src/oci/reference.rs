//! Image references: parsing, normalisation, familiar and full forms.
//!
//! The grammar is docker/distribution's: `[registry/]repository[:tag][@digest]`. What people write
//! short is made whole here once (`ubuntu` is `docker.io/library/ubuntu`), so that everything below
//! compares and prints one form. Parsing is a single pass by hand: it runs before every build and a
//! compiled regular expression would cost more than all the rest of it.
use std::fmt;
use std::str::FromStr;

use super::digest::Digest;

mod error;

pub use error::ReferenceError;

/// The registry that a reference without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The older name of [`DEFAULT_REGISTRY`], which still means it.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// The repository prefix of Docker Hub's official images.
const OFFICIAL_PREFIX: &str = "library/";
/// The tag that a reference without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
/// The longest repository path that registries accept.
const REPOSITORY_MAX: usize = 255;
/// The longest tag that registries accept.
const TAG_MAX: usize = 128;

/// A normalised image reference: registry and repository, a tag, a digest, or both.
///
/// `Display` prints the full form, [`ImageReference::familiar`] the short one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// Parses and normalises a reference; neither tag nor digest is made up.
    ///
    /// # Errors
    ///
    /// A [`ReferenceError`] that names the part which breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_image_id(text) {
            return Err(ReferenceError::ImageId { reference: text.to_owned() });
        }
        let (registry, rest) = split_registry(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(text, digest)?)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let repository = match registry {
            DEFAULT_REGISTRY if !path.is_empty() && !path.contains('/') => {
                format!("{OFFICIAL_PREFIX}{path}")
            }
            _ => path.to_owned(),
        };
        if check_registry(text, registry)? == RegistryKind::Component {
            check_repository(text, path, &format!("{registry}/{repository}"))?;
        } else {
            check_repository(text, path, &repository)?;
        }
        if let Some(tag) = tag {
            check_tag(text, tag)?;
        }
        let registry = registry.to_owned();
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest })
    }

    /// The registry's host and port, such as `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path at the registry, such as `library/ubuntu`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if the reference has one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference has one.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The full name without tag and digest, such as `docker.io/library/ubuntu`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The shortest name that normalises to this one, such as `ubuntu`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        let short = match self.repository.strip_prefix(OFFICIAL_PREFIX) {
            Some(short) if !short.contains('/') => short,
            _ => &self.repository,
        };
        // `docker.io/localhost/x` has no short form: without its registry it names another one.
        if split_registry(short) != (DEFAULT_REGISTRY, short) || is_image_id(short) {
            return self.name();
        }
        short.to_owned()
    }

    /// The short form as people write it, such as `ubuntu:24.04`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        self.push_suffix(&mut text);
        text
    }

    /// Adds the tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn tag_name_only(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The repository alone: the same name without tag and digest.
    #[must_use]
    pub fn name_only(&self) -> Self {
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        Self { registry, repository, tag: None, digest: None }
    }

    /// The same repository under `tag`, without a digest.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::Tag`] when `tag` breaks the grammar.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        let mut other = self.name_only();
        check_tag(&format!("{other}:{tag}"), tag)?;
        other.tag = Some(tag.to_owned());
        Ok(other)
    }

    /// The same reference pinned to `digest`; a tag stays, as a note for people.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// What the registry is asked for: the digest when there is one, else the tag or `latest`.
    #[must_use]
    pub fn selector(&self) -> String {
        match self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag().unwrap_or(DEFAULT_TAG).to_owned(),
        }
    }

    /// Whether both name the same repository at the same registry.
    #[must_use]
    pub fn same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    fn push_suffix(&self, text: &mut String) {
        use fmt::Write as _;
        if let Some(tag) = &self.tag {
            let _ = write!(text, ":{tag}");
        }
        if let Some(digest) = &self.digest {
            let _ = write!(text, "@{digest}");
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name();
        self.push_suffix(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl serde::Serialize for ImageReference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ImageReference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Splits what is a registry host off the front; without one, the default registry is meant.
///
/// The first component is a host when it is `localhost`, has a `.` or a `:`, or has upper-case
/// letters, which no repository may have.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_REGISTRY, rest)) => (DEFAULT_REGISTRY, rest),
        Some((host, rest))
            if host == "localhost"
                || host.contains(['.', ':'])
                || host.chars().any(char::is_uppercase) =>
        {
            (host, rest)
        }
        _ => (DEFAULT_REGISTRY, text),
    }
}

fn parse_digest(reference: &str, digest: &str) -> Result<Digest, ReferenceError> {
    let error = |source| ReferenceError::Digest { reference: reference.to_owned(), source };
    digest.parse().map_err(error)
}

/// What the part before the first slash is by the grammar.
#[derive(PartialEq, Eq)]
enum RegistryKind {
    /// A host or address with an optional port.
    Host,
    /// A component of a path: no host, but registries of such names (`my_registry.local`) are
    /// reached all the same.
    Component,
}

fn check_registry(reference: &str, registry: &str) -> Result<RegistryKind, ReferenceError> {
    let (host_fits, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (is_ipv6(address), port),
        None => {
            let (host, port) = registry.split_at(registry.find(':').unwrap_or(registry.len()));
            (host.split('.').all(is_host_label), port)
        }
    };
    if host_fits && is_optional_port(port) {
        return Ok(RegistryKind::Host);
    }
    if is_component(registry) {
        return Ok(RegistryKind::Component);
    }
    let (reference, registry) = (reference.to_owned(), registry.to_owned());
    Err(ReferenceError::Registry { reference, registry })
}

fn is_ipv6(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_optional_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
        None => text.is_empty(),
    }
}

fn check_repository(reference: &str, path: &str, whole: &str) -> Result<(), ReferenceError> {
    let reference = || reference.to_owned();
    if path.is_empty() {
        return Err(ReferenceError::NoName { reference: reference() });
    }
    let lower = path.to_lowercase();
    if lower != path {
        return Err(ReferenceError::UpperCase { reference: reference(), lower });
    }
    if let Some(bad) = path.split('/').find(|component| !is_component(component)) {
        return Err(ReferenceError::Component {
            reference: reference(),
            component: bad.to_owned(),
        });
    }
    if whole.len() > REPOSITORY_MAX {
        return Err(ReferenceError::TooLong { reference: reference(), length: whole.len() });
    }
    Ok(())
}

/// Whether a component is runs of `[a-z0-9]` joined by `.`, `_`, `__` or any number of dashes.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(&first), Some(&last)) = (component.as_bytes().first(), component.as_bytes().last())
    else {
        return false;
    };
    let separator_fits =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    alphanumeric(first)
        && alphanumeric(last)
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(separator_fits)
}

/// Whether registries accept `tag`: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[must_use]
pub fn is_valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn check_tag(reference: &str, tag: &str) -> Result<(), ReferenceError> {
    if is_valid_tag(tag) {
        return Ok(());
    }
    Err(ReferenceError::Tag { reference: reference.to_owned(), tag: tag.to_owned() })
}

#[cfg(test)]
mod tests;
