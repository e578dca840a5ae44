//! `kitwright compile` itself, as people call it: with a lock file and no engine.
use std::cell::RefCell;
use std::process::Command;

use kitwright::oci::config::ImageConfig;
use kitwright::oci::platform::Platform;
use kitwright::plan::dockerfile::{ImageQuery, ImageResolver, ResolveError, ResolvedImage};
use kitwright::plan::lock::{LockFile, LockedImage};

use crate::case::{self, Case, SESSION};
use crate::outcome::Outcome;
use crate::{lists, ours, stub};

/// Answers from the stubs and remembers the answers.
struct Recorder<'a> {
    stubs: ours::Stubs<'a>,
    lock: RefCell<LockFile>,
}

impl ImageResolver for Recorder<'_> {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let answer = self.stubs.resolve(query)?;
        if let Some(image) = &answer {
            let config = ImageConfig::parse(&image.config).expect("stub configs are configs");
            let locked = LockedImage { digest: image.digest, config };
            self.lock.borrow_mut().insert(&query.reference, &query.platform, locked);
        }
        Ok(answer)
    }
}

/// The flags for a case, if the command line has them all.
fn flags(case: &Case) -> Option<Vec<String>> {
    let mut flags = Vec::new();
    for (key, value) in &case.options {
        match key.as_str() {
            "target" => flags.push(format!("--target={value}")),
            "platform" if !value.contains(',') => flags.push(format!("--platform={value}")),
            _ => flags.push(format!("--build-arg={}={value}", key.strip_prefix("build-arg:")?)),
        }
    }
    let elsewhere = case.archive
        || !case.workers.is_empty()
        || case.files.keys().any(|local| local != "context");
    (!elsewhere).then_some(flags)
}

#[test]
fn compile_prints_the_digests() {
    if Platform::host().to_string() != "linux/amd64" {
        eprintln!("SKIPPED: the expectations without a platform are those of linux/amd64");
        return;
    }
    let exceptions = lists::exceptions();
    let mut compared = 0;
    for case in case::all().iter().filter(|case| !exceptions.contains_key(&case.name)) {
        let Some(flags) = flags(case) else { continue };
        let expected: Outcome = {
            let path = case.directory.as_ref().unwrap().join("expect.json");
            serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
        };
        compare(case, &flags, &expected);
        compared += 1;
    }
    println!("kitwright compile: {compared} cases, all equal");
    assert!(
        compared > 600 || std::env::var_os("KITWRIGHT_CASE").is_some(),
        "only {compared} cases"
    );
}

fn compare(case: &Case, flags: &[String], expected: &Outcome) {
    let recorder = Recorder { stubs: ours::Stubs(case), lock: RefCell::default() };
    ours::compile_with(case, &recorder);
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("Dockerfile"), &case.dockerfile).unwrap();
    fs_err::write(folder.path().join("the.lock"), recorder.lock.borrow().render()).unwrap();
    if let Some(text) = case.files.get("context").and_then(|files| files.get(".dockerignore")) {
        fs_err::write(folder.path().join(".dockerignore"), text).unwrap();
    }
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
        command
            .args(["compile", ".", "--lock=the.lock", "--session", SESSION])
            .args(flags)
            .args(more);
        command.current_dir(folder.path()).env_clear().env("HOME", folder.path());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), output.stdout, text)
    };
    let (code, stdout, stderr) = run(&[]);
    if expected.error.is_some() {
        assert!(matches!(code, Some(1 | 2)), "{}: exit code {code:?}: {stderr}", case.name);
        return;
    }
    assert_eq!(code, Some(0), "{}: {stderr}", case.name);
    let listed = String::from_utf8(stdout).unwrap();
    let [result] = &expected.results[..] else { panic!("{}: one platform", case.name) };
    let digests: Vec<&str> = result.vertices.iter().map(|vertex| vertex.digest.as_str()).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), digests, "{}", case.name);
    let (_, config, _) = run(&["--image-config"]);
    let config = config.strip_suffix(b"\n").unwrap_or(&config);
    assert_eq!(stub::sha256(config), result.config_digest, "{}", case.name);
}
