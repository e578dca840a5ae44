//! Patterns taken apart, and matched without going back.

use super::odd::Odd;
use super::syntax::next_char;

/// How a pattern is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher {
    /// The path itself.
    Exact,
    /// `foo/**`: what begins with the text before the stars.
    Prefix,
    /// `**/foo`: what ends with the text after the stars.
    Suffix,
    /// Anything else.
    Glob(Vec<Token>),
    /// What only a regular expression can say.
    Odd(Odd),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This text.
    Text(Vec<u8>),
    /// `?`: one character that is no slash.
    One,
    /// `*`: any characters but slashes.
    Many,
    /// `**` before other text: nothing, or anything that ends with a slash.
    Elements,
    /// `**` at the end: anything.
    Rest,
    /// `[a-z]` or `[^a-z]`.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// What a pattern was taken for so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Glob,
}

impl Matcher {
    /// Takes a cleaned pattern apart.
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        let (mut kind, mut odd) = (Kind::Exact, false);
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let first = rest.len() == text.len();
            rest = &rest[char.len_utf8()..];
            match char {
                '*' => {
                    let Some(behind) = rest.strip_prefix('*') else {
                        tokens.push(Token::Many);
                        kind = Kind::Glob;
                        continue;
                    };
                    rest = behind.strip_prefix('/').unwrap_or(behind);
                    let last = rest.is_empty();
                    tokens.push(if last { Token::Rest } else { Token::Elements });
                    kind = match kind {
                        _ if first => Kind::Suffix,
                        Kind::Exact if last => Kind::Prefix,
                        _ => Kind::Glob,
                    };
                }
                '?' => {
                    tokens.push(Token::One);
                    kind = Kind::Glob;
                }
                '[' => {
                    kind = Kind::Glob;
                    match simple_class(rest) {
                        Some((class, behind)) => {
                            tokens.push(class);
                            rest = behind;
                        }
                        None => odd = true,
                    }
                }
                ']' => {
                    kind = Kind::Glob;
                    add(&mut tokens, ']');
                }
                '\\' => match rest.chars().next() {
                    Some(escaped) => {
                        kind = Kind::Glob;
                        odd |= escaped.is_ascii_alphanumeric() || !escaped.is_ascii();
                        add(&mut tokens, escaped);
                        rest = &rest[escaped.len_utf8()..];
                    }
                    None => odd = true,
                },
                '{' | '|' | '}' | '^' => {
                    odd = true;
                    add(&mut tokens, char);
                }
                other => add(&mut tokens, other),
            }
        }
        Ok(match kind {
            Kind::Exact => Self::Exact,
            Kind::Prefix => Self::Prefix,
            Kind::Suffix => Self::Suffix,
            Kind::Glob if odd => Self::Odd(Odd::new(text)?),
            Kind::Glob => Self::Glob(tokens),
        })
    }

    /// Whether `path` is matched; `text` is what the matcher was made of.
    pub(super) fn matches(&self, text: &[u8], path: &[u8]) -> bool {
        match self {
            Self::Exact => path == text,
            Self::Prefix => path.starts_with(&text[..text.len() - 2]),
            Self::Suffix => {
                let suffix = &text[2..];
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|rest| path == rest)
            }
            Self::Glob(tokens) => glob(tokens, path),
            Self::Odd(odd) => odd.matches(path),
        }
    }
}

fn add(tokens: &mut Vec<Token>, char: char) {
    let mut bytes = [0; 4];
    let bytes = char.encode_utf8(&mut bytes).as_bytes();
    match tokens.last_mut() {
        Some(Token::Text(text)) => text.extend_from_slice(bytes),
        _ => tokens.push(Token::Text(bytes.to_vec())),
    }
}

/// Reads a class of plain characters behind its `[`; returns it and what follows.
fn simple_class(text: &str) -> Option<(Token, &str)> {
    let (negated, text) = match text.strip_prefix('^') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let end = text.find(']').filter(|end| *end > 0)?;
    let inside = &text[..end];
    let plain =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | ',');
    if !inside.chars().all(|c| c == '-' || plain(c)) {
        return None;
    }
    let mut ranges = Vec::new();
    let mut chars = inside.chars().peekable();
    while let Some(first) = chars.next().filter(|first| *first != '-') {
        let last = match chars.next_if_eq(&'-') {
            Some(_) => chars.next().filter(|last| *last != '-')?,
            None => first,
        };
        if last < first {
            return None;
        }
        ranges.push((first, last));
    }
    chars.next().is_none().then_some((Token::Class { negated, ranges }, &text[end + 1..]))
}

/// Follows all ways through a path at once: after each token, the places it can have ended at.
fn glob(tokens: &[Token], path: &[u8]) -> bool {
    // Most paths are refused by the text at either end.
    if let Some(Token::Text(text)) = tokens.first()
        && !path.starts_with(text)
    {
        return false;
    }
    if let Some(Token::Text(text)) = tokens.last()
        && !path.ends_with(text)
    {
        return false;
    }
    let words = path.len() / 64 + 1;
    let (mut few, mut many) = ([0; 4], Vec::new());
    let bits = match few.get_mut(..words) {
        Some(bits) => bits,
        None => {
            many.resize(words, 0);
            many.as_mut_slice()
        }
    };
    let mut places = Places { bits };
    places.add(0);
    for token in tokens {
        match token {
            Token::Text(text) => {
                places.advance(|at| path[at..].starts_with(text).then_some(text.len()));
            }
            Token::One => places.advance(|at| {
                let (char, length) = next_char(&path[at..]);
                (length > 0 && char != '/').then_some(length)
            }),
            Token::Class { negated, ranges } => places.advance(|at| {
                let (char, length) = next_char(&path[at..]);
                let listed = ranges.iter().any(|(first, last)| (*first..=*last).contains(&char));
                (length > 0 && listed != *negated).then_some(length)
            }),
            Token::Many => places.spread(path, b'/', |byte| byte != b'/'),
            Token::Rest => places.spread(path, b'\n', |_| true),
            Token::Elements => places.spread(path, b'\n', |byte| byte == b'/'),
        }
        if places.is_empty() {
            return false;
        }
    }
    places.has(path.len())
}

/// A set of offsets in a path.
struct Places<'b> {
    bits: &'b mut [u64],
}

impl Places<'_> {
    fn has(&self, at: usize) -> bool {
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }

    fn add(&mut self, at: usize) {
        self.bits[at / 64] |= 1 << (at % 64);
    }

    fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Moves each place as far as `length` says, and removes it where it says nothing.
    fn advance(&mut self, length: impl Fn(usize) -> Option<usize>) {
        // From the back, so that no place is moved twice.
        for word in (0..self.bits.len()).rev() {
            let mut places = std::mem::take(&mut self.bits[word]);
            while places != 0 {
                let bit = 63 - places.leading_zeros() as usize;
                places &= !(1 << bit);
                let at = word * 64 + bit;
                if let Some(length) = length(at) {
                    self.add(at + length);
                }
            }
        }
    }

    /// Adds the places behind each place up to the next `stop`: those behind a byte that `counts`.
    fn spread(&mut self, path: &[u8], stop: u8, counts: impl Fn(u8) -> bool) {
        let mut open = false;
        for (at, &byte) in path.iter().enumerate() {
            open |= self.has(at);
            open &= byte != stop;
            if open && counts(byte) {
                self.add(at + 1);
            }
        }
    }
}
