//! The text of a Dockerfile: its name, its lines, and errors that point into it.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan, SpanContents};

/// The lines an instruction covers, counted from 1, both ends included.
///
/// BuildKit's `Location()` lists the same lines as one range for each line; a heredoc's body and
/// its terminator belong to the instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct LineRange {
    /// First line.
    pub start: u32,
    /// Last line.
    pub end: u32,
}

impl LineRange {
    /// Covers one line.
    pub const fn line(line: u32) -> Self {
        Self { start: line, end: line }
    }

    /// Covers `start` to `end`; an end before the start is the start.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }
}

impl fmt::Display for LineRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "line {}", self.start)
        } else {
            write!(f, "lines {}-{}", self.start, self.end)
        }
    }
}

/// A Dockerfile's name and bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    name: String,
    text: Vec<u8>,
}

impl Source {
    /// Keeps `text` under `name`, the path that messages show.
    pub fn new(name: &str, text: &[u8]) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), text: text.to_owned() }))
    }

    /// Returns the file's name as messages show it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the file's bytes as they were read.
    pub fn text(&self) -> &[u8] {
        &self.0.text
    }

    /// Returns where the lines of `lines` stand in the text, without the last line's end.
    pub fn bytes_of(&self, lines: LineRange) -> std::ops::Range<usize> {
        let mut starts = std::iter::once(0).chain(memchr_lines(self.text()));
        let first = lines.start.max(1) as usize - 1;
        let start = starts.nth(first).unwrap_or(self.text().len());
        let rest = &self.text()[start..];
        let count = (lines.end.max(lines.start).max(1) - lines.start.max(1)) as usize;
        let end = memchr_lines(rest).nth(count).map_or(self.text().len(), |next| start + next - 1);
        start..end.max(start)
    }
}

/// Yields the offset behind each newline.
fn memchr_lines(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}, {} bytes)", self.name(), self.text().len())
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text().read_span(span, lines_before, lines_after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name().to_owned(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

/// An error together with the Dockerfile lines that caused it.
///
/// It displays as `Dockerfile:3: <error>`; as a [`Diagnostic`] it labels the lines and passes on
/// the code and help of the error inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<E> {
    /// The Dockerfile.
    pub source: Source,
    /// The lines at fault; line 0 when it is the file as a whole.
    pub lines: LineRange,
    /// What is wrong with them.
    pub error: E,
}

impl<E: fmt::Display> fmt::Display for Located<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines.start {
            0 => write!(f, "{}: {}", self.source.name(), self.error),
            line => write!(f, "{}:{line}: {}", self.source.name(), self.error),
        }
    }
}

impl<E: std::error::Error> std::error::Error for Located<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The inner error is part of the message already: only its cause is left to tell.
        self.error.source()
    }
}

impl<E: Diagnostic> Diagnostic for Located<E> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help()
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.url()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.lines.start == 0 {
            return None;
        }
        let bytes = self.source.bytes_of(self.lines);
        let span = (bytes.start, bytes.len());
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, span))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_the_text() {
        let source = Source::new("Dockerfile", b"FROM a\nRUN b\n\nRUN c");
        let text = |start, end| {
            let bytes = source.bytes_of(LineRange::new(start, end));
            String::from_utf8_lossy(&source.text()[bytes]).into_owned()
        };
        assert_eq!(text(1, 1), "FROM a");
        assert_eq!(text(1, 2), "FROM a\nRUN b");
        assert_eq!(text(3, 3), "");
        assert_eq!(text(4, 4), "RUN c");
        assert_eq!(text(9, 12), "");
        assert_eq!(text(0, 0), "FROM a");
    }
}
