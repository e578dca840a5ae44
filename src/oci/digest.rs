//! Content digests as OCI writes them: `sha256:<64 lower-case hex digits>`.
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// What a digest starts with.
const PREFIX: &str = "sha256:";

/// A `sha256` digest of some bytes, kept as its 32 raw bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// The algorithm is none that kitwright computes.
    #[error("digest `{0}` does not start with `sha256:`")]
    Algorithm(String),
    /// The hash is not 64 lower-case hexadecimal digits.
    #[error("digest `{0}` does not have 64 lower-case hexadecimal digits after `sha256:`")]
    Hex(String),
}

impl Digest {
    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes over a finished hash.
    #[must_use]
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The raw hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        text(&self.written())[PREFIX.len()..].to_owned()
    }

    /// The whole digest, in ASCII.
    fn written(&self) -> [u8; PREFIX.len() + 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut written = [0; PREFIX.len() + 64];
        written[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
        for (pair, byte) in written[PREFIX.len()..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        written
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once: a text that a digest is turned into is allocated once.
        f.write_str(text(&self.written()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex =
            text.strip_prefix(PREFIX).ok_or_else(|| DigestError::Algorithm(text.to_owned()))?;
        let bad = || DigestError::Hex(text.to_owned());
        if hex.len() != 64 {
            return Err(bad());
        }
        // Looked up and checked at the end, without a branch: status messages are mostly digests.
        let (mut hash, mut seen) = ([0; 32], 0);
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            seen |= high | low;
            *byte = high << 4 | low;
        }
        if seen == NO_DIGIT { Err(bad()) } else { Ok(Self(hash)) }
    }
}

/// What a byte that is no digit stands for; no digits together make it.
const NO_DIGIT: u8 = 0xff;

/// The value of each hexadecimal digit.
const NIBBLES: [u8; 256] = {
    let (mut nibbles, mut value) = ([NO_DIGIT; 256], 0);
    while value < 16 {
        nibbles[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    nibbles
};

/// What [`Digest::written`] made; digits and letters are always text.
fn text(written: &[u8]) -> &str {
    std::str::from_utf8(written).unwrap_or_default()
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_the_digest_of_nothing() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn refuses_other_algorithms_lengths_and_upper_case() {
        assert_eq!("sha512:00".parse::<Digest>(), Err(DigestError::Algorithm("sha512:00".into())));
        let odd = |odd: &str| format!("sha256:{}{odd}", "0".repeat(64 - odd.len()));
        for bad in ["sha256:00".to_owned(), odd("A"), odd("g"), odd("ä"), odd("f/"), odd(":f")] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError::Hex(bad)));
        }
    }
}
