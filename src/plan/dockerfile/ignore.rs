//! `.dockerignore`: which files of a context no instruction sees.

use super::text;
use crate::plan::pattern;

/// The longest line that is read, as in a Dockerfile.
const MAX_LINE: usize = 64 * 1024;

/// A `.dockerignore` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("line {line} of the ignore file is longer than {MAX_LINE} bytes")]
pub struct IgnoreError {
    line: usize,
}

/// Reads the patterns of a `.dockerignore`, in order, for
/// [`Patterns::parse`](pattern::Patterns::parse).
///
/// Comments and empty lines are left out; paths are cleaned and relative to the context, whether
/// they start with `/` or not. A pattern that is none is found when it is parsed.
///
/// # Errors
///
/// [`IgnoreError`] for a line that is too long.
pub fn parse(text: &[u8]) -> Result<Vec<String>, IgnoreError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut patterns = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if line.len() >= MAX_LINE {
            return Err(IgnoreError { line: number });
        }
        if line.starts_with(b"#") {
            continue;
        }
        let line = text::to_str(text::trim(line));
        match line.strip_prefix('!') {
            _ if line.is_empty() => {}
            Some(path) => patterns.push(format!("!{}", relative(path.trim()))),
            None => patterns.push(relative(&line)),
        }
    }
    Ok(patterns)
}

/// Cleans a path and takes it for one in the context.
fn relative(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let cleaned = pattern::clean(path);
    match cleaned.strip_prefix('/') {
        Some(relative) if !relative.is_empty() => relative.to_owned(),
        _ => cleaned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_patterns() {
        let text = "\u{feff}# comment\n\n a/../b// \r\n/c/d\n! /e\n!\n/\n #f\n\u{a0}g\n../h\n";
        let patterns = parse(text.as_bytes()).unwrap();
        assert_eq!(patterns, ["b", "c/d", "!e", "!", "/", "#f", "g", "../h"]);
    }

    #[test]
    fn a_long_line_is_refused() {
        let text = format!("a\n{}", "x".repeat(MAX_LINE));
        assert_eq!(parse(text.as_bytes()), Err(IgnoreError { line: 2 }));
    }
}
