//! Why a promotion did not happen.
use std::time::Duration;

use super::super::digest::Digest;
use super::super::registry::RegistryError;
use crate::fault::{Classified, Fault};

/// A promotion that did not happen, or not wholly.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PromoteError {
    /// The registry failed.
    #[error("cannot promote `{reference}`")]
    Registry {
        /// What was being read or written.
        reference: String,
        /// What failed.
        #[diagnostic_source]
        source: RegistryError,
    },
    /// The source is not the image it should be.
    #[error("`{source_reference}` is `{found}`, not `{expected}`")]
    #[diagnostic(help("nothing was moved; somebody pushed another image under this name"))]
    Unexpected {
        /// The source.
        source_reference: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The source has another content key than it should.
    #[error("`{source_reference}` does not have the content key `{key}`: {reason}")]
    #[diagnostic(help(
        "nothing was moved; build the image whose key this is, or promote that one"
    ))]
    Key {
        /// The source.
        source_reference: String,
        /// The key's tag.
        key: String,
        /// Which image has the key, if any.
        reason: String,
    },
    /// A destination holds something else than it should before.
    #[error("`{reference}` is {found}, and should be {expected}")]
    #[diagnostic(help("nothing was moved to it; look what changed it, then promote again"))]
    Changed {
        /// The destination.
        reference: String,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The destination's image is newer than the source.
    #[error("`{reference}` would go backwards: it was made {current}, the source {candidate}")]
    #[diagnostic(help("nothing was moved; `--backwards` moves it all the same"))]
    Backwards {
        /// The destination.
        reference: String,
        /// When its image was made.
        current: jiff::Timestamp,
        /// When the source was made.
        candidate: jiff::Timestamp,
    },
    /// The tag was moved, and somebody else moved it right after.
    #[error("`{reference}` was moved to `{ours}`, and somebody else moved it on to {found}")]
    #[diagnostic(help("two promotions ran at once; decide which image is wanted and promote it"))]
    Overtaken {
        /// The destination.
        reference: String,
        /// Our image.
        ours: Digest,
        /// What it holds now.
        found: String,
    },
    /// Writing took so long that somebody else's update may have been overwritten unseen.
    #[error("`{reference}` was moved to `{ours}`, which took {} s", took.as_secs_f32())]
    #[diagnostic(help(
        "an update in that time may have been overwritten: see what else promoted to this tag"
    ))]
    Slow {
        /// The destination.
        reference: String,
        /// Our image.
        ours: Digest,
        /// From the last look to the answer.
        took: Duration,
    },
}

impl Classified for PromoteError {
    fn fault(&self) -> Fault {
        match self {
            Self::Registry { source, .. } => source.fault(),
            Self::Backwards { .. } => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}
