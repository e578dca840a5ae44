//! JSON as Go's `encoding/json` writes it, where the bytes matter.
use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Writes `value` without spaces, escaping what HTML and JavaScript could stumble over.
#[must_use]
pub fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut serializer = Serializer::with_formatter(&mut out, GoFormatter);
    // Only maps with keys that are no text could fail, and the types written here have none.
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    out
}

/// The same with each field on a line of its own and two spaces for each level, as `MarshalIndent` writes it.
#[must_use]
pub fn to_vec_pretty<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let mut serializer = Serializer::with_formatter(&mut out, Indented(PrettyFormatter::new()));
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    out
}

/// [`to_vec`] as text.
#[must_use]
pub fn to_string<T: Serialize>(value: &T) -> String {
    String::from_utf8(to_vec(value)).unwrap_or_default()
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let special = after.chars().next().unwrap_or_default();
            write!(writer, "\\u{:04x}", special as u32)?;
            rest = &after[special.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// [`GoFormatter`] with line breaks.
struct Indented(PrettyFormatter<'static>);

impl Formatter for Indented {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        GoFormatter.write_string_fragment(writer, fragment)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::{to_string, to_vec_pretty};

    #[test]
    fn indents_as_go_does() {
        let value = serde_json::json!({"a": ["<"], "b": {}, "c": []});
        let text = String::from_utf8(to_vec_pretty(&value)).unwrap();
        let expected = "{\n  \"a\": [\n    \"\\u003c\"\n  ],\n  \"b\": {},\n  \"c\": []\n}";
        assert_eq!(text, expected);
    }

    #[test]
    fn escapes_as_go_does() {
        let text = "a<b>&\u{2028}\u{2029}\"\\\n\t\u{1}\u{8}é";
        assert_eq!(to_string(&text), r#""a\u003cb\u003e\u0026\u2028\u2029\"\\\n\t\u0001\bé""#);
    }
}
