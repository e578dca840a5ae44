//! A project to build, and kitwright called as a user would.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::base::{Base, busybox};
use crate::support::engine;

/// A folder with a Dockerfile and files beside it.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    pub(crate) base: &'static Base,
    address: String,
}

/// How a call of kitwright ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    /// A project with `dockerfile`, in which the image `busybox` is at hand.
    pub(crate) fn new(dockerfile: &str) -> Option<Self> {
        let engine = engine::shared()?;
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder, base: busybox()?, address: engine.address.clone() };
        project.write("Dockerfile", dockerfile);
        Some(project)
    }

    /// Where the shared engine listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a written file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    /// Builds the project on the shared engine with more arguments.
    pub(crate) fn build(&self, args: &[&str]) -> Ended {
        self.build_with_env(args, &[])
    }

    /// The same with more environment.
    pub(crate) fn build_with_env(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let base = self.base_context();
        let mut whole = vec![("BUILDKIT_HOST", self.address.as_str())];
        whole.extend(env);
        self.with_env(&build_args(&base, args), &whole)
    }

    /// Starts a build on the shared engine, to be watched by what it writes to stderr.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let base = self.base_context();
        let env = [("BUILDKIT_HOST", self.address.as_str())];
        let mut command = self.command(&build_args(&base, args), &env);
        command.stderr(Stdio::piped()).spawn().expect("kitwright starts")
    }

    fn base_context(&self) -> String {
        format!("busybox=oci-layout://{}:latest", self.base.layout.display())
    }

    /// Runs kitwright in the project, in an environment of its own.
    pub(crate) fn kitwright(&self, args: &[&str]) -> Ended {
        self.with_env(args, &[("BUILDKIT_HOST", &self.address)])
    }

    pub(crate) fn with_env(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        Ended::of(&self.command(args, env).output().expect("kitwright starts"))
    }

    fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let home = self.path(".home");
        std::fs::create_dir_all(&home).expect("a home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
        command.args(args).current_dir(self.folder.path()).env_clear();
        command.env("HOME", &home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KITWRIGHT_STATE_DIR", self.path(".state"));
        command.envs(env.iter().copied());
        command
    }
}

fn build_args<'a>(base: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["build", ".", "--progress=plain", "--build-context", base], args].concat()
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Checks that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Checks the exit code and that stderr says all of `parts`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        // The report wraps its lines.
        let text = self.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>();
        let text = text.join(" ");
        for part in parts {
            assert!(text.contains(part), "no `{part}` in:\n{}", self.stderr);
        }
        self
    }
}

/// The files of a tar archive, by path.
pub(crate) fn files_of(archive: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(std::fs::File::open(archive).expect("an archive"));
    let mut files = std::collections::BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        files.insert(path, content);
    }
    files
}
