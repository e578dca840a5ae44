//! Which cache import is at fault when a build that reads caches fails.
//!
//! The engine lets a build fail when a blob of a cache breaks on its way, because it has already
//! decided not to run the step. Solved again without that cache, the build runs the step instead; all
//! else is done. Input: the engine's message and the imports. Output: those to leave out.
use std::collections::BTreeSet;

use super::hierarchy;
use super::probe::ProbedRef;
use super::watch::Stall;
use crate::engine::solve::CacheEntry;
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;

/// What the engine says when content that it counts on cannot be had.
const FETCHING: [&str; 12] = [
    "httpReadSeeker",
    "failed to copy",
    "failed to fetch",
    "failed to load cache",
    "failed to load ref",
    "failed to get cache",
    "missing descriptor handlers",
    "unexpected commit digest",
    "unexpected commit size",
    "failed size validation",
    "unexpected EOF",
    "failed to do request",
];

/// The most of a message that a line shows: its end says the most.
const MESSAGE_ROOM: usize = 400;

/// An import that a build uses.
#[derive(Clone, Debug)]
pub struct Import {
    /// What people call it.
    pub name: String,
    /// The import.
    pub entry: CacheEntry,
    /// What it holds, if it was probed.
    pub probed: Option<Box<ProbedRef>>,
}

impl Import {
    /// An import of which nothing more is known.
    #[must_use]
    pub fn new(entry: CacheEntry) -> Self {
        Self { name: hierarchy::name(&entry), entry, probed: None }
    }

    /// Whether a blob may be of this cache; nobody has looked into one that was not probed.
    #[must_use]
    pub fn may_hold(&self, digest: Digest) -> bool {
        self.probed.as_ref().is_none_or(|probed| probed.holds(digest))
    }

    fn holds(&self, digest: Digest) -> bool {
        self.probed.is_some() && self.may_hold(digest)
    }

    /// Whether `message` has the address of the repository that the import is in, or its name as those
    /// give it who read it for the engine.
    fn is_named_in(&self, message: &str) -> bool {
        if message.contains(&format!(" of the cache `{}`: ", self.name)) {
            return true;
        }
        let name =
            self.entry.attributes.get("ref").and_then(|name| ImageReference::parse(name).ok());
        name.is_some_and(|name| {
            message.contains(&format!("{}/v2/{}/", name.registry(), name.repository()))
        })
    }
}

/// Whether a failed build's message is of content that could not be fetched.
#[must_use]
pub fn is_of_content(message: &str) -> bool {
    !message.contains("/blobs/uploads/") && FETCHING.iter().any(|words| message.contains(words))
}

/// The positions in `imports` of those that a failed build's message blames.
///
/// By the digest in it; else by the address of a repository; else, when the message is of content
/// that could not be fetched, all of them. An upload is never an import's fault.
#[must_use]
pub fn culprits(message: &str, imports: &[Import]) -> Vec<usize> {
    if message.contains("/blobs/uploads/") {
        return Vec::new();
    }
    let blamed = |blame: &dyn Fn(&Import) -> bool| -> Vec<usize> {
        let numbered = imports.iter().enumerate();
        numbered.filter(|(_, import)| blame(import)).map(|(index, _)| index).collect()
    };
    let digests = digests(message);
    let by_digest = blamed(&|import| digests.iter().any(|digest| import.holds(*digest)));
    let named = |found: &[usize]| -> Vec<usize> {
        found.iter().copied().filter(|at| imports[*at].is_named_in(message)).collect()
    };
    if !by_digest.is_empty() {
        // Several caches can have a layer in common.
        let named = named(&by_digest);
        return if named.is_empty() { by_digest } else { named };
    }
    if !is_of_content(message) {
        return Vec::new();
    }
    let by_address = named(&blamed(&|_| true));
    if !by_address.is_empty() {
        return by_address;
    }
    // A digest that no probed cache holds is one of a cache that nobody has looked into, or no
    // cache's at all.
    if digests.is_empty() { blamed(&|_| true) } else { blamed(&|import| import.probed.is_none()) }
}

/// The positions in `imports` of those that stand still.
#[must_use]
pub fn stalled(stalls: &[Stall], imports: &[Import]) -> Vec<usize> {
    let is_stuck = |import: &Import| {
        stalls.iter().any(|stall| match stall {
            Stall::Manifest(name) => {
                import.name == *name || name.starts_with(&format!("{}:", import.entry.kind))
            }
            Stall::Blob(digest) => import.holds(*digest),
            Stall::Result(_) => false,
        })
    };
    let stuck = |blame: &dyn Fn(&Import) -> bool| -> Vec<usize> {
        let numbered = imports.iter().enumerate();
        numbered.filter(|(_, import)| blame(import)).map(|(index, _)| index).collect()
    };
    let mut found = stuck(&is_stuck);
    if found.is_empty() {
        found = stuck(&|import| import.probed.is_none());
    }
    // Of a result the engine does not say whose it is.
    if found.is_empty() { stuck(&|_| true) } else { found }
}

