//! The oracle: builds the Go program in `oracle/` once and puts questions to it.
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Whether BuildKit can be asked here. In CI it must be: `KITWRIGHT_REQUIRE_GO=1`.
pub fn available() -> bool {
    let found = which::which("go").is_ok();
    assert!(
        found || std::env::var_os("KITWRIGHT_REQUIRE_GO").is_none(),
        "Go is required here, but there is no `go` on PATH"
    );
    if !found {
        eprintln!("SKIPPED: no `go` on PATH, so BuildKit's compiler can't be asked");
    }
    found
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/oracle")
}

/// The program, built on first use.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
        let status = Command::new("go")
            .args(["build", "-o"])
            .arg(&path)
            .arg(".")
            .current_dir(folder())
            .status()
            .expect("go can be started");
        assert!(status.success(), "the oracle does not build");
        path
    })
}

/// Puts all questions at once and returns the answers in the same order.
pub fn ask(questions: &[Value]) -> Vec<Value> {
    let mut child = Command::new(program())
        .env("ORACLE_CONFIGS", folder().with_file_name("configs.json"))
        // ssh-keyscan would ask the network about the hosts of Git references.
        .env("PATH", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle can be started");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let lines: Vec<String> = questions.iter().map(Value::to_string).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            if writeln!(input, "{line}").is_err() {
                return;
            }
        }
    });
    let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let answers: Vec<Value> = output
        .lines()
        .map(|line| {
            serde_json::from_str(&line.expect("the oracle writes text")).expect("answers are JSON")
        })
        .collect();
    writer.join().expect("questions are written");
    assert!(child.wait().expect("the oracle ends").success(), "the oracle failed");
    assert_eq!(answers.len(), questions.len(), "one answer a question");
    answers
}

/// Where the module `name` lies in the module cache.
pub fn module_directory(name: &str) -> Option<PathBuf> {
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", name])
        .current_dir(folder())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|path| path.is_dir())
}
