//! Path patterns as `.dockerignore`, `COPY --exclude` and file transfers use them.
//!
//! The rules are those of Docker's pattern matcher: `*` and `?` stay within a path element, `**`
//! spans any number of them, a pattern that matches a directory matches everything below it, and
//! the last pattern that applies wins, so that `!pattern` takes back. Patterns are matched as they
//! are, without compiling them to regular expressions: a context has many files and few patterns,
//! and a process that builds once should not pay for a regex compiler. Docker does compile them, and
//! leaves more of the regular expression's syntax in effect than a pattern should have; patterns that
//! show it (`a|b*`, `\\d`, odd classes) take that way here too.
//!
//! Paths are bytes with `/` between elements, relative to the root of what is matched.

mod glob;
mod odd;
mod syntax;

use glob::Matcher;

/// A list of patterns in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    negations: bool,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    negated: bool,
    matcher: Matcher,
}

/// A text that is no pattern.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("pattern `{pattern}` {problem}")]
pub struct PatternError {
    /// As written.
    pub pattern: String,
    /// What is wrong, as a continuation of the sentence.
    pub problem: &'static str,
}

/// Which patterns of a list match a directory, and so everything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched(Vec<bool>);

impl Patterns {
    /// Reads patterns, leaving out empty ones.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for the first one that is malformed.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let mut patterns = Vec::new();
        for text in texts {
            let trimmed = text.as_ref().trim();
            if !trimmed.is_empty() {
                patterns.push(Pattern::parse(trimmed)?);
            }
        }
        let negations = patterns.iter().any(|pattern| pattern.negated);
        Ok(Self { patterns, negations })
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern takes back what another matched.
    #[must_use]
    pub fn has_negations(&self) -> bool {
        self.negations
    }

    /// The patterns in order.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether `path` or a directory above it is matched.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut above = Matched::default();
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            above = self.descend(&path[..at], &above).1;
        }
        self.matches_below(path, &above)
    }

    /// Whether `path` is matched, given what matches its directory.
    #[must_use]
    pub fn matches_below(&self, path: &[u8], above: &Matched) -> bool {
        let mut matched = false;
        for (at, pattern) in self.patterns.iter().enumerate() {
            if above.get(at) || (pattern.negated == matched && pattern.matches(path)) {
                matched = !pattern.negated;
            }
        }
        matched
    }

    /// Like [`matches_below`](Self::matches_below) for a directory: also says what matches it.
    #[must_use]
    pub fn descend(&self, path: &[u8], above: &Matched) -> (bool, Matched) {
        let mut matched = false;
        let mut own = Vec::with_capacity(self.patterns.len());
        for (at, pattern) in self.patterns.iter().enumerate() {
            let hit = above.get(at) || (pattern.negated == matched && pattern.matches(path));
            own.push(hit);
            if hit {
                matched = !pattern.negated;
            }
        }
        (matched, Matched(own))
    }
}

impl Matched {
    fn get(&self, at: usize) -> bool {
        self.0.get(at).copied().unwrap_or(false)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let failed = |problem| PatternError { pattern: text.to_owned(), problem };
        let cleaned = clean(text);
        let (negated, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return Err(failed("takes nothing back: `!` needs a path")),
            Some(rest) => (true, rest.to_owned()),
            None => (false, cleaned),
        };
        syntax::matches(cleaned.as_bytes(), b".").map_err(failed)?;
        let matcher = Matcher::new(&cleaned).map_err(failed)?;
        Ok(Self { text: cleaned, negated, matcher })
    }

    /// The cleaned text without `!`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it takes back what earlier patterns matched.
    #[must_use]
    pub const fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether `path` itself is matched.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.matcher.matches(self.text.as_bytes(), path)
    }
}

/// Whether `name`, one element of a path, is matched by `pattern`, which has no `/`.
#[must_use]
pub fn matches_name(pattern: &str, name: &[u8]) -> bool {
    syntax::matches(pattern.as_bytes(), name).unwrap_or(false)
}

