//! Proof that kitwright's compiler equals BuildKit's: the same vertices, image configs, findings and errors.
//!
//! Expectations are BuildKit's own answers, obtained from the program in `oracle/` and checked in. To write
//! them again (needs Go): `KITWRIGHT_REGENERATE=1 cargo test --test reference regenerate`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod case;
mod cases;
mod command;
mod compare;
mod held_out;
mod lists;
mod made_up;
mod mutate;
mod oracle;
mod ours;
mod outcome;
mod parsing;
mod stub;
mod texts;

use outcome::Outcome;

/// Checks that the expectations are still BuildKit's answers, or writes them.
#[test]
fn regenerate() {
    if !oracle::available() {
        return;
    }
    let write = std::env::var_os("KITWRIGHT_REGENERATE").is_some();
    let cases = case::all();
    let questions: Vec<_> = cases.iter().map(|case| case.question(false)).collect();
    let mut stale = Vec::new();
    for (case, answer) in cases.iter().zip(oracle::ask(&questions)) {
        assert!(!answer["error"]["panic"].as_bool().unwrap_or_default(), "{}: {answer}", case.name);
        let path = case.directory.as_ref().unwrap().join("expect.json");
        let text = Outcome::of_answer(&answer).render();
        if write {
            fs_err::write(&path, text).unwrap();
        } else if fs_err::read_to_string(&path).unwrap_or_default() != text {
            stale.push(case.name.as_str());
        }
    }
    assert!(stale.is_empty(), "expectations that are not BuildKit's answers: {stale:?}");
}
