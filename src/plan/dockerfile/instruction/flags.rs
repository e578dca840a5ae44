//! The flags of an instruction: which there are, and what values they take.

use super::super::error::{ParseError, Suggestion};
use super::super::suggest::nearest;
use super::super::text::lower;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `true` or `false`.
    Bool,
    /// One value.
    Value,
    /// A value, any number of times.
    Values,
}

/// The flags that an instruction knows.
pub(super) type Known = &'static [(&'static str, Takes)];

/// The flags that an instruction has.
#[derive(Debug)]
pub(super) struct Flags {
    values: Vec<(&'static str, String)>,
}

impl Flags {
    /// Reads `words`, each with its dashes.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for a flag that is not known, repeated or without its value.
    pub fn read(words: &[String], known: Known) -> Result<Self, ParseError> {
        let mut flags = Self { values: Vec::with_capacity(words.len()) };
        for word in words {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word.as_str(), None),
            };
            let name = flag.strip_prefix("--").unwrap_or(flag);
            let Some((name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let suggestion = nearest(name, known.iter().map(|(name, _)| *name));
                let suggestion = Suggestion(suggestion.map(|name| format!("--{name}")));
                return Err(ParseError::UnknownFlag { flag: flag.to_owned(), suggestion });
            };
            if *takes != Takes::Values && flags.value(name).is_some() {
                return Err(ParseError::DuplicateFlag { flag: flag.to_owned() });
            }
            flags.values.push((name, read_value(flag, value, *takes)?));
        }
        Ok(flags)
    }

    /// Returns the value of a flag that is given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a flag, empty when it is not given.
    pub fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_default().to_owned()
    }

    /// Returns every value of a flag.
    pub fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.values.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether a flag is true, if it is given.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }
}

fn read_value(flag: &str, value: Option<&str>, takes: Takes) -> Result<String, ParseError> {
    let missing = || ParseError::MissingFlagValue { flag: flag.to_owned() };
    if takes != Takes::Bool {
        return value.map(str::to_owned).ok_or_else(missing);
    }
    let Some(value) = value else { return Ok("true".to_owned()) };
    match lower(value).as_ref() {
        "" => Err(missing()),
        truth @ ("true" | "false") => Ok(truth.to_owned()),
        _ => Err(ParseError::NotBoolean { flag: flag.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known =
        &[("link", Takes::Bool), ("from", Takes::Value), ("exclude", Takes::Values)];

    fn read(words: &[&str]) -> Result<Flags, ParseError> {
        Flags::read(&words.iter().map(ToString::to_string).collect::<Vec<_>>(), KNOWN)
    }

    #[test]
    fn values_are_read() {
        let flags = read(&["--exclude=a", "--link", "--exclude=b=c", "--from="]).unwrap();
        assert_eq!(flags.truth("link"), Some(true));
        assert_eq!(flags.values("exclude").collect::<Vec<_>>(), ["a", "b=c"]);
        assert_eq!(flags.value("from"), Some(""));
        assert_eq!(read(&["--link=False"]).unwrap().truth("link"), Some(false));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, message) in [
            (&["--form=a"][..], "unknown flag: --form (did you mean --from?)"),
            (&["--from=a", "--from=b"], "duplicate flag specified: --from"),
            (&["--from"], "missing a value on flag: --from"),
            (&["--link="], "missing a value on flag: --link"),
            (&["--link=1"], "expecting a boolean value for flag --link, not: 1"),
            (&["--Link"], "unknown flag: --Link (did you mean --link?)"),
        ] {
            assert_eq!(read(words).unwrap_err().to_string(), message);
        }
    }
}