/// The shortest path that means the same, as Go's `path.Clean` has it: without `.`, inner `..` and empty
/// elements; `.` for nothing.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match element {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            _ => kept.push(element),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], path: &str) -> bool {
        Patterns::parse(patterns).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn single_patterns() {
        let cases = [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/otherfile", true),
            ("**/file", "dir/otherfile", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ab", false),
            ("*", "dir/file", true),
            ("*.go", "a/x.go", false),
            ("**/*.go", "a/b/x.go", true),
            ("fo?", "foo", true),
            ("fo?", "fo/", false),
            ("f?o", "föo", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"[a\]]", "]", true),
            ("a(b)|c.d", "a(b)|c.d", true),
            ("a.b", "axb", false),
            ("./dir//sub/../file", "dir/file", true),
            ("/file", "file", false),
            ("x*y*z", "xaybz", true),
            ("x*y*z", "xa/ybz", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches(&[pattern], path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_applies_wins() {
        assert!(!matches(&["**", "!util/docker/web"], "util/docker/web/foo"));
        assert!(matches(&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo"));
        assert!(matches(&["*.md", "!README*", "README-secret.md"], "README-secret.md"));
        assert!(!matches(&["!a", "b"], "a"));
        assert!(!matches(&["dir", "!dir/keep"], "dir/keep/deep/file"));
    }

    #[test]
    fn descending_agrees_with_whole_paths() {
        let lists: [&[&str]; 4] =
            [&["a/**", "!a/b/*.c", "**/x"], &["*", "!a"], &["a", "!a/b", "a/b/c"], &["**/b"]];
        for list in lists {
            let patterns = Patterns::parse(list).unwrap();
            for path in ["a", "a/b", "a/b/t.c", "a/b/x", "a/b/c/d", "x/y", "b/q"] {
                let mut above = Matched::default();
                let mut matched = false;
                for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                    (matched, above) = patterns.descend(&path.as_bytes()[..end], &above);
                }
                assert_eq!(patterns.matches(path.as_bytes()), matched, "{list:?} on {path}");
            }
        }
    }

    #[test]
    fn names_are_matched_within_one_element() {
        assert!(matches_name("a*", b"abc"));
        assert!(matches_name("**", b"abc"));
        assert!(!matches_name("a?", b"abc"));
        assert!(!matches_name("[", b"["));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for (pattern, problem) in [
            ("!", "takes nothing back"),
            ("[a", "nothing closes"),
            ("a\\", "backslash"),
            ("[]a]", "nothing closes"),
        ] {
            let error = Patterns::parse([pattern]).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(pattern), "{error}");
        }
    }

    #[test]
    fn what_docker_makes_of_odd_patterns() {
        let cases = [
            ("a|b*", "a/x", true),
            ("a|b*", "bc", true),
            ("a|b", "a", false),
            ("**/a|b", "x/a|b", true),
            ("x{2}*", "xxy", true),
            ("x{a,b}*", "x{a,b}c", true),
            ("a^b*", "a^bc", false),
            (r"\d*", "5x", true),
            (r"\d*", "dx", false),
            (r"a\ b", "a b", true),
            ("[a.]x", ".x", true),
            ("[[:digit:]]x", "7x", true),
            ("[^/]", "a", true),
            ("a]*", "a]b", true),
            (r"\pp*", "-x", true),
            (r"\pp*", "px", false),
            (r"\p{Lu}*", "Xx", true),
            (r"[\Pl]x*", "7xy", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches(&[pattern], path), expected, "{pattern} on {path}");
        }
        assert!(Patterns::parse(["\\q*"]).is_err());
        assert!(Patterns::parse(["a*{2}"]).is_err());
        assert!(Patterns::parse([r"\pq*"]).is_err());
    }

    #[test]
    fn many_stars_take_no_longer() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!matches(&[&pattern], &"a".repeat(5000)));
        assert!(matches(&["**/*x*x*x*"], &"ax/".repeat(200).replace("ax/", "xxx")));
    }
}
