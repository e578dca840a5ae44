//! One line of comma separated values, as `--mount` and `--device` take them.

use std::borrow::Cow;

use super::super::error::ParseError;

/// Splits `line` into its fields.
///
/// A field in double quotes may hold commas, and a doubled quote stands for one.
///
/// # Errors
///
/// [`ParseError::Csv`] for an empty line and for misplaced quotes.
pub(super) fn fields(line: &str) -> Result<Vec<Cow<'_, str>>, ParseError> {
    let fail = |reason| ParseError::Csv { value: line.to_owned(), reason };
    let trimmed = line.strip_suffix('\n').unwrap_or(line);
    let mut rest = match trimmed.len() == line.len() {
        true => line,
        false => trimmed.strip_suffix('\r').unwrap_or(trimmed),
    };
    if rest.is_empty() {
        return Err(fail("it is empty"));
    }
    let mut fields = Vec::new();
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, behind) = match rest.split_once(',') {
                Some((field, behind)) => (field, Some(behind)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(fail("a quote stands inside a field that is not quoted"));
            }
            fields.push(Cow::Borrowed(field));
            match behind {
                Some(behind) => rest = behind,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, behind) = quoted_field(quoted).ok_or_else(|| fail("a quote is not closed"))?;
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if behind.is_empty() => return Ok(fields),
            None => return Err(fail("something stands behind a closing quote")),
        }
    }
}

/// Reads a field behind its opening quote; returns it and what follows the closing one.
fn quoted_field(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find('"')?;
    let (mut field, mut rest) = (Cow::Borrowed(&text[..end]), &text[end + 1..]);
    while let Some(doubled) = rest.strip_prefix('"') {
        let end = doubled.find('"')?;
        let owned = field.to_mut();
        owned.push('"');
        owned.push_str(&doubled[..end]);
        rest = &doubled[end + 1..];
    }
    Some((field, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_fields() {
        assert_eq!(fields("a=b,c").unwrap(), ["a=b", "c"]);
        assert_eq!(fields("a,,").unwrap(), ["a", "", ""]);
        assert_eq!(fields("\"a,\"\"b\",c\n").unwrap(), ["a,\"b", "c"]);
        assert_eq!(fields("\"a\",").unwrap(), ["a", ""]);
        assert_eq!(fields("\"\"").unwrap(), [""]);
    }

    #[test]
    fn refuses_stray_quotes() {
        for line in ["", "\n", "a\"b", "\"a", "\"a\"b,c", "\"a\"\""] {
            assert!(matches!(fields(line), Err(ParseError::Csv { .. })), "{line:?}");
        }
    }
}
