//! Any text is a Git reference, none, or a bad one; what is read can be read again.
#![no_main]

use kitwright::plan::dockerfile::git_ref::{GitRef, is_git};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match GitRef::parse(text) {
        Ok(None) => assert!(!is_git(text)),
        Ok(Some(git)) => {
            assert!(is_git(text));
            assert!(!git.subdir.starts_with('/'));
        }
        Err(error) => assert!(is_git(text) && !error.to_string().is_empty()),
    }
});
