//! Every case against BuildKit's answer: the one that is checked in, and the one of the running oracle.
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::case::{self, Case};
use crate::compare::compare;
use crate::outcome::Outcome;
use crate::{lists, oracle, ours};

/// Our answer; a panic is one too.
pub fn answer(case: &Case) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| ours::outcome(case))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        format!("PANIC: {}", text.unwrap_or_default())
    })
}

/// Compares all, prints the numbers, and fails unless what differs is what the lists say.
pub fn check(what: &str, pairs: &[(&Case, Outcome)]) {
    let (pending, exceptions) = (lists::pending(), lists::exceptions());
    let (mut vertices, mut equal_vertices, mut equal) = (0, 0, 0);
    let mut failures = Vec::new();
    let mut mended = Vec::new();
    for (case, theirs) in pairs {
        let difference = match answer(case) {
            Ok(ours) => {
                let (count, result) = compare(&ours, theirs);
                vertices += count.vertices;
                equal_vertices += count.equal;
                result.err()
            }
            Err(panic) => Some(panic),
        };
        // Variants of one file are listed once: `name (variant)`.
        let name = case.name.split(" (").next().unwrap();
        let listed = pending.contains_key(name) || exceptions.contains_key(name);
        match difference {
            None => {
                equal += 1;
                if listed {
                    mended.push(case.name.clone());
                }
            }
            Some(text) if !listed => failures.push(format!("{}: {text}", case.name)),
            Some(_) => {}
        }
    }
    println!(
        "{what}: {} cases, {equal} equal; {vertices} vertices, {equal_vertices} equal; {} exceptions, {} pending",
        pairs.len(),
        exceptions.len(),
        pending.len(),
    );
    let shown =
        std::env::var("KITWRIGHT_SHOW").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let text: Vec<&str> = failures.iter().take(shown).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), text.join("\n\n"));
    assert!(
        mended.is_empty(),
        "these cases equal BuildKit's answer now, take them off the list: {mended:#?}"
    );
}

/// Against the expectations that are checked in.
#[test]
fn checked_in() {
    let cases = case::all();
    let expected = |case: &Case| {
        let path = case.directory.as_ref().unwrap().join("expect.json");
        serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
    };
    let pairs: Vec<(&Case, Outcome)> = cases.iter().map(|case| (case, expected(case))).collect();
    check("checked-in expectations", &pairs);
    let known: BTreeMap<&str, ()> = cases.iter().map(|case| (case.name.as_str(), ())).collect();
    if std::env::var_os("KITWRIGHT_CASE").is_none() {
        for name in lists::pending().keys().chain(lists::exceptions().keys()) {
            let is_held_out = name.contains(".go:");
            assert!(
                is_held_out || known.contains_key(name.as_str()),
                "a list names the unknown case `{name}`"
            );
        }
    }
}

/// Against the oracle, which also gives the ops themselves.
#[test]
fn live() {
    if !oracle::available() {
        return;
    }
    let cases = case::all();
    let questions: Vec<_> = cases.iter().map(|case| case.question(true)).collect();
    let answers = oracle::ask(&questions);
    let pairs: Vec<(&Case, Outcome)> =
        cases.iter().zip(answers.iter().map(Outcome::of_answer)).collect();
    check("running oracle", &pairs);
}
