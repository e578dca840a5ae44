//! Lint rules: what is allowed, but probably not meant.
//!
//! The rules are BuildKit's, under the same names, and a few of our own ([`Rule::is_ours`]). Ours are
//! advice: they change no exit status, whatever a file says about errors.
//!
//! A [`Linter`] is made for a file, and whoever sees something calls [`Linter::warn`] with the
//! [`Finding`] and the [`Origin`] of the instruction, whose comments may switch rules off:
//!
//! ```text
//! let mut linter = Linter::new(Options::of(&dockerfile, options.effective_check())?);
//! lint::check_file(&dockerfile, true, &mut linter); // what the text alone shows
//! linter.warn(&instruction.origin, Finding::WorkdirRelativePath { path });
//! linter.undefined_variables(&instruction.origin, &uses, …); // see `checks`
//! ```

use std::collections::BTreeSet;

use super::directives::check_in_comment;
use super::error::ParseError;
use super::instruction::{Dockerfile, Origin};
use super::source::{LineRange, Located};

mod advice;
mod checks;
mod file;
mod finding;
mod rule;

pub use advice::{check_advice, looks_secret};
pub use checks::is_secret_name;
pub use file::check_file;
pub use finding::Finding;
pub use rule::Rule;

/// Which rules count, as a `# check=` directive or the build argument
/// `BUILDKIT_DOCKERFILE_CHECK` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// No rule counts, except experimental ones that are named.
    pub skip_all: bool,
    /// Rules that do not count.
    pub skip: BTreeSet<String>,
    /// All experimental rules count.
    pub experimental_all: bool,
    /// Experimental rules that count.
    pub experimental: BTreeSet<String>,
    /// A finding fails the build.
    pub error: bool,
}

impl Options {
    /// Returns the options for `file`: those of `instead`, if given, else those of its directive.
    ///
    /// # Errors
    ///
    /// [`ParseError::InvalidCheck`] at the directive, if it is the directive's.
    pub fn of(file: &Dockerfile, instead: Option<&str>) -> Result<Self, Located<ParseError>> {
        let directive = file.directives.check.as_ref();
        let (text, lines) = match (instead, directive) {
            (Some(text), _) => (text, LineRange::default()),
            (None, Some(directive)) => (directive.first_word(), directive.lines),
            (None, None) => return Ok(Self::default()),
        };
        Self::parse(text).map_err(|error| Located { source: file.source.clone(), lines, error })
    }

    /// Reads `skip=Rule,Rule;experimental=all;error=true`.
    ///
    /// # Errors
    ///
    /// [`ParseError::InvalidCheck`] for an unknown option or a bad truth value.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut options = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let fail = |reason: &str| ParseError::InvalidCheck {
                option: part.to_owned(),
                reason: reason.to_owned(),
            };
            let (key, value) = part.split_once('=').ok_or_else(|| fail("it has no `=`"))?;
            let value = value.trim();
            // A later list replaces an earlier one; `all` adds to it.
            match (key.trim(), value) {
                ("skip", "all") => options.skip_all = true,
                ("skip", _) => options.skip = names(value),
                ("experimental", "all") => options.experimental_all = true,
                ("experimental", _) => options.experimental = names(value),
                ("error", _) => {
                    options.error = match value {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        _ => return Err(fail("it is neither true nor false")),
                    };
                }
                _ => return Err(fail("there is no such option")),
            }
        }
        Ok(options)
    }

    /// Returns the options where `comments` stand above an instruction.
    ///
    /// They can switch rules off and experimental ones on; only the first `check=` among them
    /// counts, and not if it is malformed.
    fn within(&self, comments: &[String]) -> Option<Self> {
        let check = comments.iter().find_map(|comment| check_in_comment(comment))?;
        let local = Self::parse(check.split(' ').next().unwrap_or_default()).ok()?;
        let mut merged = self.clone();
        merged.skip_all |= local.skip_all;
        merged.experimental_all |= local.experimental_all;
        merged.skip.extend(local.skip);
        merged.experimental.extend(local.experimental);
        Some(merged)
    }

    fn count(&self, rule: Rule) -> bool {
        let name = rule.name();
        match rule.is_experimental() {
            true => self.experimental_all || self.experimental.contains(name),
            false => !self.skip_all && !self.skip.contains(name),
        }
    }
}

fn names(list: &str) -> BTreeSet<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// A finding and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What was found.
    pub finding: Finding,
    /// The lines it is about.
    pub lines: LineRange,
}

impl Warning {
    /// Returns the rule it breaks.
    pub fn rule(&self) -> Rule {
        self.finding.rule()
    }
}

/// Collects findings.
#[derive(Clone, Debug, Default)]
pub struct Linter {
    options: Options,
    warnings: Vec<Warning>,
}

impl Linter {
    /// Makes a linter that listens to `options`.
    pub fn new(options: Options) -> Self {
        Self { options, warnings: Vec::new() }
    }

    /// Adds a finding about the instruction at `origin`, unless its rule is switched off.
    pub fn warn(&mut self, origin: &Origin, finding: Finding) {
        self.warn_at(origin, origin.lines, finding);
    }

    /// Adds a finding about `lines` that the comments above `origin` may switch off.
    pub fn warn_at(&mut self, origin: &Origin, lines: LineRange, finding: Finding) {
        let rule = finding.rule();
        let counts = match self.options.within(&origin.comments) {
            Some(options) => options.count(rule),
            None => self.options.count(rule),
        };
        if counts {
            self.warnings.push(Warning { finding, lines });
        }
    }

    /// Adds a finding about `lines` that only the options of the whole file may switch off.
    pub fn warn_file(&mut self, lines: LineRange, finding: Finding) {
        if self.options.count(finding.rule()) {
            self.warnings.push(Warning { finding, lines });
        }
    }

    /// Returns the findings in the order they were made.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the findings in the order they were made.
    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    /// Returns the names of the rules whose findings fail the build: those of BuildKit, if the
    /// options say `error=true`. Empty when nothing does.
    pub fn fatal_rules(&self) -> BTreeSet<&'static str> {
        let warnings = self.warnings.iter().filter(|_| self.options.error);
        warnings.map(Warning::rule).filter(|rule| !rule.is_ours()).map(Rule::name).collect()
    }
}

#[cfg(test)]
mod tests;
