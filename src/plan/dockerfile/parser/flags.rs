//! Flags in front of an instruction's arguments: `--name=value`.

use super::super::text::is_latin1_space;

/// Splits the flags off `line`; returns them and the rest.
///
/// Flags may be quoted and escaped. BuildKit reads them byte by byte and takes each byte for a
/// character, which only ASCII survives; a value must reach LLB the same way.
pub(super) fn split(line: &[u8], escape: u8) -> (Vec<String>, &[u8]) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|byte| is_latin1_space(**byte)).count();
        if !line[at..].starts_with(b"--") {
            return (flags, &line[at..]);
        }
        let (word, end) = word(line, at, escape);
        at = end;
        if word == "--" {
            return (flags, &line[at..]);
        }
        flags.push(word);
    }
}

/// Reads a word from `at`; returns it without quotes, and where it ends.
fn word(line: &[u8], mut at: usize, escape: u8) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    while let Some(&byte) = line.get(at) {
        match quote {
            None if is_latin1_space(byte) => break,
            None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
            Some(open) if open == byte => quote = None,
            _ if byte == escape => {
                // At the end of the line the escape token escapes nothing.
                at += 1;
                word.extend(line.get(at).map(|byte| char::from(*byte)));
            }
            _ => word.push(char::from(byte)),
        }
        at += 1;
    }
    (word, at.min(line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_text(line: &str) -> (Vec<String>, &str) {
        let (flags, rest) = split(line.as_bytes(), b'\\');
        (flags, std::str::from_utf8(rest).unwrap())
    }

    #[test]
    fn flags_stand_in_front() {
        assert_eq!(split_text("--a=1  --b c --d"), (vec!["--a=1".into(), "--b".into()], "c --d"));
        assert_eq!(split_text("- --a"), (vec![], "- --a"));
        assert_eq!(split_text(""), (vec![], ""));
        assert_eq!(split_text("--a"), (vec!["--a".into()], ""));
    }

    #[test]
    fn two_dashes_end_them() {
        assert_eq!(split_text("--a -- --b"), (vec!["--a".into()], " --b"));
        assert_eq!(split_text("--"), (vec![], ""));
        assert_eq!(split_text("--\"\" x"), (vec![], " x"));
    }

    #[test]
    fn quotes_and_escapes_are_removed() {
        assert_eq!(split_text("--a=\"b c\"'d' x"), (vec!["--a=b cd".into()], "x"));
        assert_eq!(split_text("--a=b\\ c\\\"d x"), (vec!["--a=b c\"d".into()], "x"));
        assert_eq!(split_text("--a\\"), (vec!["--a".into()], ""));
        assert_eq!(split_text("--a='b\\'c' x"), (vec!["--a=b'c".into()], "x"));
    }

    #[test]
    fn bytes_are_characters() {
        assert_eq!(split_text("--a=ü x"), (vec!["--a=Ã¼".into()], "x"));
        let (flags, rest) = split(b"--a=\xc3\xa0b", b'\\');
        assert_eq!((flags, rest), (vec!["--a=Ã".into()], &b"b"[..]));
    }
}
