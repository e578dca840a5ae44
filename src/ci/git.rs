//! Runs the real git, with the job's token where the remote needs it and nowhere else.
//!
//! The token travels in the environment of the one git process (`GIT_CONFIG_*`), never in its
//! arguments, its configuration files or the remote's address, and is cut out of what git prints.
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::environment::{Environment, Token};
use crate::fault::{Classified, Fault};

/// A git command that failed, or could not be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GitError {
    /// There is no git.
    #[error("cannot run `git`")]
    #[diagnostic(help("install git: change detection asks it what a pull request changes"))]
    Spawn {
        /// What the system said.
        source: std::io::Error,
    },
    /// Git says no.
    #[error("`git {command}` failed in `{}`: {message}", dir.display())]
    Failed {
        /// The first words of the command.
        command: String,
        /// Where it ran.
        dir: PathBuf,
        /// The end of what git printed.
        message: String,
    },
    /// Git printed what is not text.
    #[error("`git {command}` printed what is not UTF-8")]
    NotText {
        /// The first words of the command.
        command: String,
    },
    /// The name breaks git's rules for branches.
    #[error("`{0}` is not a branch name")]
    Branch(String),
}

impl Classified for GitError {
    fn fault(&self) -> Fault {
        match self {
            Self::Branch(_) => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

/// A git repository on disk.
#[derive(Clone, Debug)]
pub struct Git {
    dir: PathBuf,
    server: String,
    token: Option<Token>,
}

impl Git {
    /// Names the repository in `dir`, which the job's token can fetch from and push to.
    #[must_use]
    pub fn new(dir: &Path, environment: &Environment) -> Self {
        let server = environment.server_url().trim_end_matches('/').to_owned();
        Self { dir: dir.to_owned(), server, token: environment.token() }
    }

    /// Where the repository is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same repository, with another token.
    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// Runs git and returns what it printed on stdout.
    ///
    /// # Errors
    ///
    /// A [`GitError`] with the end of git's own message.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Vec<u8>, GitError> {
        let output = self.output(arguments).await?;
        self.checked(arguments, output)
    }

    /// Runs git and returns its output as text without the final line end.
    ///
    /// # Errors
    ///
    /// A [`GitError`] when git fails or prints what is not UTF-8.
    pub async fn text<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String, GitError> {
        let bytes = self.run(arguments).await?;
        let text = String::from_utf8(bytes)
            .map_err(|_| GitError::NotText { command: words(arguments) })?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs git for its answer: yes (exit 0) or no (anything else).
    ///
    /// # Errors
    ///
    /// [`GitError::Spawn`] when there is no git.
    pub async fn asks<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<bool, GitError> {
        Ok(self.output(arguments).await?.status.success())
    }

    /// Whether the commit is here.
    ///
    /// # Errors
    ///
    /// [`GitError::Spawn`] when there is no git.
    pub async fn has_commit(&self, sha: &str) -> Result<bool, GitError> {
        self.asks(&["cat-file", "-e", &format!("{sha}^{{commit}}")]).await
    }

    /// Spells a branch as a full ref, and refuses what is none.
    ///
    /// # Errors
    ///
    /// [`GitError::Branch`].
    pub async fn branch_ref(&self, branch: &str) -> Result<String, GitError> {
        let reference = format!("refs/heads/{branch}");
        if self.asks(&["check-ref-format", &reference]).await? {
            Ok(reference)
        } else {
            Err(GitError::Branch(branch.to_owned()))
        }
    }

    /// Writes `paths` of a commit into the folder `into`, and leaves work tree and index alone.
    ///
    /// # Errors
    ///
    /// A [`GitError`] when git does not have the commit or cannot write.
    pub async fn check_out(
        &self,
        commit: &str,
        paths: &BTreeSet<&[u8]>,
        into: &Path,
    ) -> Result<(), GitError> {
        let failed = |source| GitError::Spawn { source };
        // An index of its own, in the folder's neighbour.
        let index = into.with_extension("index");
        let index = [("GIT_INDEX_FILE", index.as_os_str())];
        let read = self.command(&["read-tree", commit]).envs(index).output().await;
        self.checked(&["read-tree", commit], read.map_err(failed)?)?;
        let mut prefix = OsString::from("--prefix=");
        prefix.push(into);
        prefix.push("/");
        let arguments = ["checkout-index", "-z", "--stdin"].map(OsString::from);
        let arguments = [&arguments[..], &[prefix]].concat();
        let mut command = self.command(&arguments);
        // As a runner's checkout does: the names of large files, not the files.
        command.envs(index).env("GIT_LFS_SKIP_SMUDGE", "1").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let names: Vec<u8> = paths.iter().flat_map(|path| [*path, &[0]].concat()).collect();
        let write = async move {
            if let Some(mut stdin) = stdin {
                // Git that stops reading says why on stderr.
                let _ = stdin.write_all(&names).await;
            }
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        self.checked(&arguments, output.map_err(failed)?).map(drop)
    }

    async fn output<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output, GitError> {
        self.command(arguments).output().await.map_err(|source| GitError::Spawn { source })
    }

    fn checked<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        output: Output,
    ) -> Result<Vec<u8>, GitError> {
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(GitError::Failed {
            command: words(arguments),
            dir: self.dir.clone(),
            message: self.redacted(last_lines(&message)),
        })
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.dir).args(arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        for name in ["GITHUB_TOKEN", "GH_TOKEN", "INPUTS"] {
            command.env_remove(name);
        }
        if let Some(token) = &self.token {
            // The first, empty value takes back what a checkout may have left in the configuration:
            // a server refuses two authorization headers.
            let key = format!("http.{}/.extraheader", self.server);
            let header = format!("AUTHORIZATION: basic {}", basic(token));
            command.env("GIT_CONFIG_COUNT", "2");
            command.env("GIT_CONFIG_KEY_0", &key).env("GIT_CONFIG_VALUE_0", "");
            command.env("GIT_CONFIG_KEY_1", &key).env("GIT_CONFIG_VALUE_1", header);
        }
        command
    }

    fn redacted(&self, text: String) -> String {
        let Some(token) = &self.token else { return text };
        text.replace(token.secret(), "***").replace(&basic(token), "***")
    }
}

fn basic(token: &Token) -> String {
    let pair = format!("x-access-token:{}", token.secret());
    base64::engine::general_purpose::STANDARD.encode(pair)
}

/// The first words of a command: enough to know it by.
fn words<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let words = arguments.iter().take(3).map(|word| word.as_ref().to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let start = lines.len().saturating_sub(4);
    lines[start..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_cut_out_of_what_git_prints() {
        let environment =
            Environment::from_variables([("GITHUB_TOKEN".to_owned(), "ghs_secret".to_owned())]);
        let git = Git::new(Path::new("."), &environment);
        let text = git.redacted(format!("ghs_secret and {}", basic(&environment.token().unwrap())));
        assert_eq!(text, "*** and ***");
    }
}
