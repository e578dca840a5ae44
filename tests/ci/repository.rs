//! Git repositories made by the tests: an origin that people push to, and clones of it.
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository with a work tree, and what the tests do in it.
pub struct Repository {
    pub dir: PathBuf,
}

/// A folder that holds an origin and its clones, and goes away with them.
pub struct World {
    root: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Makes a bare origin, and a clone of it to work in.
    pub fn origin(&self) -> Repository {
        let origin = self.path("origin.git");
        git_in(self.root.path(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        let work = Repository { dir: self.path("work") };
        git_in(self.root.path(), &["clone", "-q", &origin.to_string_lossy(), "work"]);
        work.git(&["checkout", "-q", "-b", "main"]);
        work
    }

    /// Clones the origin as a runner does: one commit of one ref, and nothing else.
    pub fn shallow(&self, name: &str, reference: &str) -> Repository {
        let clone = Repository { dir: self.path(name) };
        let url = format!("file://{}", self.path("origin.git").display());
        git_in(self.root.path(), &["init", "-q", "-b", "main", name]);
        clone.git(&["remote", "add", "origin", &url]);
        clone.git(&["fetch", "-q", "--no-tags", "--depth=1", "origin", reference]);
        clone.git(&["checkout", "-q", "--detach", "FETCH_HEAD"]);
        clone
    }

    /// Clones the whole origin and checks a branch out.
    pub fn full_at(&self, name: &str, branch: &str) -> Repository {
        let clone = self.full(name);
        clone.git(&["checkout", "-q", branch]);
        clone
    }

    /// Clones the whole origin.
    pub fn full(&self, name: &str) -> Repository {
        let url = format!("file://{}", self.path("origin.git").display());
        git_in(self.root.path(), &["clone", "-q", &url, name]);
        Repository { dir: self.path(name) }
    }
}

impl Repository {
    pub fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.dir, arguments)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Writes a file, commits everything, and returns the commit.
    pub fn commit(&self, path: &str, text: &str) -> String {
        self.write(path, text);
        self.commit_all(&format!("change {path}"))
    }

    pub fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes what is checked out to the origin under `reference`.
    pub fn push(&self, reference: &str) {
        self.git(&["push", "-q", "--force", "origin", &format!("HEAD:{reference}")]);
    }
}

fn git_in(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@example.com")])
        .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@example.com")])
        .output()
        .expect("git runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} in {}: {stderr}", dir.display());
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}
