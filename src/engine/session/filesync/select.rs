//! Which files of a directory a transfer takes: the daemon's include and exclude patterns.
//!
//! A directory that is not taken itself may hold files that are, so there are three answers for
//! it: take, look inside, skip. The last one is what makes a `node_modules` in `.dockerignore`
//! cheap, and is given only where no pattern could match anything below.
use crate::plan::pattern::{Matched, Pattern, PatternError, Patterns};

/// The patterns of one transfer.
#[derive(Debug, Default)]
pub(super) struct Selection {
    include: Option<Side>,
    exclude: Option<Side>,
}

/// One list of patterns, with what allows directories to be skipped.
#[derive(Debug)]
struct Side {
    patterns: Patterns,
    /// The paths, ending in a slash, of patterns below which something can still match; `None`
    /// when a wildcard in the middle of one makes that impossible to say.
    reach: Option<Vec<String>>,
}

/// What a directory's patterns say of everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    include: Matched,
    exclude: Matched,
}

/// What to do with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is part of the transfer.
    Take,
    /// It is not, but something below may be.
    Look,
    /// Nothing below can be.
    Skip,
}

impl Selection {
    /// Reads the patterns; an empty list selects everything.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, PatternError> {
        let include = Patterns::parse(include)?;
        let exclude = Patterns::parse(exclude)?;
        Ok(Self {
            include: Side::new(include, |pattern| !pattern.is_negated()),
            exclude: Side::new(exclude, Pattern::is_negated),
        })
    }

    /// Whether a file in a directory of this level is taken.
    pub(super) fn file(&self, path: &[u8], above: &Level) -> bool {
        let included = self
            .include
            .as_ref()
            .is_none_or(|side| side.patterns.matches_below(path, &above.include));
        included
            && !self
                .exclude
                .as_ref()
                .is_some_and(|side| side.patterns.matches_below(path, &above.exclude))
    }

    /// What to do with a directory, and the level of what is in it.
    pub(super) fn directory(&self, path: &[u8], above: &Level) -> (Verdict, Level) {
        let mut level = Level::default();
        let mut verdict = Verdict::Take;
        if let Some(side) = &self.include {
            let (matched, own) = side.patterns.descend(path, &above.include);
            level.include = own;
            if !matched {
                if !side.reaches_below(path) {
                    return (Verdict::Skip, level);
                }
                verdict = Verdict::Look;
            }
        }
        if let Some(side) = &self.exclude {
            let (matched, own) = side.patterns.descend(path, &above.exclude);
            level.exclude = own;
            if matched {
                if !side.patterns.has_negations() || !side.reaches_below(path) {
                    return (Verdict::Skip, level);
                }
                verdict = Verdict::Look;
            }
        }
        (verdict, level)
    }
}

impl Side {
    fn new(patterns: Patterns, reaches: impl Fn(&Pattern) -> bool) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let reaching = || patterns.patterns().iter().filter(|pattern| reaches(pattern));
        let plain = |pattern: &Pattern| !stem(pattern).contains(['*', '[', ']', '?', '^', '\\']);
        let reach = reaching()
            .all(plain)
            .then(|| reaching().map(|pattern| format!("{}/", stem(pattern))).collect());
        Some(Self { patterns, reach })
    }

    fn reaches_below(&self, directory: &[u8]) -> bool {
        self.reach.as_ref().is_none_or(|stems| {
            stems.iter().any(|stem| {
                stem.as_bytes().strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
            })
        })
    }
}

/// The pattern without a wildcard for everything in the directory that it names.
fn stem(pattern: &Pattern) -> &str {
    let text = pattern.text();
    let text = text.strip_suffix("/**").unwrap_or(text);
    text.strip_suffix("/*").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(include), &owned(exclude)).unwrap()
    }

    fn verdict(selection: &Selection, path: &str) -> Verdict {
        selection.directory(path.as_bytes(), &Level::default()).0
    }

    #[test]
    fn without_patterns_everything_is_taken() {
        let all = selection(&[], &[]);
        assert!(all.file(b"a", &Level::default()));
        assert_eq!(verdict(&all, "d"), Verdict::Take);
    }

    #[test]
    fn directories_that_cannot_match_are_skipped() {
        let some = selection(&["src/lib/**", "Cargo.toml"], &[]);
        assert_eq!(verdict(&some, "src"), Verdict::Look);
        assert_eq!(verdict(&some, "srcs"), Verdict::Skip);
        assert_eq!(verdict(&some, "target"), Verdict::Skip);
        assert_eq!(verdict(&selection(&["**/x"], &[]), "target"), Verdict::Look);
    }

    #[test]
    fn an_exception_keeps_its_directories_open() {
        let some = selection(&[], &["node_modules", "!node_modules/keep/it"]);
        assert_eq!(verdict(&some, "node_modules"), Verdict::Look);
        assert_eq!(verdict(&selection(&[], &["node_modules"]), "node_modules"), Verdict::Skip);
        let (_, level) = some.directory(b"node_modules", &Level::default());
        assert!(!some.file(b"node_modules/other", &level));
        let (verdict, level) = some.directory(b"node_modules/keep", &level);
        assert_eq!(verdict, Verdict::Look);
        assert!(some.file(b"node_modules/keep/it", &level));
        assert_eq!(some.directory(b"node_modules/gone", &level).0, Verdict::Skip);
    }
}
