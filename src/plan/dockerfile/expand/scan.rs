//! One pass over a word.

use super::pattern::{self, Greed};
use super::words::Words;
use super::{ExpandErrorReason as Reason, Lexer, MAX_DEPTH, MAX_EXPANDED, Uses, Variables};

type Scanned<T> = Result<T, Reason>;

/// The state of a pass.
pub(super) struct Scan<'s> {
    lexer: Lexer,
    rest: std::str::Chars<'s>,
    variables: &'s dyn Variables,
    uses: Option<&'s mut Uses>,
    raw_escapes: bool,
    depth: usize,
    /// How many bytes substitutions gave so far.
    expanded: usize,
    /// The words behind one another, when they are asked for.
    words: Option<Words>,
}

impl<'s> Scan<'s> {
    pub(super) fn new(
        lexer: Lexer,
        word: &'s str,
        variables: &'s dyn Variables,
        uses: Option<&'s mut Uses>,
    ) -> Self {
        // A byte order mark in front is no part of the text.
        let rest = word.strip_prefix('\u{feff}').unwrap_or(word).chars();
        let raw_escapes = lexer.raw_escapes;
        Self { lexer, rest, variables, uses, raw_escapes, depth: 0, expanded: 0, words: None }
    }

    pub(super) fn text(&mut self) -> Scanned<String> {
        self.until(None, self.raw_escapes)
    }

    pub(super) fn words(&mut self) -> Scanned<Vec<String>> {
        self.words = Some(Words::default());
        self.until(None, self.raw_escapes)?;
        Ok(self.words.take().map(Words::finish).unwrap_or_default())
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        self.rest.next()
    }

