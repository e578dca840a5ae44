//! Asks git whether a pull request touches the image.
//!
//! The question is the one the pull request's page answers: what changed between the merge base and
//! the head (three dots). Every workflow gets the same answer, because none of it depends on what
//! happens to be checked out: the head is the event's, and the base is the base branch's tip, whose
//! merge base with the head stays the same while the branch moves on. A tip that the payload
//! remembers would not do: it can be older than what the head has merged since.
//!
//! A shallow clone is deepened until the merge base is certain. That one is found is not enough: a
//! better one may lie behind the edge of the clone, so no edge may be left on this side of it.
use std::collections::BTreeSet;

use super::event::is_commit;
use super::git::{Git, GitError};
use super::github::Notices;

/// How deep a shallow clone is made at first: most pull requests fork off within that.
const FIRST_DEPTH: u32 = 50;
/// By how much more it is deepened, time and again, before all of the history is fetched.
const DEEPEN: [u32; 3] = [200, 800, 3200];

/// What to compare.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The head commit.
    pub head: &'a str,
    /// The pull request's number, whose `refs/pull/N/head` leads to the head.
    pub number: u64,
    /// The branch to compare with.
    pub base: &'a str,
    /// Where the base was once, for when nothing can be fetched.
    pub base_sha: &'a str,
    /// The globs of the image's files.
    pub globs: &'a [String],
    /// Whether to go on with what is here when nothing can be fetched.
    pub offline: bool,
}

/// What git says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Detection {
    /// Whether any of the image's files changed.
    pub touched: bool,
    /// Which.
    pub paths: Vec<String>,
    /// The commit that both sides come from; none for histories without one.
    pub merge_base: Option<String>,
    /// Whether a shallow clone had to be deepened for that.
    pub deepened: bool,
}

/// Answers the question, fetching what it takes.
///
/// # Errors
///
/// A [`GitError`] when git cannot fetch or compare.
pub async fn detect(
    git: &Git,
    question: &Question<'_>,
    notices: &Notices,
) -> Result<Detection, GitError> {
    let base_ref = git.branch_ref(question.base).await?;
    let mut search =
        Search { git, question, notices, base_ref, base: String::new(), deepened: false };
    search.fetch_ends().await?;
    let Some(merge_base) = search.merge_base().await? else {
        notices("the pull request and its base have no history in common: it counts as touching");
        let deepened = search.deepened;
        return Ok(Detection { touched: true, paths: Vec::new(), merge_base: None, deepened });
    };
    let deepened = search.deepened;
    let paths = changed(git, &merge_base, question.head, question.globs).await?;
    Ok(Detection { touched: !paths.is_empty(), paths, merge_base: Some(merge_base), deepened })
}

struct Search<'a> {
    git: &'a Git,
    question: &'a Question<'a>,
    notices: &'a Notices,
    base_ref: String,
    /// The base's tip, once known.
    base: String,
    deepened: bool,
}

