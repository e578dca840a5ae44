//! Variables in words: `$NAME`, `${NAME:-word}` and the rest, with the shell's quotes.
//!
//! The rules are those of BuildKit's `frontend/dockerfile/shell`, which are near to a POSIX shell's
//! but not the same: see the [Dockerfile reference](https://docs.docker.com/reference/dockerfile/#environment-replacement).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic;

mod pattern;
mod scan;
mod words;

use scan::Scan;

/// The longest text that one word may expand to.
///
/// Doubling a variable in every line would otherwise fill the memory; no message to the engine can
/// be as long.
pub const MAX_EXPANDED: usize = 16 << 20;

/// How deep `${a:-${b:-…}}` may be nested.
const MAX_DEPTH: usize = 100;

/// Where variables are looked up.
pub trait Variables {
    /// Returns the value of `name`; `None` when it is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Variables for () {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

impl<V: Variables + ?Sized> Variables for &V {
    fn get(&self, name: &str) -> Option<&str> {
        (**self).get(name)
    }
}

/// The variables a word names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Those that are set.
    pub matched: BTreeSet<String>,
    /// Those that are not: lint rules report them.
    pub unmatched: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("failed to process `{word}`: {reason}")]
pub struct ExpandError {
    /// The word.
    pub word: String,
    /// What is wrong with it.
    #[diagnostic(transparent)]
    pub reason: ExpandErrorReason,
}

/// What is wrong with a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum ExpandErrorReason {
    /// A quote is not closed.
    #[error("unexpected end of statement while looking for matching {quote}-quote")]
    #[diagnostic(help("close the quote, or put the escape token before it"))]
    OpenQuote {
        /// `single` or `double`.
        quote: &'static str,
    },
    /// `${` is not closed.
    #[error("syntax error: missing `}}`")]
    MissingBrace,
    /// `${name/` has no second slash.
    #[error("syntax error: missing `/` in ${{}}")]
    #[diagnostic(help("write ${{name/pattern/replacement}}"))]
    MissingSlash,
    /// `${}` and the like.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// A modifier that Dockerfiles do not know.
    #[error("unsupported modifier ({modifier}) in substitution")]
    #[diagnostic(help("known are :- - :+ + :? ? # ## % %% / and //"))]
    UnsupportedModifier {
        /// The modifier.
        modifier: String,
    },
    /// `${name:?message}` of a variable that is not set.
    #[error("{name}: {message}")]
    #[diagnostic(help("set it with `--build-arg {name}=VALUE`, ARG or ENV"))]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says about it.
        message: String,
    },
    /// A pattern behind `#`, `%` or `/` that is none.
    #[error("invalid pattern ({pattern}) in substitution: {reason}")]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many `${` inside one another.
    #[error("substitutions are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A text beyond [`MAX_EXPANDED`].
    #[error("it expands to more than {MAX_EXPANDED} bytes")]
    TooLong,
}

/// Expands words; cheap to make and to copy.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    /// The file's escape token.
    pub escape: char,
    /// Keep quotes in the result.
    pub raw_quotes: bool,
    /// Keep escape tokens in the result.
    pub raw_escapes: bool,
    /// Take quotes for ordinary characters.
    pub skip_quotes: bool,
    /// Keep variables that are not set as they are written.
    pub skip_unset: bool,
}

impl Lexer {
    /// Makes a lexer that removes quotes and escape tokens.
    pub const fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            skip_unset: false,
        }
    }

    /// Makes the lexer of heredoc contents: quotes are ordinary characters, and `\` escapes
    /// whatever the file says.
    pub const fn heredoc() -> Self {
        Self { skip_quotes: true, ..Self::new('\\') }
    }

    /// Expands `word` as one word, whatever spaces its variables hold.
    ///
    /// # Errors
    ///
    /// [`ExpandError`] for bad syntax, and for `${name:?}` without a value.
    pub fn expand<'w>(
        &self,
        word: &'w str,
        variables: &dyn Variables,
    ) -> Result<Cow<'w, str>, ExpandError> {
        self.run(word, variables, None)
    }

    /// Expands `word` and notes in `uses` which variables it names, also when it fails.
    ///
    /// # Errors
    ///
    /// As [`expand`](Self::expand).
    pub fn expand_noting<'w>(
        &self,
        word: &'w str,
        variables: &dyn Variables,
        uses: &mut Uses,
    ) -> Result<Cow<'w, str>, ExpandError> {
        self.run(word, variables, Some(uses))
    }

    /// Expands `word` and splits what comes out at its spaces, except quoted ones.
    ///
    /// # Errors
    ///
    /// As [`expand`](Self::expand).
    pub fn words(&self, word: &str, variables: &dyn Variables) -> Result<Vec<String>, ExpandError> {
        let mut scan = Scan::new(*self, word, variables, None);
        scan.words().map_err(|reason| ExpandError { word: word.to_owned(), reason })
    }

    fn run<'w>(
        &self,
        word: &'w str,
        variables: &dyn Variables,
        uses: Option<&mut Uses>,
    ) -> Result<Cow<'w, str>, ExpandError> {
        if !self.is_special(word) {
            return Ok(Cow::Borrowed(word));
        }
        let mut scan = Scan::new(*self, word, variables, uses);
        match scan.text() {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(reason) => Err(ExpandError { word: word.to_owned(), reason }),
        }
    }

    /// Tells whether anything in `word` could expand to something else.
    fn is_special(&self, word: &str) -> bool {
        let special = |byte: u8| match byte {
            b'$' => true,
            b'\'' | b'"' => !self.skip_quotes,
            _ => char::from(byte) == self.escape,
        };
        word.bytes().any(special) || word.starts_with('\u{feff}')
    }
}

#[cfg(test)]
mod tests;
