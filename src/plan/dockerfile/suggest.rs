//! "Did you mean": the nearest of the allowed words.

use super::text::lower;

/// Edits from which on a word is no longer like another.
const TOO_FAR: usize = 3;

/// Returns the option nearest to `word`, if one is at most two edits away.
///
/// An exact match gives nothing: then the word was not what is wrong. Of several equally near
/// options the first one wins.
pub fn nearest<'o>(word: &str, options: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    let mut best = (TOO_FAR, None);
    for option in options {
        if option == word {
            return None;
        }
        if option.len().abs_diff(word.len()) > 4 * TOO_FAR {
            continue;
        }
        let distance = strsim::levenshtein(word, option);
        if distance < best.0 {
            best = (distance, Some(option));
        }
    }
    best.1
}

/// Returns the keyword nearest to `word` ignoring case, in the case of `word`.
pub fn nearest_keyword(word: &str, keywords: &[&str]) -> Option<String> {
    let lowered = lower(word);
    let options: Vec<String> =
        keywords.iter().map(|keyword| keyword.to_ascii_lowercase()).collect();
    let found = nearest(&lowered, options.iter().map(String::as_str))?;
    if lowered == word { Some(found.to_owned()) } else { Some(found.to_ascii_uppercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_near() {
        assert_eq!(nearest("bnd", ["bind", "cache"]), Some("bind"));
        assert_eq!(nearest("bind", ["bind", "bin"]), None);
        assert_eq!(nearest("mountain", ["bind", "cache"]), None);
        assert_eq!(nearest_keyword("FORM", &["FROM", "RUN"]).as_deref(), Some("FROM"));
        assert_eq!(nearest_keyword("form", &["FROM", "RUN"]).as_deref(), Some("from"));
    }
}
