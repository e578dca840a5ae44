//! A case: a directory with a Dockerfile, the options given with it, and what BuildKit makes of it.
//!
//! | file | holds |
//! |---|---|
//! | `Dockerfile` | the input, byte by byte |
//! | `args` | one option a line, see [`Case::option`] |
//! | `dockerignore` | `.dockerignore` of the build context |
//! | `NAME.context-dockerignore` | `.dockerignore` of the local directory `NAME` of a named context |
//! | `*.dockerignore` | the ignore file of that Dockerfile (`%2F` stands for `/`) |
//! | `expect.json` | BuildKit's answer, written by the oracle |
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::stub;

/// The session that every expectation was made with: it lies inside digests.
pub const SESSION: &str = "llboracle-session";

/// One input of the comparison.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// How reports and list files call it.
    pub name: String,
    /// Where it came from; `None` for a generated one.
    pub directory: Option<PathBuf>,
    pub dockerfile: Vec<u8>,
    /// Options of the frontend, as a client sends them.
    pub options: BTreeMap<String, String>,
    /// The stub config of images that `images` does not name.
    pub stub: String,
    /// Stub configs by normalised reference.
    pub images: BTreeMap<String, String>,
    /// Files by local directory and path.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether an HTTP context is an archive.
    pub archive: bool,
    /// The platforms of the engine.
    pub workers: Vec<String>,
}

impl Case {
    /// A case of a Dockerfile alone.
    pub fn of(name: &str, dockerfile: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            dockerfile: dockerfile.to_vec(),
            stub: "plain".to_owned(),
            ..Self::default()
        }
    }

    fn read(directory: &Path) -> Self {
        let group = directory.parent().and_then(Path::file_name).expect("cases lie in a folder");
        let own = directory.file_name().expect("a case has a name").to_string_lossy();
        let text = fs_err::read(directory.join("Dockerfile")).expect("a case has a Dockerfile");
        let mut case = Self::of(&format!("{}/{own}", group.to_string_lossy()), &text);
        case.directory = Some(directory.to_owned());
        if let Ok(args) = fs_err::read_to_string(directory.join("args")) {
            args.lines().filter(|line| !line.trim().is_empty()).for_each(|line| case.option(line));
        }
        for entry in fs_err::read_dir(directory).expect("a case can be listed") {
            let entry = entry.expect("a case can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            let (local, path) = if name == "dockerignore" {
                (case.context_name(), ".dockerignore".to_owned())
            } else if let Some(context) = name.strip_suffix(".context-dockerignore") {
                (context.to_owned(), ".dockerignore".to_owned())
            } else if name.ends_with(".dockerignore") {
                ("dockerfile".to_owned(), name.replace("%2F", "/"))
            } else {
                continue;
            };
            let text = fs_err::read_to_string(entry.path()).expect("an ignore file is text");
            case.files.entry(local).or_default().insert(path, text);
        }
        case
    }

    /// The local directory that the frontend takes `.dockerignore` from.
    pub fn context_name(&self) -> String {
        "context".to_owned()
    }

    /// Takes one line of `args`.
    fn option(&mut self, line: &str) {
        let (flag, value) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || value.split_once('=').unwrap_or_else(|| panic!("{}: `{line}`", self.name));
        match flag {
            "--opt" => {
                // Names of options may hold colons and, in named contexts, no `=`.
                let (key, value) = pair();
                self.options.insert(key.to_owned(), value.to_owned());
            }
            "--build-arg" => {
                let (key, value) = pair();
                self.options.insert(format!("build-arg:{key}"), value.to_owned());
            }
            "--platform" | "--target" => {
                self.options.insert(flag[2..].to_owned(), value.to_owned());
            }
            "--stub" => self.stub = value.to_owned(),
            "--image" => {
                let (key, value) = pair();
                self.images.insert(key.to_owned(), value.to_owned());
            }
            "--worker" => self.workers.push(value.to_owned()),
            "--archive" => self.archive = true,
            _ => panic!("{}: unknown option `{line}`", self.name),
        }
    }

    /// The question to the oracle.
    pub fn question(&self, raw: bool) -> Value {
        use base64::Engine as _;
        json!({
            "id": self.name,
            "dockerfile": base64::engine::general_purpose::STANDARD.encode(&self.dockerfile),
            "opts": self.options,
            "session": SESSION,
            "stub": self.stub,
            "images": self.images,
            "files": self.files,
            "archive": self.archive,
            "workers": self.workers,
            "raw": raw,
        })
    }

    /// The config that stands for `reference`; `None` when nobody has the image.
    pub fn image_config(
        &self,
        reference: &str,
        os: &str,
        arch: &str,
        variant: &str,
    ) -> Option<String> {
        let stub = self.images.get(reference).unwrap_or(&self.stub);
        stub::config(stub, reference, os, arch, variant)
    }
}

/// The folder of cases and corpus.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfile")
}

/// All cases of the folders below [`root`], in order; `KITWRIGHT_CASE` picks those whose name holds it.
pub fn all() -> Vec<Case> {
    let wanted = std::env::var("KITWRIGHT_CASE").unwrap_or_default();
    let mut cases = Vec::new();
    for group in ["cases", "corpus"] {
        let Ok(entries) = fs_err::read_dir(root().join(group)) else { continue };
        for entry in entries {
            let path = entry.expect("cases can be listed").path();
            if path.join("Dockerfile").exists() {
                cases.push(Case::read(&path));
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases.retain(|case| case.name.contains(&wanted));
    cases
}
