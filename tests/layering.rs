//! Holds the walls between the layers of `src/`: which module may name which.
use std::path::{Path, PathBuf};

/// A layer and the modules that nothing below it may name.
const WALLS: &[(&str, &[&str])] = &[
    (
        "plan",
        &["engine", "oci::registry", "oci::store", "ci", "cli", "output", "cache", "key", "bench"],
    ),
    ("oci", &["plan", "engine", "output", "cache", "key", "ci", "cli", "bench"]),
    ("engine", &["cli", "output", "ci", "bench"]),
    ("output", &["cli", "ci", "bench"]),
    ("cache", &["cli", "ci", "bench"]),
    ("key", &["cli", "ci", "bench"]),
    ("ci", &["cli", "bench"]),
    ("bench", &["ci"]),
];

/// Crates that do I/O or need a runtime, which the pure compiler must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "reqwest",
    "hyper",
    "fs_err",
    "rustix",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    // Addresses may be parsed; nothing may be connected to.
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
];

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        boundary(line[..at].chars().next_back()) && boundary(line[at + path.len()..].chars().next())
    })
}

fn breaches(layer: &str, forbidden: &[String]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(!files.is_empty(), "layer `{layer}` has files");
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for (number, line) in code_lines(&text) {
            for path in forbidden {
                if names(line, path) {
                    found.push(format!("{}:{number}: names `{path}`: {line}", file.display()));
                }
            }
        }
    }
    found
}

#[test]
fn layers_do_not_name_what_lies_above_them() {
    let mut found = Vec::new();
    for (layer, forbidden) in WALLS {
        let paths: Vec<String> =
            forbidden.iter().map(|module| format!("crate::{module}")).collect();
        found.extend(breaches(layer, &paths));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_compiler_is_pure() {
    let impure: Vec<String> = IMPURE.iter().map(ToString::to_string).collect();
    let found = breaches("plan", &impure);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_name_is_matched_whole() {
    assert!(names("use crate::ci::tags;", "crate::ci"));
    assert!(!names("use crate::cite::x;", "crate::ci"));
}