    /// Scans up to `stop`, or up to the end without one.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Scanned<String> {
        if self.depth == MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.raw_escapes = outer;
        self.depth -= 1;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Scanned<String> {
        let mut result = String::new();
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.next();
                return Ok(result);
            }
            if result.len() > MAX_EXPANDED {
                return Err(Reason::TooLong);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    self.collect(|words| value.chars().for_each(|c| words.add(c)));
                    result.push_str(&value);
                }
                '\'' if !self.lexer.skip_quotes => {
                    let quoted = self.single_quotes()?;
                    self.collect(|words| words.add_raw_text(&quoted));
                    result.push_str(&quoted);
                }
                '"' if !self.lexer.skip_quotes => {
                    let quoted = self.double_quotes()?;
                    self.collect(|words| words.add_raw_text(&quoted));
                    result.push_str(&quoted);
                }
                '<' => {
                    let sign = self.angles();
                    self.collect(|words| words.add_raw_text(sign));
                    result.push_str(sign);
                }
                _ if c == self.lexer.escape => {
                    self.next();
                    if self.raw_escapes {
                        self.collect(|words| words.add_raw(c));
                        result.push(c);
                    }
                    // At the end of the text the escape token escapes nothing.
                    let Some(escaped) = self.next() else { break };
                    self.collect(|words| words.add_raw(escaped));
                    result.push(escaped);
                }
                _ => {
                    self.next();
                    self.collect(|words| words.add(c));
                    result.push(c);
                }
            }
        }
        match stop {
            // Callers that stop at something turn this into their own error.
            Some(_) => Err(Reason::MissingBrace),
            None if result.len() > MAX_EXPANDED => Err(Reason::TooLong),
            None => Ok(result),
        }
    }

    /// Passes what was scanned to the words, unless it is inside `${}`.
    fn collect(&mut self, add: impl FnOnce(&mut Words)) {
        if self.depth == 1
            && let Some(words) = &mut self.words
        {
            add(words);
        }
    }

    fn single_quotes(&mut self) -> Scanned<String> {
        let mut result = String::new();
        self.next();
        if self.lexer.raw_quotes {
            result.push('\'');
        }
        loop {
            match self.next() {
                None => return Err(Reason::OpenQuote { quote: "single" }),
                Some('\'') => break,
                Some(c) => result.push(c),
            }
        }
        if self.lexer.raw_quotes {
            result.push('\'');
        }
        Ok(result)
    }

    fn double_quotes(&mut self) -> Scanned<String> {
        let mut result = String::new();
        self.next();
        if self.lexer.raw_quotes {
            result.push('"');
        }
        loop {
            match self.peek() {
                None => return Err(Reason::OpenQuote { quote: "double" }),
                Some('"') => break,
                Some('$') => {
                    result.push_str(&self.dollar()?);
                    if result.len() > MAX_EXPANDED {
                        return Err(Reason::TooLong);
                    }
                }
                Some(c) => {
                    self.next();
                    self.quoted(c, &mut result);
                }
            }
        }
        self.next();
        if self.lexer.raw_quotes {
            result.push('"');
        }
        Ok(result)
    }

    /// Adds a character inside double quotes, where only a few can be escaped.
    fn quoted(&mut self, c: char, result: &mut String) {
        let escape = self.lexer.escape;
        if c != escape {
            return result.push(c);
        }
        if self.raw_escapes {
            result.push(c);
        }
        match self.peek() {
            None => {}
            Some(escaped) if matches!(escaped, '"' | '$') || escaped == escape => {
                self.next();
                result.push(escaped);
            }
            Some(_) => result.push(c),
        }
    }

    /// Keeps `<<` and the spaces behind it in one word: it may start a heredoc.
    fn angles(&mut self) -> &'s str {
        let text = self.rest.as_str();
        let mut length = 1;
        if text.as_bytes().get(1) == Some(&b'<') {
            let spaces = text[2..].bytes().take_while(|byte| matches!(byte, b'\t' | b'\r' | b' '));
            length = 2 + spaces.count();
        }
        self.rest = text[length..].chars();
        &text[..length]
    }

    /// Expands what `$` stands before, and counts how much that gives.
    fn dollar(&mut self) -> Scanned<String> {
        let expanded = self.substitution()?;
        self.expanded = self.expanded.saturating_add(expanded.len());
        // Substitutions inside one another each hold their text.
        if self.expanded > 4 * MAX_EXPANDED { Err(Reason::TooLong) } else { Ok(expanded) }
    }

    fn substitution(&mut self) -> Scanned<String> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup(&name) {
                Some(value) => value.to_owned(),
                None if self.lexer.skip_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err(Reason::MissingBrace),
            Some('{' | '}' | ':') => return Err(Reason::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(match self.lookup(&name) {
                Some(value) => value.to_owned(),
                None if self.lexer.skip_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let operator = self.next();
                self.modified(&name, operator, true)
            }
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => {
                self.modified(&name, Some(operator), false)
            }
            Some('/') => self.replaced(&name),
            other => Err(unsupported(&spell(other))),
        }
    }

    /// Scans the inside of `${}` up to `stop`; what is missing when the text ends there is
    /// `missing`.
    fn inner(&mut self, stop: char, raw_escapes: bool, missing: Reason) -> Scanned<String> {
        if let Some(words) = &mut self.words {
            // BuildKit's words share one buffer with the text inside `${}`, so that what stands
            // before it in the same word is lost. Both sides must see the same heredocs and ports.
            words.forget_current();
        }
        self.until(Some(stop), raw_escapes).map_err(|reason| match (self.peek(), reason) {
            (_, reason @ (Reason::TooDeep | Reason::TooLong)) => reason,
            (None, _) => missing,
            (Some(_), reason) => reason,
        })
    }

    /// Expands `${name-word}` and its like.
    fn modified(&mut self, name: &str, operator: Option<char>, colon: bool) -> Scanned<String> {
        let modifier = || format!("{}{}", if colon { ":" } else { "" }, spell(operator));
        let raw = matches!(operator, Some('#' | '%'));
        if colon && raw {
            return Err(unsupported(&modifier()));
        }
        let word = self.inner('}', raw, Reason::MissingBrace)?;
        let value = self.lookup(name);
        if value.is_none() && self.lexer.skip_unset {
            return Ok(format!("${{{name}{}{word}}}", modifier()));
        }
        let filled = value.filter(|value| !(colon && value.is_empty()));
        match operator {
            Some('-') => Ok(filled.map_or(word, str::to_owned)),
            Some('+') => Ok(filled.map_or_else(String::new, |_| word)),
            Some('?') => match filled {
                Some(value) => Ok(value.to_owned()),
                None => {
                    let state = if value.is_none() { "unset" } else { "empty" };
                    let message = match word.is_empty() {
                        true => format!("is not allowed to be {state}"),
                        false => word,
                    };
                    Err(Reason::Required { name: name.to_owned(), message })
                }
            },
            Some(sign @ ('#' | '%')) => {
                let (pattern, greed) = match word.strip_prefix(sign) {
                    Some(pattern) => (pattern, Greed::Longest),
                    None => (word.as_str(), Greed::Shortest),
                };
                let value = value.unwrap_or_default();
                match sign {
                    '#' => pattern::trim_prefix(pattern, value, greed),
                    _ => pattern::trim_suffix(pattern, value, greed),
                }
            }
            _ => Err(unsupported(&modifier())),
        }
    }

    /// Expands `${name/pattern/replacement}` and `${name//pattern/replacement}`.
    fn replaced(&mut self, name: &str) -> Scanned<String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.inner('/', true, Reason::MissingSlash)?;
        let replacement = self.inner('}', true, Reason::MissingBrace)?;
        let value = self.lookup(name);
        if value.is_none() && self.lexer.skip_unset {
            // A doubled slash comes back as a single one.
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        pattern::replace(&pattern, value.unwrap_or_default(), &replacement, all)
    }

    /// Reads a variable's name; empty when there is none.
    fn name(&mut self) -> String {
        let text = self.rest.as_str();
        let Some(first) = text.chars().next() else { return String::new() };
        let length = if is_digit(first) {
            text.find(|c| !is_digit(c)).unwrap_or(text.len())
        } else if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
            1
        } else {
            text.find(|c| c != '_' && !is_letter(c) && !is_digit(c)).unwrap_or(text.len())
        };
        self.rest = text[length..].chars();
        text[..length].to_owned()
    }

    fn lookup(&mut self, name: &str) -> Option<&'s str> {
        let value = self.variables.get(name);
        if let Some(uses) = &mut self.uses {
            let names = if value.is_some() { &mut uses.matched } else { &mut uses.unmatched };
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
        value
    }
}

fn unsupported(modifier: &str) -> Reason {
    Reason::UnsupportedModifier { modifier: modifier.to_owned() }
}

/// Spells a character for a message; the end of the text is U+FFFD.
fn spell(c: Option<char>) -> String {
    c.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || !c.is_ascii() && pattern::is_class(c, pattern::Class::Letter)
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && pattern::is_class(c, pattern::Class::Digit)
}
