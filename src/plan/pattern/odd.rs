//! Patterns in which Docker's matcher leaves regular expressions in effect.
//!
//! It turns a pattern into a regular expression of Go's and escapes only some of what means
//! something there: `|`, `{2}`, `^`, letters behind a backslash and everything in `[]` keep their
//! meaning. Hardly a pattern uses that on purpose; but what it leaves out of a context must not
//! depend on who builds.

use regex::Regex;

const BAD: &str = "is no valid regular expression, which Docker makes of it";

/// A pattern as a regular expression.
#[derive(Clone, Debug)]
pub(super) struct Odd(Regex);

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Odd {}

impl Odd {
    /// Compiles a cleaned pattern.
    pub(super) fn new(pattern: &str) -> Result<Self, &'static str> {
        let translated = Translator { rest: &as_go(pattern), out: String::new() }.run();
        let regex = Regex::new(&translated.ok_or(BAD)?).map_err(|_| BAD)?;
        Ok(Self(regex))
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match std::str::from_utf8(path) {
            Ok(path) => self.0.is_match(path),
            Err(_) => {
                let mut text = String::new();
                for chunk in path.utf8_chunks() {
                    text.push_str(chunk.valid());
                    text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
                }
                self.0.is_match(&text)
            }
        }
    }
}

/// Writes the regular expression that Docker makes of a pattern.
fn as_go(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                out.push_str(if rest.peek().is_some() { "(.*/)?" } else { ".*" });
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '.' | '+' | '(' | ')' | '$' => out.extend(['\\', char]),
            '\\' => {
                out.push('\\');
                out.extend(rest.next());
            }
            other => out.push(other),
        }
    }
    out.push('$');
    out
}

/// Rewrites a regular expression of Go's syntax in that of the `regex` crate; nothing for one that
/// is no valid one.
struct Translator<'g> {
    rest: &'g str,
    out: String,
}

impl Translator<'_> {
    fn run(mut self) -> Option<String> {
        // Whether there is something to repeat, and whether it is repeated already.
        let (mut atom, mut repeated) = (false, false);
        while let Some(char) = self.next() {
            match char {
                '{' => match self.repetition() {
                    Some(count) if atom && !repeated => {
                        self.out.push_str(&count);
                        repeated = true;
                        continue;
                    }
                    Some(_) => return None,
                    None => self.literal('{'),
                },
                '*' | '?' => {
                    if repeated || !atom {
                        return None;
                    }
                    self.out.push(char);
                    repeated = true;
                    continue;
                }
                '|' | '(' => {
                    self.out.push(char);
                    (atom, repeated) = (false, false);
                    continue;
                }
                '^' | '$' | '.' | ')' => self.out.push(char),
                '[' => self.class()?,
                '\\' => self.escape()?,
                other => self.literal(other),
            }
            (atom, repeated) = (true, false);
        }
        Some(self.out)
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest.chars().next()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn literal(&mut self, char: char) {
        self.out.push_str(&format!("\\x{{{:x}}}", u32::from(char)));
    }

    /// Reads `2}`, `2,}` or `2,3}`; anything else is no repetition but text.
    fn repetition(&mut self) -> Option<String> {
        let (inside, behind) = self.rest.split_once('}')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits && (text.len() == 1 || !text.starts_with('0'))
        };
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        if !number(least) || !(number(most) || most.is_empty() && inside.contains(',')) {
            return None;
        }
        self.rest = behind;
        let fits =
            |text: &str| text.is_empty() || text.parse().is_ok_and(|count: u32| count <= 1000);
        // Beyond 1000 Go refuses; so does what this leads to.
        Some(if fits(least) && fits(most) { format!("{{{inside}}}") } else { "{1,0}".to_owned() })
    }

    fn escape(&mut self) -> Option<()> {
        match self.rest.chars().next()? {
            'A' | 'z' => {
                let anchor = self.next()?;
                self.out.extend(['\\', anchor]);
            }
            'b' => {
                self.next();
                self.out.push_str("(?-u:\\b)");
            }
            'p' | 'P' => {
                let class = self.unicode_class()?;
                self.out.push_str(&class);
            }
            'Q' => {
                self.next();
                let (text, behind) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = behind;
                text.chars().for_each(|char| self.literal(char));
            }
            _ => match self.perl_class() {
                Some(class) => self.out.push_str(class),
                None => {
                    let char = self.escaped_char()?;
                    self.literal(char);
                }
            },
        }
        Some(())
    }

    /// Reads `d` and its like behind a backslash.
    fn perl_class(&mut self) -> Option<&'static str> {
        let class = match self.rest.chars().next()? {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\x0c\\r\\x20]",
            'S' => "[^\\t\\n\\x0c\\r\\x20]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            _ => return None,
        };
        self.next();
        Some(class)
    }

    /// Reads `pN`, `PN` or `p{Nd}` behind a backslash; names are those of general categories and
    /// scripts, in any case, as since Go 1.25. The regex compiler refuses unknown ones.
    fn unicode_class(&mut self) -> Option<String> {
        let kind = self.next()?;
        let name = if self.take("{") {
            let (name, behind) = self.rest.split_once('}')?;
            self.rest = behind;
            name.to_owned()
        } else {
            self.next()?.to_string()
        };
        let known =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"^_- ".contains(&byte));
        known.then(|| format!("\\{kind}{{{name}}}"))
    }

    /// Reads an escaped character behind its backslash.
    fn escaped_char(&mut self) -> Option<char> {
        let char = self.next()?;
        match char {
            '0'..='7' => {
                if char != '0' && !self.rest.starts_with(|next| matches!(next, '0'..='7')) {
                    return None;
                }
                let digits =
                    self.rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7'));
                let digits = digits.count();
                let value =
                    u32::from_str_radix(&format!("{char}{}", &self.rest[..digits]), 8).ok()?;
                self.rest = &self.rest[digits..];
                char::from_u32(value)
            }
            'x' => {
                let (digits, behind) = match self.rest.strip_prefix('{') {
                    Some(text) => text.split_once('}')?,
                    None => self.rest.split_at_checked(2)?,
                };
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                self.rest = behind;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)
            }
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            _ if char.is_ascii() && !char.is_ascii_alphanumeric() => Some(char),
            _ => None,
        }
    }

    /// Rewrites a class behind its `[`.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.starts_with("[:")
                && let Some((name, behind)) = self.rest[2..].split_once(":]")
            {
                const NAMES: [&str; 14] = [
                    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower",
                    "print", "punct", "space", "upper", "word", "xdigit",
                ];
                let plain = name.strip_prefix('^').unwrap_or(name);
                if !NAMES.contains(&plain) {
                    return None;
                }
                self.out.push_str(&format!("[:{name}:]"));
                self.rest = behind;
                continue;
            }
            if let Some(escaped) = self.rest.strip_prefix('\\') {
                let before = std::mem::replace(&mut self.rest, escaped);
                if self.rest.starts_with(['p', 'P']) {
                    let class = self.unicode_class()?;
                    self.out.push_str(&class);
                    continue;
                }
                if let Some(class) = self.perl_class() {
                    self.out.push_str(class);
                    continue;
                }
                self.rest = before;
            }
            let low = self.class_char()?;
            let mut high = low;
            if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest[1..].starts_with(']')
            {
                self.next();
                high = self.class_char()?;
                if high < low {
                    return None;
                }
            }
            self.literal(low);
            self.out.push('-');
            self.literal(high);
        }
        self.next();
        self.out.push(']');
        Some(())
    }

    fn class_char(&mut self) -> Option<char> {
        match self.take("\\") {
            true => self.escaped_char(),
            false => self.next(),
        }
    }
}
