//! Commits what a generation changed, and pushes it onto the very commit that was authorised.
//!
//! What ran before may have written anything into the work tree's `.git`: hooks, a proxy, another
//! address for `origin`. So the token never goes near that configuration: the push comes from a bare
//! repository made for it, which borrows the objects, to an address made from GitHub's own names.
use std::path::PathBuf;

use super::environment::{Environment, Token};
use super::git::{Git, GitError};
use crate::fault::{Classified, Fault};

/// Who commits: the account that GitHub shows for workflows.
const AUTHOR: [&str; 2] = [
    "user.name=github-actions[bot]",
    "user.email=41898282+github-actions[bot]@users.noreply.github.com",
];

/// What to push, and onto what.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// The branch.
    pub branch: &'a str,
    /// The commit that was authorised.
    pub onto: &'a str,
    /// The new commit's message.
    pub message: &'a str,
    /// Whether to stop before the push.
    pub dry_run: bool,
}

/// How it went. Field names are output names.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The generation changed nothing.
    Unchanged,
    /// A commit is pushed.
    Pushed {
        /// The commit.
        commit: String,
        /// The files it changes.
        paths: Vec<String>,
    },
    /// The branch is not at the authorised commit any more; nothing is pushed.
    Moved {
        /// Where it is now; none when it is gone.
        now: Option<String>,
    },
    /// A dry run made the commit and stopped.
    WouldPush {
        /// The commit.
        commit: String,
        /// The files it changes.
        paths: Vec<String>,
    },
}

/// A commit that could not be made or pushed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PushError {
    /// The work tree is at another commit than the authorised one.
    #[error("the work tree is at `{head}`, not at the authorised commit `{onto}`")]
    #[diagnostic(help("check out the commit that `kitwright ci authorize` gave as `sha`"))]
    WrongCommit {
        /// Where it is.
        head: String,
        /// Where it should be.
        onto: String,
    },
    /// Git failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitError),
    /// The repository to push from cannot be made.
    #[error("cannot make a repository to push from in `{}`", path.display())]
    Borrow {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no token to push with.
    #[error("no GitHub token to push with: `GITHUB_TOKEN` is not set")]
    #[diagnostic(help("give the step a token with `contents: write`"))]
    NoToken,
}

impl Classified for PushError {
    fn fault(&self) -> Fault {
        match self {
            Self::WrongCommit { .. } | Self::NoToken => Fault::Usage,
            Self::Git(error) => error.fault(),
            Self::Borrow { .. } => Fault::Environment,
        }
    }
}

/// Commits every change of the work tree `git` and pushes it.
///
/// # Errors
///
/// A [`PushError`]; a branch that has moved is no error but [`Outcome::Moved`].
pub async fn push(
    git: &Git,
    environment: &Environment,
    request: &Request<'_>,
) -> Result<Outcome, PushError> {
    let work = git.clone().with_token(None);
    let branch = work.branch_ref(request.branch).await?;
    let head = work.text(&["rev-parse", "--verify", "HEAD"]).await?;
    if head != request.onto {
        return Err(PushError::WrongCommit { head, onto: request.onto.to_owned() });
    }
    let Some((commit, paths)) = commit(&work, request).await? else {
        return Ok(Outcome::Unchanged);
    };
    if request.dry_run {
        return Ok(Outcome::WouldPush { commit, paths });
    }
    let token = environment.token().ok_or(PushError::NoToken)?;
    send(&work, environment, token, request, &branch, &commit).await.map(|moved| match moved {
        Some(now) => Outcome::Moved { now },
        None => Outcome::Pushed { commit, paths },
    })
}

/// Commits everything that changed; the commit and its paths, or nothing.
async fn commit(
    work: &Git,
    request: &Request<'_>,
) -> Result<Option<(String, Vec<String>)>, GitError> {
    work.run(&["add", "--all"]).await?;
    let names = work.run(&["diff", "--cached", "--name-only", "--no-renames", "-z"]).await?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let paths: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let tree = work.text(&["write-tree"]).await?;
    let mut arguments = AUTHOR.iter().flat_map(|setting| ["-c", setting]).collect::<Vec<_>>();
    arguments.extend(["commit-tree", &tree, "-p", request.onto, "-m", request.message]);
    let commit = work.text(&arguments).await?;
    Ok(Some((commit, paths)))
}

/// Pushes `commit`; `Some` says that the branch has moved, and where to.
async fn send(
    work: &Git,
    environment: &Environment,
    token: Token,
    request: &Request<'_>,
    branch: &str,
    commit: &str,
) -> Result<Option<Option<String>>, PushError> {
    let borrowed = borrow(work).await?;
    let git = Git::new(borrowed.path(), environment).with_token(Some(token));
    let server = environment.server_url().trim_end_matches('/');
    let address = format!("{server}/{}.git", request.repository);
    let lease = format!("--force-with-lease={branch}:{}", request.onto);
    let refspec = format!("{commit}:{branch}");
    let arguments = ["push", "--porcelain", "--no-verify", &lease, &address, &refspec];
    let Err(error) = git.run(&arguments).await else { return Ok(None) };
    let listed = git.text(&["ls-remote", &address, branch]).await?;
    let now = listed.split_whitespace().next().map(str::to_owned);
    if now.as_deref() == Some(request.onto) { Err(error.into()) } else { Ok(Some(now)) }
}

/// Makes a bare repository with the work tree's objects and none of its configuration.
async fn borrow(work: &Git) -> Result<tempfile::TempDir, PushError> {
    let failed = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| PushError::Borrow { path, source }
    };
    let temp = std::env::temp_dir();
    let dir =
        tempfile::Builder::new().prefix("kitwright-push-").tempdir().map_err(failed(&temp))?;
    let bare = Git::new(dir.path(), &Environment::default());
    bare.run(&["init", "--quiet", "--bare", "--template=", "."]).await?;
    let git_dir = work.text(&["rev-parse", "--path-format=absolute", "--git-common-dir"]).await?;
    let git_dir = PathBuf::from(git_dir);
    let info = dir.path().join("objects/info");
    fs_err::create_dir_all(&info).map_err(failed(&info))?;
    let alternates = format!("{}\n", git_dir.join("objects").display());
    fs_err::write(info.join("alternates"), alternates).map_err(failed(&info))?;
    let shallow = git_dir.join("shallow");
    if shallow.is_file() {
        fs_err::copy(&shallow, dir.path().join("shallow")).map_err(failed(&shallow))?;
    }
    Ok(dir)
}
