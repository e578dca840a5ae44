//! The lines at the top of a Dockerfile that speak to its reader: `# syntax=`, `# escape=` and
//! `# check=`.

use super::source::LineRange;
use super::text;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A directive's value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What is behind `=`, trimmed.
    pub value: String,
    /// Its line.
    pub lines: LineRange,
}

impl Directive {
    /// Returns the value up to the first space: the image of `# syntax=`.
    pub fn first_word(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }
}

/// The directives of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`, the frontend the file asks for (see [`detect_syntax`]).
    pub syntax: Option<Directive>,
    /// `# escape=`.
    pub escape: Option<Directive>,
    /// `# check=`, the lint options.
    pub check: Option<Directive>,
}

impl Directives {
    /// Reads the directives at the top of `text`, behind a byte order mark and a `#!` line.
    ///
    /// The parser itself takes `escape` only without a `#!` line above.
    pub fn read(text: &[u8]) -> Self {
        let (text, first) = skip_shebang(text.strip_prefix(BOM).unwrap_or(text));
        let mut directives = Self::default();
        for (name, directive) in scan(text, b"#", first) {
            let place = match name {
                Name::Syntax => &mut directives.syntax,
                Name::Escape => &mut directives.escape,
                Name::Check => &mut directives.check,
            };
            *place = Some(directive);
        }
        directives
    }
}

/// Returns the frontend that a file asks for.
///
/// Besides `# syntax=`, which may stand behind a `#!` line, the file may say `// syntax=` or be a
/// JSON object with a member `syntax`: what a frontend reads need not be a Dockerfile.
pub fn detect_syntax(text: &[u8]) -> Option<Directive> {
    let (text, first) = skip_shebang(text.strip_prefix(BOM).unwrap_or(text));
    let syntax = |found: Vec<(Name, Directive)>| {
        found.into_iter().find(|(name, _)| *name == Name::Syntax).map(|(_, directive)| directive)
    };
    syntax(scan(text, b"#", first))
        .or_else(|| syntax(scan(text, b"//", first)))
        .or_else(|| syntax_member(text, first))
}

fn syntax_member(text: &[u8], first: u32) -> Option<Directive> {
    if text::trim_start(text).first() != Some(&b'{') {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    let value = object.get("syntax")?.as_str()?.to_owned();
    Some(Directive { value, lines: LineRange::line(first) })
}

/// Cuts a `#!` line off; returns the rest and the number of its first line.
fn skip_shebang(text: &[u8]) -> (&[u8], u32) {
    if !text.starts_with(b"#!") {
        return (text, 1);
    }
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[end + 1..], 2),
        None => (&[], 2),
    }
}

fn scan(text: &[u8], comment: &[u8], first: u32) -> Vec<(Name, Directive)> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for (number, line) in (first..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match reader.read(line, comment) {
            Read::Directive(name, value) => {
                let directive = Directive { value, lines: LineRange::line(number) };
                found.push((name, directive));
            }
            Read::Nothing | Read::Repeated(_) => break,
        }
    }
    found
}

/// A directive that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Syntax,
    Escape,
    Check,
}

impl Name {
    fn new(name: &[u8]) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case(b"syntax") => Some(Self::Syntax),
            _ if name.eq_ignore_ascii_case(b"escape") => Some(Self::Escape),
            _ if name.eq_ignore_ascii_case(b"check") => Some(Self::Check),
            _ => None,
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Escape => "escape",
            Self::Check => "check",
        }
    }
}

/// What a line at the top of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Directive(Name, String),
    Repeated(Name),
    Nothing,
}

/// Reads directives line by line, until the first line that is none.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    seen: [bool; 3],
    done: bool,
}

impl Reader {
    /// Reads the next line, which has no line end.
    pub(crate) fn read(&mut self, line: &[u8], comment: &[u8]) -> Read {
        if self.done {
            return Read::Nothing;
        }
        let Some((name, value)) = split(line, comment) else {
            self.done = true;
            return Read::Nothing;
        };
        if std::mem::replace(&mut self.seen[name as usize], true) {
            return Read::Repeated(name);
        }
        Read::Directive(name, text::to_string(value))
    }
}

/// Reads the value of a `check=` directive in a comment (without its `#`).
pub(crate) fn check_in_comment(comment: &str) -> Option<String> {
    match split(comment.as_bytes(), b"") {
        Some((Name::Check, value)) => Some(text::to_string(value)),
        _ => None,
    }
}

fn split<'l>(line: &'l [u8], comment: &[u8]) -> Option<(Name, &'l [u8])> {
    let line = text::trim_start(line.strip_prefix(comment)?);
    let end = line.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let name = Name::new(&line[..end])?;
    let value = skip_spaces(&line[end..]).strip_prefix(b"=")?;
    if value.is_empty() {
        return None;
    }
    let trimmed = trim_spaces_end(skip_spaces(value));
    // A value of nothing but spaces is its last one.
    Some((name, if trimmed.is_empty() { &value[value.len() - 1..] } else { trimmed }))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn trim_spaces_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(text: &str) -> Option<(String, u32)> {
        detect_syntax(text.as_bytes()).map(|found| (found.value, found.lines.start))
    }

    fn found(value: &str, line: u32) -> Option<(String, u32)> {
        Some((value.to_owned(), line))
    }

    #[test]
    fn syntax_is_found_in_every_form() {
        assert_eq!(syntax("# syntax=a/b:1\nFROM x"), found("a/b:1", 1));
        assert_eq!(syntax("#Syntax = a --x \r\nFROM x"), found("a --x", 1));
        assert_eq!(syntax("\u{feff}#syntax=a"), found("a", 1));
        assert_eq!(syntax("#!/bin/x\n# escape=`\n# syntax=a\n"), found("a", 3));
        assert_eq!(syntax("// syntax=a\n{}"), found("a", 1));
        assert_eq!(syntax("{\"syntax\": \"a\", \"b\": [1]}"), found("a", 1));
    }

    #[test]
    fn syntax_is_not_found_below_anything_else() {
        assert_eq!(syntax("\n# syntax=a"), None);
        assert_eq!(syntax("# a comment\n# syntax=a"), None);
        assert_eq!(syntax(" # syntax=a"), None);
        assert_eq!(syntax("# syntax=\n"), None);
        assert_eq!(syntax("{\"syntax\": 1}"), None);
        assert_eq!(syntax("FROM a"), None);
    }

    #[test]
    fn the_first_word_is_the_image() {
        let found = detect_syntax(b"# syntax=a/b --flag").unwrap();
        assert_eq!(found.first_word(), "a/b");
    }

    #[test]
    fn all_directives_are_read() {
        let read = Directives::read(b"# check=skip=all\n# escape=`\n# other=1\n# syntax=a");
        assert_eq!(read.check.map(|found| found.value).as_deref(), Some("skip=all"));
        assert_eq!(read.escape.map(|found| found.lines.start), Some(2));
        assert_eq!(read.syntax, None);
    }

    #[test]
    fn a_check_in_a_comment_is_read() {
        assert_eq!(
            check_in_comment("check=skip=X;error=true").as_deref(),
            Some("skip=X;error=true")
        );
        assert_eq!(check_in_comment("checks=1"), None);
    }
}
