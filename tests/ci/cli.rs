//! Runs the real `kitwright ci` as a job's step does: an environment, a payload, output files.
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::github::{GitHub, REPOSITORY, TOKEN};
use crate::support::registry::Registry;

/// A job's step: where it runs and what the runner tells it.
pub struct Step {
    pub dir: PathBuf,
    pub env: Vec<(String, String)>,
    scratch: tempfile::TempDir,
}

/// How a step ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Step {
    /// A step in `dir` for an event with this payload.
    pub fn new(dir: &Path, event: &str, payload: &Value) -> Self {
        let scratch = tempfile::tempdir().expect("a folder");
        let file = scratch.path().join("event.json");
        std::fs::write(&file, payload.to_string()).expect("a payload");
        let mut step = Self { dir: dir.to_owned(), env: Vec::new(), scratch };
        step.set("GITHUB_EVENT_NAME", event);
        step.set("GITHUB_EVENT_PATH", &file.to_string_lossy());
        step.set("GITHUB_REPOSITORY", REPOSITORY);
        step.set("GITHUB_RUN_ID", "500");
        step
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Points the step at the stand-in of GitHub, with its token.
    pub fn at(mut self, github: &GitHub) -> Self {
        self.set("GITHUB_API_URL", &github.url);
        self.set("GITHUB_SERVER_URL", &github.url);
        self.set("GITHUB_TOKEN", TOKEN);
        self
    }

    /// Uses an image repository in the registry.
    pub fn image(mut self, registry: &Registry) -> Self {
        self.set("KITWRIGHT_CI_IMAGE", &registry.reference(IMAGE));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs `kitwright ci ARGUMENTS`.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_kitwright"))
            .arg("ci")
            .args(arguments)
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.scratch.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("kitwright runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        for text in [&stdout, &stderr] {
            assert!(!text.contains(TOKEN), "the token is in the output: {text}");
        }
        Ended { code: output.status.code().unwrap_or(-1), stdout, stderr }
    }
}

impl Ended {
    /// The answer of a step that succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// stderr on one line, without the frame that a report wraps text in.
    pub fn said(&self) -> String {
        let words = self.stderr.split_whitespace();
        words
            .filter(|word| !matches!(*word, "│" | "×" | "╰─▶" | "├─▶"))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The image's repository in the tests' registries.
pub const IMAGE: &str = "acme/widgets/ci";

/// The payload of a pull request event.
pub fn pull_event(pull: &Value) -> Value {
    json!({
        "action": "synchronize",
        "number": pull["number"],
        "pull_request": pull,
        "repository": { "full_name": REPOSITORY, "default_branch": "main" },
        "sender": { "login": "ann" },
    })
}

/// The payload of a comment on pull request 7.
pub fn comment_event(author: &str, body: &str) -> Value {
    json!({
        "action": "created",
        "issue": { "number": 7, "pull_request": {} },
        "comment": { "id": 55, "body": body, "user": { "login": author } },
        "repository": { "full_name": REPOSITORY, "default_branch": "main" },
        "sender": { "login": author },
    })
}

/// The payload of a push to a branch.
pub fn push_event(branch: &str, sha: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"),
        "before": "0".repeat(40),
        "after": sha,
        "deleted": false,
        "repository": { "full_name": REPOSITORY, "default_branch": "main" },
        "sender": { "login": "ann" },
    })
}
