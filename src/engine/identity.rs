//! Random names for builds and sessions, in the form that BuildKit gives its own.

/// The letters and digits of a name.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Returns a name of 25 characters with 125 bits of chance.
#[must_use]
pub fn random() -> String {
    let mut bytes = [0; 25];
    if getrandom::fill(&mut bytes).is_err() {
        // The kernel refuses only before it has ever had entropy; a name must just be new.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = now.map_or(0, |time| time.as_nanos()) ^ u128::from(std::process::id());
        bytes[..16].copy_from_slice(&seed.to_le_bytes());
    }
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_new_and_plain() {
        let (one, two) = (super::random(), super::random());
        assert_ne!(one, two);
        assert_eq!(one.len(), 25);
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }
}
