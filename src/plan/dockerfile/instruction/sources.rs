//! Sources and destination of `ADD` and `COPY`.

use super::{SourceContent, SourcesAndDest};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::heredoc::{self, Heredoc};

/// Splits the last word off.
///
/// # Errors
///
/// [`ParseError::NoDestination`] when there is but one.
pub(super) fn split_sources(
    mut words: Vec<String>,
    instruction: &'static str,
) -> Result<(Vec<String>, String), ParseError> {
    match words.pop() {
        Some(dest) if !words.is_empty() => Ok((words, dest)),
        _ => Err(ParseError::NoDestination { instruction }),
    }
}

/// Tells sources that are heredocs from paths, and joins them with their contents.
///
/// # Errors
///
/// [`ParseError::MisplacedHeredoc`] for a heredoc as the destination.
pub(super) fn sources_and_dest(
    sources: Vec<String>,
    dest: String,
    heredocs: Vec<Heredoc>,
    instruction: &'static str,
) -> Result<SourcesAndDest, ParseError> {
    // A word that only looks like a heredoc is a path.
    let head = |word: &str| match word.contains("<<") {
        true => heredoc::head(word).ok().flatten(),
        false => None,
    };
    if head(&dest).is_some() {
        return Err(ParseError::MisplacedHeredoc { instruction, place: "a destination" });
    }
    let mut files = SourcesAndDest { paths: Vec::new(), contents: Vec::new(), dest };
    for source in sources {
        let Some(head) = head(&source) else {
            files.paths.push(source);
            continue;
        };
        // Of two with one name, the last counts; in exec form none was read.
        let read = heredocs.iter().rev().find(|heredoc| heredoc.name == head.name);
        let content = read.map(|heredoc| heredoc.content.as_slice()).unwrap_or_default();
        let data = if head.chomp { heredoc::chomp(content) } else { content.to_vec() };
        files.contents.push(SourceContent { path: head.name, data, expand: head.expand });
    }
    Ok(files)
}
