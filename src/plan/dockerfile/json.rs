//! The exec form: a JSON array of strings.
//!
//! Whether a text is JSON decides between exec and shell form, so the reader takes exactly what
//! Go's decoder takes: lone surrogates are U+FFFD, numbers must fit a double.

use super::text;

/// How deep Go's decoder lets arrays and objects be nested.
const MAX_DEPTH: usize = 10_000;

/// What a text is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// No JSON array: the shell form.
    Shell,
    /// An array with something else than strings.
    NotStrings,
    /// An array of strings.
    Exec(Vec<String>),
}

/// Reads `text` as the arguments of an exec form.
pub(crate) fn read(text: &[u8]) -> Form {
    let text = text::trim_start(text);
    if text.first() != Some(&b'[') {
        return Form::Shell;
    }
    let mut reader = Reader { rest: &text[1..] };
    match reader.array() {
        Some((strings, true)) => Form::Exec(strings),
        Some((_, false)) => Form::NotStrings,
        None => Form::Shell,
    }
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    /// Reads elements and the end of the array and of the text; `None` when that is not JSON.
    /// The flag tells whether all elements were strings.
    fn array(&mut self) -> Option<(Vec<String>, bool)> {
        let mut strings = Vec::new();
        let mut only_strings = true;
        self.space();
        if self.take(b']') {
            return self.end().then_some((strings, true));
        }
        loop {
            self.space();
            if self.rest.first() == Some(&b'"') {
                strings.push(self.string()?);
            } else {
                only_strings = false;
                self.value()?;
            }
            self.space();
            if self.take(b']') {
                return self.end().then_some((strings, only_strings));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn end(&mut self) -> bool {
        self.space();
        self.rest.is_empty()
    }

    fn space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let length = self.rest.iter().take_while(|byte| space(byte)).count();
        self.rest = &self.rest[length..];
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// Skips one value of any kind, without recursion.
    fn value(&mut self) -> Option<()> {
        // The closing byte of each array or object that is open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            let opened = match self.rest.first()? {
                b'[' => Some(b']'),
                b'{' => Some(b'}'),
                _ => None,
            };
            if let Some(close) = opened {
                self.rest = &self.rest[1..];
                // The array this value is in counts too.
                if open.len() + 2 > MAX_DEPTH {
                    return None;
                }
                self.space();
                if !self.take(close) {
                    open.push(close);
                    self.key(close)?;
                    continue;
                }
            } else {
                self.scalar()?;
            }
            loop {
                let Some(close) = open.last().copied() else { return Some(()) };
                self.space();
                if self.take(close) {
                    open.pop();
                    continue;
                }
                if !self.take(b',') {
                    return None;
                }
                self.key(close)?;
                break;
            }
        }
    }

    /// Skips a member's name and colon, inside an object.
    fn key(&mut self, close: u8) -> Option<()> {
        if close != b'}' {
            return Some(());
        }
        self.space();
        self.string()?;
        self.space();
        self.take(b':').then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> Option<()> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[length..];
        (length > 0).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.rest;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        let written = std::str::from_utf8(&start[..start.len() - self.rest.len()]).ok()?;
        written.parse::<f64>().is_ok_and(f64::is_finite).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.word(b"\"")?;
        let mut result = String::new();
        loop {
            let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
            let length = self.rest.iter().take_while(|byte| plain(byte)).count();
            result.push_str(&text::to_str(&self.rest[..length]));
            self.rest = &self.rest[length..];
            match self.rest.first()? {
                b'"' => {
                    self.rest = &self.rest[1..];
                    return Some(result);
                }
                b'\\' => {
                    self.rest = &self.rest[1..];
                    result.push(self.escape()?);
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return None,
        })
    }

    fn unicode_escape(&mut self) -> Option<char> {
        let unit = self.hex()?;
        if (0xd800..0xdc00).contains(&unit) {
            let behind = self.rest;
            let low = self.word(b"\\u").and_then(|()| self.hex());
            if let Some(low @ 0xdc00..0xe000) = low {
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            }
            // Not the other half: it is read again for itself.
            self.rest = behind;
        }
        Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.rest = &self.rest[4..];
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(strings: &[&str]) -> Form {
        Form::Exec(strings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_strings() {
        assert_eq!(read(b"[]"), exec(&[]));
        assert_eq!(read(b" [ \"a\" ,\t\"b c\" ] "), exec(&["a", "b c"]));
        assert_eq!(read(br#"["\"\\\/\b\f\n\r\t\u00e9"]"#), exec(&["\"\\/\u{8}\u{c}\n\r\té"]));
        assert_eq!(
            read(br#"["\ud83d\ude00\ud83dx\ude00\ud83d\u0041"]"#),
            exec(&["😀\u{fffd}x\u{fffd}\u{fffd}A"])
        );
        assert_eq!(read(b"[\"\xff\x7f\"]"), exec(&["\u{fffd}\u{7f}"]));
    }

    #[test]
    fn other_values_are_refused() {
        for text in
            ["[1]", "[\"a\", null]", "[[\"a\"]]", "[{\"a\": [true, -1.5e+3]}, \"b\"]", "[{}]"]
        {
            assert_eq!(read(text.as_bytes()), Form::NotStrings, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_command() {
        for text in [
            "",
            "echo",
            "[",
            "[ -f x ]",
            "[\"a\"",
            "[\"a\",]",
            "['a']",
            "[\"a\"] x",
            "[\"\\x\"]",
            "[01]",
            "[\"\t\"]",
            "[1e999]",
            "[\"\\u12\"]",
            "[\"a\" \"b\"]",
            "[{\"a\" 1}]",
            "[{1:1}]",
            "[1 ]]",
            "[\u{a0}]",
        ] {
            assert_eq!(read(text.as_bytes()), Form::Shell, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(read(nested(10_000).as_bytes()), Form::NotStrings);
        assert_eq!(read(nested(10_001).as_bytes()), Form::Shell);
    }
}
