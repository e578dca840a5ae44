//! Heredocs: `<<EOF` behind `RUN`, `COPY` and `ADD`.

use super::expand::{ExpandError, Lexer};
use super::text;

/// A heredoc's head, and its contents once they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// The name, which is also the line that ends it.
    pub name: String,
    /// Whether variables inside are expanded: not when any part of the name is quoted.
    pub expand: bool,
    /// Whether it is `<<-`, which removes leading tabs.
    pub chomp: bool,
    /// The lines between, with their ends.
    pub content: Vec<u8>,
}

/// A lexer that changes nothing but splits words: the escape token is `\` in any file.
const SPLITTER: Lexer =
    Lexer { raw_quotes: true, raw_escapes: true, skip_unset: true, ..Lexer::new('\\') };

const NAME: Lexer = Lexer { skip_unset: true, ..Lexer::new('\\') };

/// Returns the heads of the heredocs that `line` announces.
///
/// # Errors
///
/// [`ExpandError`] when the name of one cannot be read.
pub(crate) fn heads(line: &[u8]) -> Result<Vec<Heredoc>, ExpandError> {
    // A line whose quotes are wrong announces none; the shell will tell.
    let words = SPLITTER.words(&text::to_str(line), &()).unwrap_or_default();
    let mut heads = Vec::new();
    for word in words {
        heads.extend(head(&word)?);
    }
    Ok(heads)
}

/// Reads one word as the head of a heredoc; `None` when it is none.
///
/// # Errors
///
/// [`ExpandError`] when the name cannot be read.
pub(crate) fn head(word: &str) -> Result<Option<Heredoc>, ExpandError> {
    let Some((chomp, name)) = split_head(word) else { return Ok(None) };
    let mut words = NAME.words(name, &())?;
    let (Some(plain), true) = (words.pop(), words.is_empty()) else { return Ok(None) };
    let raw = Lexer { raw_quotes: true, ..NAME }.words(name, &())?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let raw_quotes = raw.first().map_or(0, |raw| quotes(raw));
    let expand = quotes(&plain) == raw_quotes;
    Ok(Some(Heredoc { name: plain, expand, chomp, content: Vec::new() }))
}

/// Splits `3<<-NAME`; the number, a file descriptor, means nothing to a build.
fn split_head(word: &str) -> Option<(bool, &str)> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
    (!name.is_empty() && !name.contains('<')).then_some((chomp, name))
}

/// Removes the tabs in front of every line.
pub(crate) fn chomp(content: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let tabs = line.iter().take_while(|byte| **byte == b'\t').count();
        result.extend_from_slice(&line[tabs..]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<(String, bool, bool)> {
        let heads = heads(line.as_bytes()).unwrap();
        heads.into_iter().map(|head| (head.name, head.expand, head.chomp)).collect()
    }

    #[test]
    fn heads_are_found() {
        assert_eq!(found("RUN <<EOF"), [("EOF".into(), true, false)]);
        assert_eq!(
            found("RUN cat 3<<-\"EOF\" <<'B C'"),
            [("EOF".into(), false, true), ("B C".into(), false, false)]
        );
        assert_eq!(found("COPY << EOF /x"), [("EOF".into(), true, false)]);
        assert_eq!(found("RUN <<E\"O\"F"), [("EOF".into(), false, false)]);
        assert_eq!(found("RUN <<$X"), [("$X".into(), true, false)]);
    }

    #[test]
    fn other_words_are_none() {
        for line in [
            "RUN cat <<<x",
            "RUN echo a<<b",
            "RUN \"<<EOF\"",
            "RUN echo \\<<EOF",
            "RUN <<",
            "RUN <<''",
            "RUN '<<EOF",
        ] {
            assert_eq!(found(line), [], "{line}");
        }
    }

    #[test]
    fn tabs_are_chomped() {
        assert_eq!(chomp(b"\t\ta\n\tb\tc\n\t\n \td"), b"a\nb\tc\n\n \td");
    }
}