impl Search<'_> {
    /// Brings both ends here.
    async fn fetch_ends(&mut self) -> Result<(), GitError> {
        let depth = self.is_shallow().await?.then(|| format!("--depth={FIRST_DEPTH}"));
        if depth.is_some() {
            (self.notices)(&format!("shallow clone: fetching {FIRST_DEPTH} commits of both ends"));
        }
        match self.fetch(depth).await {
            Ok(()) => {
                let base = self.kept_ref();
                self.base = self.git.text(&["rev-parse", "--verify", &base]).await?;
                Ok(())
            }
            Err(error) if self.question.offline => {
                (self.notices)(&format!("going on with what is here: {error}"));
                self.base = self.local_base(error).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches both ends with one command; the head by its id, else by the pull request's ref.
    ///
    /// GitHub serves any commit it has by id. The ref is for servers that do not.
    async fn fetch(&self, depth: Option<String>) -> Result<(), GitError> {
        let base = format!("+{}:{}", self.base_ref, self.kept_ref());
        let number = self.question.number;
        let here = self.git.has_commit(self.question.head).await? && depth.is_none();
        let pull = format!("+refs/pull/{number}/head:refs/kitwright/pull/{number}");
        let mut heads = vec![Some(self.question.head), Some(&pull)];
        if here {
            heads = vec![None];
        }
        let mut last = Ok(());
        for head in heads {
            let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
            arguments.extend(depth.as_deref());
            arguments.extend(["origin", &base]);
            arguments.extend(head);
            last = self.git.run(&arguments).await.map(drop);
            if last.is_ok() && self.git.has_commit(self.question.head).await? {
                return Ok(());
            }
        }
        last?;
        Err(GitError::Failed {
            command: "fetch".to_owned(),
            dir: std::path::PathBuf::from("."),
            message: format!("`origin` does not have the commit `{}`", self.question.head),
        })
    }

    /// Where the fetched base is kept: no branch of the user's moves.
    fn kept_ref(&self) -> String {
        format!("refs/kitwright/base/{}", self.question.base)
    }

    async fn local_base(&self, error: GitError) -> Result<String, GitError> {
        if !self.git.has_commit(self.question.head).await? {
            return Err(error);
        }
        let tracking = format!("refs/remotes/origin/{}", self.question.base);
        for candidate in [&tracking, &self.base_ref, &self.question.base_sha.to_owned()] {
            let commit = format!("{candidate}^{{commit}}");
            let found = self.git.text(&["rev-parse", "--verify", "--quiet", &commit]).await;
            if let Ok(sha) = found {
                return Ok(sha);
            }
        }
        Err(error)
    }

    /// The merge base, when it is certain.
    async fn merge_base(&mut self) -> Result<Option<String>, GitError> {
        for step in DEEPEN.map(Some).into_iter().chain([None]) {
            let found = self.known_merge_base().await?;
            if !self.is_shallow().await? || self.is_certain(found.as_deref()).await? {
                return Ok(found);
            }
            let flag = match step {
                Some(commits) => {
                    (self.notices)(&format!("merge base not certain: deepening by {commits}"));
                    format!("--deepen={commits}")
                }
                None => {
                    (self.notices)("merge base not certain: fetching the whole history");
                    "--unshallow".to_owned()
                }
            };
            match self.fetch(Some(flag)).await {
                Ok(()) => self.deepened = true,
                Err(error) if self.question.offline => {
                    (self.notices)(&format!("going on with what is here: {error}"));
                    return Ok(found);
                }
                Err(error) => return Err(error),
            }
        }
        self.known_merge_base().await
    }

    async fn known_merge_base(&self) -> Result<Option<String>, GitError> {
        let arguments = ["merge-base", &self.base, self.question.head];
        let output = self.git.text(&arguments).await;
        match output {
            Ok(text) => Ok(text.lines().next().map(str::to_owned)),
            // Exit code 1 without a word: there is none.
            Err(GitError::Failed { message, .. }) if message.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether no edge of the clone lies between the ends and `merge_base`.
    async fn is_certain(&self, merge_base: Option<&str>) -> Result<bool, GitError> {
        let Some(merge_base) = merge_base else { return Ok(false) };
        let file = self.git.text(&["rev-parse", "--git-path", "shallow"]).await?;
        let path = self.git.dir().join(file);
        let Ok(edges) = fs_err::read_to_string(path) else { return Ok(true) };
        let edges: BTreeSet<&str> = edges.lines().collect();
        let arguments = ["rev-list", &self.base, self.question.head, "--not", merge_base];
        let between = self.git.text(&arguments).await?;
        Ok(!between.lines().any(|commit| edges.contains(commit)))
    }

    async fn is_shallow(&self) -> Result<bool, GitError> {
        Ok(self.git.text(&["rev-parse", "--is-shallow-repository"]).await? == "true")
    }
}

/// Whether two commits have the same image files; a commit that cannot be had has others.
pub async fn same_files(git: &Git, one: &str, other: &str, globs: &[String]) -> bool {
    if !is_commit(one) || !is_commit(other) {
        return false;
    }
    for commit in [one, other] {
        if git.has_commit(commit).await.is_ok_and(|here| here) {
            continue;
        }
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1"];
        if git.run(&[&fetch[..], &["origin", commit]].concat()).await.is_err() {
            return false;
        }
    }
    changed(git, one, other, globs).await.is_ok_and(|paths| paths.is_empty())
}

/// The image's files that differ between two commits. A renamed file is two: both names count.
async fn changed(
    git: &Git,
    from: &str,
    to: &str,
    globs: &[String],
) -> Result<Vec<String>, GitError> {
    let mut arguments: Vec<String> =
        ["diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", from, to, "--"]
            .map(str::to_owned)
            .into();
    arguments.extend(globs.iter().map(|glob| format!(":(top,glob){glob}")));
    let names = git.run(&arguments).await?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
