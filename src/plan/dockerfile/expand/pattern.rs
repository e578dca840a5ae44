//! Patterns behind `#`, `%` and `/`: `*` is any text, `?` any character.

use std::sync::OnceLock;

use regex::Regex;

use super::{ExpandErrorReason as Reason, MAX_EXPANDED};

/// Which of several matches to take away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    Shortest,
    Longest,
}

/// Removes what `pattern` matches at the start of `value`.
pub(super) fn trim_prefix(pattern: &str, value: &str, greed: Greed) -> Result<String, Reason> {
    let end = prefix(pattern, value, greed).map_err(|reason| invalid(pattern, reason))?;
    Ok(value[end..].to_owned())
}

/// Removes what `pattern` matches at the end of `value`.
///
/// Both are reversed: a search runs from the left, and would not find the shortest end.
pub(super) fn trim_suffix(pattern: &str, value: &str, greed: Greed) -> Result<String, Reason> {
    let trimmed = trim_prefix(&reverse_pattern(pattern), &reverse(value), greed)?;
    Ok(reverse(&trimmed))
}

/// How many steps [`glob`] may take before a regular expression is quicker.
const MAX_STEPS: usize = 1 << 16;

/// Returns where what `pattern` matches at the start of `value` ends; 0 when it matches nothing.
fn prefix(pattern: &str, value: &str, greed: Greed) -> Result<usize, String> {
    let tokens = tokens(pattern)?;
    // Regular expressions treat line ends differently, and are slow to make.
    let lines = pattern.contains('\n') || value.contains('\n');
    if lines || tokens.len().saturating_mul(value.len()) > MAX_STEPS {
        let regex = compile(&tokens, greed, true)?;
        return Ok(regex.find(value).map_or(0, |found| found.end()));
    }
    Ok(glob(&tokens, value, greed))
}

/// Follows all matches of `tokens` through `value` at once; returns the end of the one to take.
fn glob(tokens: &[Token], value: &str, greed: Greed) -> usize {
    let mut ends = vec![0];
    for token in tokens {
        let step = |at: &usize| {
            let c = value[*at..].chars().next()?;
            (*token == Token::Any || *token == Token::Char(c)).then(|| at + c.len_utf8())
        };
        ends = match (token, ends.first()) {
            (_, None) => return 0,
            (Token::Star, Some(&first)) => {
                let rest = value[first..].char_indices().map(|(at, _)| first + at);
                rest.chain([value.len()]).collect()
            }
            _ => ends.iter().filter_map(step).collect(),
        };
    }
    let end = match greed {
        Greed::Shortest => ends.first(),
        Greed::Longest => ends.last(),
    };
    end.copied().unwrap_or_default()
}

/// Replaces the first match of `pattern` in `value`, or all of them.
pub(super) fn replace(
    pattern: &str,
    value: &str,
    replacement: &str,
    all: bool,
) -> Result<String, Reason> {
    let tokens = tokens(pattern).map_err(|reason| invalid(pattern, reason))?;
    if let Some(text) = literal(&tokens)
        && !replacement.contains('$')
    {
        let count = if all { value.matches(&text).count() } else { 1 };
        if count.saturating_mul(replacement.len()) > MAX_EXPANDED {
            return Err(Reason::TooLong);
        }
        return Ok(value.replacen(&text, replacement, count));
    }
    let regex =
        compile(&tokens, Greed::Longest, false).map_err(|reason| invalid(pattern, reason))?;
    let mut result = String::with_capacity(value.len());
    let mut last = 0;
    for found in regex.find_iter(value) {
        result.push_str(&value[last..found.start()]);
        last = found.end();
        if !all {
            result.push_str(replacement);
            break;
        }
        fill_template(replacement, found.as_str(), &mut result);
        if result.len() > MAX_EXPANDED {
            return Err(Reason::TooLong);
        }
    }
    result.push_str(&value[last..]);
    Ok(result)
}

