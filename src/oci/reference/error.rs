//! What is wrong with a text that should be an image reference.
use super::super::digest::DigestError;
use crate::fault::{Classified, Fault};

/// A text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ReferenceError {
    /// There is nothing before the tag or the digest, or nothing at all.
    #[error("image reference `{reference}` has no repository name")]
    #[diagnostic(help("write it as `[registry/]repository[:tag][@sha256:digest]`"))]
    NoName {
        /// The whole text.
        reference: String,
    },
    /// The text is 64 hexadecimal digits, which name an image of a daemon and no repository.
    #[error("image reference `{reference}` is an image id, not a repository name")]
    #[diagnostic(help("write the repository's name, or `repository@sha256:{reference}`"))]
    ImageId {
        /// The whole text.
        reference: String,
    },
    /// A repository name is lower case by definition.
    #[error("image reference `{reference}` has upper-case letters in its repository name")]
    #[diagnostic(help("write `{lower}` in lower case"))]
    UpperCase {
        /// The whole text.
        reference: String,
        /// The repository name as it could be.
        lower: String,
    },
    /// The part before the first slash is meant as a host and is none.
    #[error("image reference `{reference}` names `{registry}`, which is not a registry host")]
    #[diagnostic(help("write a host name or address with an optional port, such as `ghcr.io`"))]
    Registry {
        /// The whole text.
        reference: String,
        /// What stands for the host.
        registry: String,
    },
    /// A path component of the repository name breaks the grammar.
    #[error("image reference `{reference}` has the bad repository component `{component}`")]
    #[diagnostic(help(
        "a component is lower-case letters and digits, joined by `.`, `_`, `__` or dashes"
    ))]
    Component {
        /// The whole text.
        reference: String,
        /// The part between two slashes.
        component: String,
    },
    /// The repository name is longer than registries accept.
    #[error("image reference `{reference}` has a repository name of {length} characters")]
    #[diagnostic(help("registries accept at most 255"))]
    TooLong {
        /// The whole text.
        reference: String,
        /// The name's length.
        length: usize,
    },
    /// The tag breaks the grammar.
    #[error("image reference `{reference}` has the bad tag `{tag}`")]
    #[diagnostic(help(
        "a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two"
    ))]
    Tag {
        /// The whole text.
        reference: String,
        /// What stands after the colon.
        tag: String,
    },
    /// What follows the `@` is not a digest.
    #[error("image reference `{reference}` has a bad digest")]
    Digest {
        /// The whole text.
        reference: String,
        /// What is wrong with it.
        source: DigestError,
    },
}

impl Classified for ReferenceError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}
