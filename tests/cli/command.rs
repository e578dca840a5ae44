//! Runs the command in a folder of its own, with a home of its own and no environment to speak of.
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder to run the command in.
pub struct Folder {
    directory: tempfile::TempDir,
}

/// What the command did.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    /// An empty folder but for these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self { directory: tempfile::tempdir().expect("a folder") };
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs_err::write(path, text).expect("a written file");
    }

    pub fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).expect("a file of text")
    }

    /// Runs `kitwright` here.
    pub fn run(&self, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_kitwright"))
            .args(args)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path().join("home"))
            .output()
            .expect("the command starts");
        Run {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// The standard output of a command that succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// The standard error of a command that failed with `code`, having written no data.
    pub fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}
