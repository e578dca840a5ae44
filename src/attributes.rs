//! Attribute lists as buildx writes them: `type=image,push=true,"name=a,b"`.
//!
//! One line of CSV (RFC 4180: a field in double quotes may hold commas, `""` is a quote), each field
//! `key=value`. Keys are lower-cased and trimmed, values stay as they are.
use std::collections::BTreeMap;

/// A list that is not well formed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AttributesError {
    /// A field has no `=`.
    #[error("`{field}` in `{list}` is not `key=value`")]
    NoValue {
        /// The field.
        field: String,
        /// The whole list.
        list: String,
    },
    /// A quoted field does not end, or goes on after its closing quote.
    #[error("the quotes in `{0}` do not match")]
    Quotes(String),
}

/// Whether a value means yes: as Go's `strconv.ParseBool` reads it, and so BuildKit and buildx.
#[must_use]
pub fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Splits one line of CSV into its fields.
///
/// # Errors
///
/// [`AttributesError::Quotes`] for a quote that does not close or does not end its field.
pub fn fields(list: &str) -> Result<Vec<String>, AttributesError> {
    let mut fields = Vec::new();
    let mut rest = list;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, list)?,
            None => match rest.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (rest.to_owned(), None),
            },
        };
        if field.contains('"') && !rest.starts_with('"') {
            return Err(AttributesError::Quotes(list.to_owned()));
        }
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// Reads a field whose opening quote is already behind, and what follows its comma, if any.
fn quoted_field<'a>(
    mut text: &'a str,
    list: &str,
) -> Result<(String, Option<&'a str>), AttributesError> {
    let unmatched = || AttributesError::Quotes(list.to_owned());
    let mut field = String::new();
    loop {
        let (part, after) = text.split_once('"').ok_or_else(unmatched)?;
        field.push_str(part);
        if let Some(escaped) = after.strip_prefix('"') {
            field.push('"');
            text = escaped;
        } else if after.is_empty() {
            return Ok((field, None));
        } else {
            return Ok((field, Some(after.strip_prefix(',').ok_or_else(unmatched)?)));
        }
    }
}

/// Parses a list into its attributes; a key that is given twice keeps its last value.
///
/// # Errors
///
/// Fields without `=`, unmatched quotes.
pub fn parse(list: &str) -> Result<BTreeMap<String, String>, AttributesError> {
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_ascii_lowercase(), value.to_owned())),
        None => Err(AttributesError::NoValue { field, list: list.to_owned() }),
    };
    fields(list)?.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_quoted_fields() {
        let parsed = parse(r#"type=image,"name=a,b", Push=true,"x=""q""",y=a=b"#).unwrap();
        let expected =
            [("name", "a,b"), ("push", "true"), ("type", "image"), ("x", "\"q\""), ("y", "a=b")];
        assert_eq!(parsed, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(
            parse("type=image,push"),
            Err(AttributesError::NoValue { field: "push".into(), list: "type=image,push".into() })
        );
        for bad in ["\"a=b", "\"a=b\"c", "a=\"b"] {
            assert_eq!(parse(bad), Err(AttributesError::Quotes(bad.into())), "{bad}");
        }
    }
}
