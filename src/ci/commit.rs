//! The files of a commit, whatever is checked out.
use std::collections::BTreeSet;
use std::path::Path;

use super::git::{Git, GitError};
use crate::plan::dockerfile::ignore;
use crate::plan::pattern::Patterns;

/// A commit, as a build of it reads it.
#[derive(Debug)]
pub struct Commit<'a> {
    git: &'a Git,
    sha: &'a str,
    dockerfile: &'a str,
    /// What its ignore file leaves out.
    ignored: Patterns,
}

impl<'a> Commit<'a> {
    /// Reads the ignore file that goes with `dockerfile` in the commit `sha`.
    ///
    /// # Errors
    ///
    /// A [`GitError`] when the commit is not here.
    pub async fn read(git: &'a Git, sha: &'a str, dockerfile: &'a str) -> Result<Self, GitError> {
        let mut ignored = Patterns::default();
        for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
            let file = format!("{sha}:{name}");
            if !git.asks(&["cat-file", "-e", &file]).await? {
                continue;
            }
            let text = git.run(&["cat-file", "blob", &file]).await?;
            // A build that cannot use it says so; here nothing is left out then.
            ignored = ignore::parse(&text)
                .ok()
                .and_then(|patterns| Patterns::parse(&patterns).ok())
                .unwrap_or_default();
            break;
        }
        Ok(Self { git, sha, dockerfile, ignored })
    }

    /// Whether a build may read `path`, or what it says about the build.
    fn is_read(&self, path: &[u8]) -> bool {
        let own = |suffix: &str| path == format!("{}{suffix}", self.dockerfile).as_bytes();
        let defines = own("") || own(".lock") || own(".dockerignore") || path == b".dockerignore";
        defines || !self.ignored.matches(path)
    }

    /// Whether a build of this commit may read other files than one of `base`.
    ///
    /// # Errors
    ///
    /// A [`GitError`] when git cannot compare the two.
    pub async fn may_differ(&self, base: &str) -> Result<bool, GitError> {
        let arguments =
            ["diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, self.sha];
        let names = self.git.run(&arguments).await?;
        Ok(names.split(|byte| *byte == 0).any(|name| !name.is_empty() && self.is_read(name)))
    }

    /// Writes the files that a build may read into the folder `into`.
    ///
    /// # Errors
    ///
    /// A [`GitError`] when git cannot.
    pub async fn check_out(&self, into: &Path) -> Result<(), GitError> {
        let names = self.git.run(&["ls-tree", "-r", "-z", "--name-only", self.sha]).await?;
        let wanted: BTreeSet<&[u8]> = names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty() && self.is_read(name))
            .collect();
        self.git.check_out(self.sha, &wanted, into).await
    }
}
