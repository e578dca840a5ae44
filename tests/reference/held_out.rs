//! Dockerfiles that nobody here wrote: those in BuildKit's own integration tests, and all that lie in the cache of
//! Go modules. They are read where they are and not kept.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::cases::check;
use crate::oracle;
use crate::outcome::Outcome;

#[test]
fn buildkit_integration_tests() {
    if !oracle::available() {
        return;
    }
    let module =
        oracle::module_directory("github.com/moby/buildkit").expect("the oracle links BuildKit");
    let mut texts = Vec::new();
    for entry in fs_err::read_dir(module.join("frontend/dockerfile")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with("_test.go") {
            let source = fs_err::read_to_string(&path).unwrap();
            // Format verbs stand for names of images in nearly all places.
            let fill =
                |text: &str| text.replace("%s", "busybox").replace("%[1]s", "busybox").into_bytes();
            let found = raw_strings(&source).filter(|(_, text)| looks_like_dockerfile(text));
            texts.extend(found.map(|(line, text)| (format!("{name}:{line}"), fill(text))));
        }
    }
    assert!(texts.len() > 300, "only {} Dockerfiles in BuildKit's tests", texts.len());
    compare_all("BuildKit's integration tests", &texts);
}

#[test]
fn module_cache() {
    if !oracle::available() {
        return;
    }
    let module =
        oracle::module_directory("github.com/moby/buildkit").expect("the oracle links BuildKit");
    let cache = module.ancestors().nth(3).unwrap();
    let mut files = Vec::new();
    walk(cache, &mut files);
    let mut seen = BTreeSet::new();
    let mut texts = Vec::new();
    for path in files {
        let Ok(text) = fs_err::read(&path) else { continue };
        if seen.insert(text.clone()) {
            texts.push((path.strip_prefix(cache).unwrap().display().to_string(), text));
        }
    }
    compare_all("Dockerfiles in the module cache", &texts);
}

/// Compares with several sets of options: names of stages as targets too.
fn compare_all(what: &str, texts: &[(String, Vec<u8>)]) {
    let mut cases = Vec::new();
    for (name, text) in texts {
        let plain = Case::of(name, text);
        let mut many = Case::of(&format!("{name} (platforms)"), text);
        many.options
            .insert("platform".to_owned(), "linux/amd64,linux/arm/v7,linux/arm64".to_owned());
        let mut rich = Case::of(&format!("{name} (onbuild)"), text);
        rich.stub = "onbuild".to_owned();
        for arg in ["VERSION", "TARGETARCH", "SOURCE_DATE_EPOCH"] {
            rich.options.insert(format!("build-arg:{arg}"), "7".to_owned());
        }
        rich.options.insert("no-cache".to_owned(), String::new());
        for target in stage_names(text) {
            let mut case = Case::of(&format!("{name} (target {target})"), text);
            case.options.insert("target".to_owned(), target);
            cases.push(case);
        }
        cases.extend([plain, many, rich]);
    }
    // Lines so long that they only slow the comparison down would say nothing new.
    cases.retain(|case| case.dockerfile.len() < 1 << 20);
    let questions: Vec<_> = cases.iter().map(|case| case.question(true)).collect();
    let answers = oracle::ask(&questions);
    let pairs: Vec<(&Case, Outcome)> =
        cases.iter().zip(answers.iter().map(Outcome::of_answer)).collect();
    println!("{what}: {} files", texts.len());
    check(what, &pairs);
}

/// The backquoted strings of Go source with the line each starts at.
fn raw_strings(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut line = 1;
    source.split('`').enumerate().filter_map(move |(at, text)| {
        let start = line;
        line += text.matches('\n').count();
        (at % 2 == 1).then_some((start, text))
    })
}

fn looks_like_dockerfile(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("from")) && words.next().is_some()
    })
}

fn stage_names(text: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(text);
    let name = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., keyword, name] = words[..] else { return None };
        let is_from = words[0].eq_ignore_ascii_case("from") && keyword.eq_ignore_ascii_case("as");
        is_from.then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs_err::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&path, found);
        } else if kind.is_file() {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let is_other = [".go", ".md", ".dockerignore", ".json", ".tmpl", ".txt", ".hcl"];
            if name.contains("dockerfile") && !is_other.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
}
