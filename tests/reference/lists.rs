//! The lists of cases that differ: `pending.txt`, which is to become empty, and `exceptions.txt`.
use std::collections::BTreeMap;

/// Cases that fail and must not go on doing so, with the reason.
pub fn pending() -> BTreeMap<String, String> {
    read(include_str!("pending.txt"))
}

/// Cases in which kitwright means to differ, with the reason.
pub fn exceptions() -> BTreeMap<String, String> {
    read(include_str!("exceptions.txt"))
}

fn read(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "`{name}` needs a reason");
            (name.to_owned(), reason.trim().to_owned())
        })
        .collect()
}
