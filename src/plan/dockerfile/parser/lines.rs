//! Physical lines.

/// Walks the lines of a text, as far as BuildKit reads it.
pub(super) struct Lines<'s> {
    text: &'s [u8],
    at: usize,
    /// The number of the line returned last.
    pub number: u32,
    /// Whether a line was too long, which ends the walk.
    pub too_long: bool,
}

impl<'s> Lines<'s> {
    pub fn new(text: &'s [u8]) -> Self {
        Self { text, at: 0, number: 0, too_long: false }
    }

    /// Returns where the next line starts.
    pub fn offset(&self) -> usize {
        self.at
    }

    pub fn text(&self) -> &'s [u8] {
        self.text
    }

    /// Returns the next line with its end; the first one without a byte order mark.
    pub fn next(&mut self) -> Option<&'s [u8]> {
        let rest = &self.text[self.at..];
        if rest.is_empty() || self.too_long {
            return None;
        }
        let longest = &rest[..rest.len().min(super::MAX_LINE + 1)];
        let length = match longest.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() <= super::MAX_LINE => rest.len(),
            None => {
                self.too_long = true;
                return None;
            }
        };
        self.at += length;
        self.number += 1;
        let line = &rest[..length];
        if self.number > 1 {
            return Some(line);
        }
        Some(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line))
    }
}

/// Removes the end of a line.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &line[..end.map_or(0, |last| last + 1)]
}

/// Removes the escape token at the end of a line that goes on in the next one; `None` when it does
/// not. An escaped escape token continues nothing.
pub(super) fn trim_continuation(line: &[u8], escape: u8) -> Option<&[u8]> {
    let last = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'))?;
    let escaped = last > 0 && line[last - 1] == escape;
    (line[last] == escape && !escaped).then_some(&line[..last])
}