/// Appends `template` with its `$0` replaced.
///
/// BuildKit replaces with Go's regular expressions, where `$name` in the replacement means a
/// group. A pattern has none, so every name but `0` stands for nothing.
fn fill_template(template: &str, matched: &str, into: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        into.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("$$") {
            into.push('$');
            rest = behind;
            continue;
        }
        match group(&rest[1..]) {
            Some((name, behind)) => {
                if name == "0" {
                    into.push_str(matched);
                }
                rest = behind;
            }
            None => {
                into.push('$');
                rest = &rest[1..];
            }
        }
    }
    into.push_str(rest);
}

/// Reads `name` or `{name}`; returns it and what follows.
fn group(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    let in_name = |c: char| {
        c == '_'
            || c.is_ascii_alphanumeric()
            || !c.is_ascii() && (is_class(c, Class::Letter) || is_class(c, Class::Digit))
    };
    let end = text.find(|c| !in_name(c)).unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    let behind = match braced {
        Some(_) => text[end..].strip_prefix('}')?,
        None => &text[end..],
    };
    Some((&text[..end], behind))
}

fn invalid(pattern: &str, reason: String) -> Reason {
    Reason::InvalidPattern { pattern: pattern.to_owned(), reason }
}

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// `?`.
    Any,
    /// `*`.
    Star,
}

fn tokens(pattern: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut rest = pattern.strip_prefix('\u{feff}').unwrap_or(pattern).chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            // `}` and `/` are escaped for the substitution's sake: the pattern means them alone.
            '\\' if matches!(rest.clone().next(), Some('}' | '/')) => continue,
            '\\' => match rest.next() {
                Some(escaped @ ('*' | '?' | '\\')) => Token::Char(escaped),
                Some(other) => return Err(format!("invalid escape `\\{other}`")),
                None => return Err("nothing behind the escape".to_owned()),
            },
            _ => Token::Char(c),
        });
    }
    Ok(tokens)
}

/// Returns the one text that the tokens match; nothing for wildcards and for no text.
fn literal(tokens: &[Token]) -> Option<String> {
    let chars = tokens.iter().map(|token| match token {
        Token::Char(c) => Some(*c),
        _ => None,
    });
    chars.collect::<Option<String>>().filter(|text| !text.is_empty())
}

fn compile(tokens: &[Token], greed: Greed, anchored: bool) -> Result<Regex, String> {
    let mut expression = String::with_capacity(tokens.len() + 4);
    if anchored {
        expression.push('^');
    }
    for token in tokens {
        match token {
            Token::Star if greed == Greed::Longest => expression.push_str(".*"),
            Token::Star => expression.push_str(".*?"),
            Token::Any => expression.push('.'),
            Token::Char(c) => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Regex::new(&expression).map_err(|_| "it is too long".to_owned())
}

/// Reverses a pattern, keeping each escape before what it escapes.
fn reverse_pattern(pattern: &str) -> String {
    let characters: Vec<char> = pattern.chars().collect();
    let mut units = Vec::new();
    let mut rest = characters.as_slice();
    while let Some(first) = rest.first() {
        let length = if *first == '\\' && rest.len() > 1 { 2 } else { 1 };
        units.push(&rest[..length]);
        rest = &rest[length..];
    }
    units.into_iter().rev().flatten().collect()
}

fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

/// A Unicode category that names are made of.
#[derive(Clone, Copy)]
pub(super) enum Class {
    Letter,
    Digit,
}

/// Tells whether `c` is a letter, or a decimal digit, of any script.
///
/// The standard library only knows wider classes.
pub(super) fn is_class(c: char, class: Class) -> bool {
    static LETTER: OnceLock<Option<Regex>> = OnceLock::new();
    static DIGIT: OnceLock<Option<Regex>> = OnceLock::new();
    let regex = match class {
        Class::Letter => LETTER.get_or_init(|| Regex::new(r"^\p{L}").ok()),
        Class::Digit => DIGIT.get_or_init(|| Regex::new(r"^\p{Nd}").ok()),
    };
    regex.as_ref().is_some_and(|regex| regex.is_match(c.encode_utf8(&mut [0; 4])))
}
