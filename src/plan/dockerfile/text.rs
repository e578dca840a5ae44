//! Bytes and characters as the Dockerfile grammar sees them.
//!
//! A Dockerfile is bytes. BuildKit reads characters out of it where it must and takes each byte
//! that is not UTF-8 for one U+FFFD; whitespace is Unicode's, except where it looks at single
//! bytes.

use std::borrow::Cow;

/// Decodes the first character; a byte that is no UTF-8 is U+FFFD and one byte long.
pub(crate) fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let longest = bytes.len().min(4);
    for length in 2..=longest {
        if let Ok(text) = std::str::from_utf8(&bytes[..length]) {
            return text.chars().next().map(|c| (c, length));
        }
    }
    Some((char::REPLACEMENT_CHARACTER, 1))
}

/// Decodes the last character; a byte that is no UTF-8 is U+FFFD and one byte long.
pub(crate) fn decode_last(bytes: &[u8]) -> Option<(char, usize)> {
    let last = *bytes.last()?;
    if last < 0x80 {
        return Some((char::from(last), 1));
    }
    for length in 2..=bytes.len().min(4) {
        if let Ok(text) = std::str::from_utf8(&bytes[bytes.len() - length..]) {
            return text.chars().next().map(|c| (c, length));
        }
    }
    Some((char::REPLACEMENT_CHARACTER, 1))
}

/// Yields the characters of `bytes`.
pub(crate) fn chars(bytes: &[u8]) -> impl Iterator<Item = char> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (c, length) = decode(rest)?;
        rest = &rest[length..];
        Some(c)
    })
}

/// Returns `bytes` as text, with U+FFFD for each byte that is not UTF-8.
pub(crate) fn to_str(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(chars(bytes).collect()),
    }
}

/// Returns `bytes` as an owned text, with U+FFFD for each byte that is not UTF-8.
pub(crate) fn to_string(bytes: &[u8]) -> String {
    to_str(bytes).into_owned()
}

/// Removes whitespace from the front.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let Some((c, length)) = decode(bytes)
        && c.is_whitespace()
    {
        bytes = &bytes[length..];
    }
    bytes
}

/// Removes whitespace from the end.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((c, length)) = decode_last(bytes)
        && c.is_whitespace()
    {
        bytes = &bytes[..bytes.len() - length];
    }
    bytes
}

/// Removes whitespace from both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Tells whether a byte, taken alone for a Latin-1 character, is whitespace.
///
/// BuildKit reads flags, and the first word of `HEALTHCHECK`, byte by byte.
pub(crate) fn is_latin1_space(byte: u8) -> bool {
    char::from(byte).is_whitespace()
}

/// Tells whether a byte separates words in the grammar's plain splitting.
pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x0b | 0x0c | b'\r' | b' ')
}

/// Splits at the first run of separators; `None` without one.
pub(crate) fn split_once_separators(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = bytes.iter().position(|byte| is_separator(*byte))?;
    let rest = &bytes[start..];
    let length = rest.iter().position(|byte| !is_separator(*byte)).unwrap_or(rest.len());
    Some((&bytes[..start], &rest[length..]))
}

/// Lowers each character that has a lower form of one character.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    Cow::Owned(text.chars().map(lower_char).collect())
}

/// Raises each character that has an upper form of one character.
pub(crate) fn upper(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            true => Cow::Owned(text.to_ascii_uppercase()),
            false => Cow::Borrowed(text),
        };
    }
    Cow::Owned(text.chars().map(upper_char).collect())
}

fn lower_char(c: char) -> char {
    // U+0130 is the one character whose full lower form is longer than its simple one.
    if c == '\u{130}' { 'i' } else { c.to_lowercase().next().unwrap_or(c) }
}

fn upper_char(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

/// Compares ignoring case, one character with one character.
pub(crate) fn equal_fold(left: &str, right: &str) -> bool {
    let fold = |c: char| lower_char(upper_char(c));
    left.eq_ignore_ascii_case(right) || left.chars().map(fold).eq(right.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_byte_is_one_replacement() {
        assert_eq!(to_str(b"a\xe2\x82z"), "a\u{fffd}\u{fffd}z");
        assert_eq!(to_str("ä€".as_bytes()), "ä€");
        assert_eq!(decode_last("€".as_bytes()), Some(('€', 3)));
        assert_eq!(decode_last(b"\xe2\x82"), Some(('\u{fffd}', 1)));
    }

    #[test]
    fn trims_unicode_whitespace() {
        assert_eq!(trim("\u{a0} a b \u{2003}\t".as_bytes()), b"a b");
        assert_eq!(trim(b" \n "), b"");
    }

    #[test]
    fn splits_once() {
        assert_eq!(split_once_separators(b"a \t b c"), Some((&b"a"[..], &b"b c"[..])));
        assert_eq!(split_once_separators(b" a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(split_once_separators(b"a"), None);
    }

    #[test]
    fn folds_case_simply() {
        assert_eq!(lower("MA\u{130}N\u{212a}"), "maink");
        assert!(equal_fold("A\u{17f}", "as"));
        assert_eq!(upper("straße"), "STRAßE");
    }
}