/// What people call the import that the engine knows as `what`.
///
/// Caches that are in no registry the engine calls by their type and a number.
#[must_use]
pub fn called<'a>(what: &'a str, imports: &'a [Import]) -> &'a str {
    let kind = what.split_once(':').map_or(what, |(kind, _)| kind);
    let mut alike = imports.iter().filter(|import| import.entry.kind == kind);
    match (alike.next(), alike.next()) {
        (Some(only), None) if imports.iter().all(|import| import.name != what) => &only.name,
        _ => what,
    }
}

/// An engine's message for a line on the display: its last cause, without what URLs keep secret.
#[must_use]
pub fn spoken(message: &str) -> String {
    let words = message.split_inclusive(char::is_whitespace).map(|word| {
        match (word.find("://"), word.find('?')) {
            (Some(scheme), Some(query)) if scheme < query => {
                let end = word[query..].find(['"', ':', ' ']).map_or(word.len(), |end| query + end);
                format!("{}{}", &word[..query], &word[end..])
            }
            _ => word.to_owned(),
        }
    });
    let text: String = words.collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let kept = text.floor_char_boundary(text.len().saturating_sub(MESSAGE_ROOM));
    if kept == 0 { text } else { format!("…{}", &text[kept..]) }
}

/// Every `sha256:…` in a text, also where a URL spells its colon as `%3A`.
fn digests(text: &str) -> BTreeSet<Digest> {
    let starts = ["sha256:", "sha256%3A", "sha256%3a"];
    let hex = |start: &str| {
        let found = text
            .match_indices(start)
            .filter_map(|(at, _)| text.get(at + start.len()..at + start.len() + 64));
        found.filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect::<Vec<Digest>>()
    };
    starts.iter().flat_map(|start| hex(start)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn import(reference: &str) -> Import {
        let attributes = BTreeMap::from([("ref".to_owned(), reference.to_owned())]);
        Import::new(CacheEntry { kind: "registry".into(), attributes })
    }

    #[test]
    fn a_message_blames_by_address_and_else_all() {
        let imports = [import("a.io/x:c"), import("b.io/y:c")];
        let at = "httpReadSeeker: failed open: unexpected status from GET request to \
                  https://b.io/v2/y/blobs/sha256:00: 401";
        assert_eq!(culprits(at, &imports), [1]);
        let cut = "failed to copy: read tcp 127.0.0.1:1->127.0.0.1:2: connection reset by peer";
        assert_eq!(culprits(cut, &imports), [0, 1]);
        for other in [
            "process \"false\" did not complete successfully: exit code: 1",
            "failed to copy: failed to do request: Put https://b.io/v2/y/blobs/uploads/1: EOF",
            "b.io/y:image: not found",
        ] {
            assert!(culprits(other, &imports).is_empty(), "{other}");
        }
    }

    #[test]
    fn what_is_said_keeps_no_secrets() {
        let said =
            spoken("GET \"https://x.blob/a?sig=SECRET\": 404\n  retrying https://y/b?t=SECRET");
        assert!(!said.contains("SECRET") && said.contains("https://x.blob/a\": 404"), "{said}");
        assert_eq!(spoken("plain: why? because"), "plain: why? because");
        assert!(spoken(&"long ".repeat(200)).len() <= MESSAGE_ROOM + 4);
    }

    #[test]
    fn digests_are_found_in_any_spelling() {
        let digest = Digest::of(b"x");
        for text in [format!("layer-{digest}\":"), format!("?digest=sha256%3A{}&x", digest.hex())] {
            assert!(digests(&text).contains(&digest), "{text}");
        }
        assert!(digests("sha256:12 sha256:é").is_empty());
    }

    #[test]
    fn a_message_of_who_reads_for_the_engine_blames_by_name() {
        let entry = |name: &str| CacheEntry {
            kind: "local".into(),
            attributes: BTreeMap::from([("src".to_owned(), hierarchy::served(name))]),
        };
        let imports = [import("a.io/x:c"), Import::new(entry("gha:ci")), Import::new(entry("gha"))];
        let message = "failed to copy: failed to fetch sha256:00 of the cache `gha:ci`: refused";
        assert_eq!(culprits(message, &imports), [1]);
        assert_eq!(called("local:123", &imports[..2]), "gha:ci");
        assert_eq!(called("local:123", &imports), "local:123");
        assert_eq!(called("a.io/x:c", &imports), "a.io/x:c");
    }

    #[test]
    fn a_stall_blames_the_cache_by_its_name() {
        let imports = [import("a.io/x:c"), import("b.io/y:c")];
        let stall = Stall::Manifest("b.io/y:c".into());
        assert_eq!(stalled(&[stall], &imports), [1]);
    }
}
