//! The grammar's edges, and properties that hold for every text.
use proptest::prelude::*;

use super::*;
use crate::fault::{Classified as _, Fault};

const HEX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn parse(text: &str) -> ImageReference {
    ImageReference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn short_names_are_made_whole_and_short_again() {
    let cases = [
        ("ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04", "ubuntu:24.04"),
        ("library/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("index.docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
        ("moby/buildkit:rootless", "docker.io/moby/buildkit:rootless", "moby/buildkit:rootless"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost", "docker.io/library/localhost", "localhost"),
        ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x"),
        ("docker.io/a.b/x", "docker.io/a.b/x", "docker.io/a.b/x"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("test.com:5000", "docker.io/library/test.com:5000", "test.com:5000"),
        ("192.168.1.1/repo", "192.168.1.1/repo", "192.168.1.1/repo"),
        ("[::1]:5000/repo", "[::1]:5000/repo", "[::1]:5000/repo"),
        ("[2001:db8::1]/repo", "[2001:db8::1]/repo", "[2001:db8::1]/repo"),
        ("ghcr.io/org/repo/ci:v2", "ghcr.io/org/repo/ci:v2", "ghcr.io/org/repo/ci:v2"),
        ("Foo/bar", "Foo/bar", "Foo/bar"),
        ("a__b/c---d.e_f", "docker.io/a__b/c---d.e_f", "a__b/c---d.e_f"),
        ("xn--n3h.com/x:xn--n3h.com", "xn--n3h.com/x:xn--n3h.com", "xn--n3h.com/x:xn--n3h.com"),
    ];
    for (text, full, familiar) in cases {
        let reference = parse(text);
        assert_eq!(reference.to_string(), full);
        assert_eq!(reference.familiar(), familiar);
        assert_eq!(parse(full), reference);
        assert_eq!(parse(familiar), reference);
    }
}

#[test]
fn tag_and_digest_stand_together_and_the_digest_selects() {
    let text = format!("ubuntu:24.04@sha256:{HEX}");
    let reference = parse(&text);
    assert_eq!(reference.tag(), Some("24.04"));
    assert_eq!(reference.selector(), format!("sha256:{HEX}"));
    assert_eq!(reference.familiar(), text);
    assert_eq!(reference.clone().tag_name_only(), reference);
    assert_eq!(reference.name_only().to_string(), "docker.io/library/ubuntu");
    assert_eq!(reference.with_tag("x").unwrap().to_string(), "docker.io/library/ubuntu:x");
    assert_eq!(parse("a").tag_name_only().to_string(), "docker.io/library/a:latest");
    assert_eq!(parse("a").selector(), "latest");
}

#[test]
fn each_breach_names_its_part() {
    let long = format!("docker.io/{}", "a".repeat(256));
    let tag = "t".repeat(129);
    let cases = [
        ("", "image reference `` has no repository name"),
        (":tag", "image reference `:tag` has no repository name"),
        ("ghcr.io/", "image reference `ghcr.io/` has no repository name"),
        (HEX, &format!("image reference `{HEX}` is an image id, not a repository name")),
        (
            "Ubuntu:24.04",
            "image reference `Ubuntu:24.04` has upper-case letters in its repository name",
        ),
        (
            "ghcr.io/Org/x",
            "image reference `ghcr.io/Org/x` has upper-case letters in its repository name",
        ),
        (
            "Foo_bar.com/x",
            "image reference `Foo_bar.com/x` names `Foo_bar.com`, which is not a registry host",
        ),
        (
            "https://ghcr.io/x",
            "image reference `https://ghcr.io/x` names `https:`, which is not a registry host",
        ),
        ("-a.b/x", "image reference `-a.b/x` names `-a.b`, which is not a registry host"),
        ("a//b", "image reference `a//b` has the bad repository component ``"),
        ("a___b", "image reference `a___b` has the bad repository component `a___b`"),
        ("a-_b", "image reference `a-_b` has the bad repository component `a-_b`"),
        ("a.", "image reference `a.` has the bad repository component `a.`"),
        ("a$ b", "image reference `a$ b` has the bad repository component `a$ b`"),
        (&long, &format!("image reference `{long}` has a repository name of 264 characters")),
        ("a:", "image reference `a:` has the bad tag ``"),
        ("a:.x", "image reference `a:.x` has the bad tag `.x`"),
        ("a:b:c", "image reference `a:b:c` has the bad tag `b:c`"),
        (&format!("a:{tag}"), &format!("image reference `a:{tag}` has the bad tag `{tag}`")),
        ("a@sha256:ff", "image reference `a@sha256:ff` has a bad digest"),
        ("a@", "image reference `a@` has a bad digest"),
    ];
    for (text, message) in cases {
        let error = ImageReference::parse(text).expect_err(text);
        assert_eq!(error.to_string(), *message, "{text}");
        assert_eq!(error.fault(), Fault::Usage);
    }
}

/// The same grammar as a regular expression, from the distribution specification.
fn by_regex(full: &str) -> bool {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let host = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let whole = format!(
        r"^{host}/{component}(?:/{component})*(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})?(?:@sha256:[a-f0-9]{{64}})?$"
    );
    regex::Regex::new(&whole).expect("a regular expression").is_match(full)
}

proptest! {
    #[test]
    fn no_text_panics_and_what_parses_prints_back(text in r"\PC{0,40}") {
        if let Ok(reference) = ImageReference::parse(&text) {
            prop_assert_eq!(&ImageReference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&ImageReference::parse(&reference.familiar()).unwrap(), &reference);
        }
    }

    #[test]
    fn agrees_with_the_grammar(text in r"[a-zA.:/_@\-\[\]]{1,12}") {
        let full = format!("r.io/{text}");
        prop_assert_eq!(ImageReference::parse(&full).is_ok(), by_regex(&full), "{}", full);
    }
}

#[test]
fn a_repository_named_like_the_default_registry_keeps_its_registry() {
    for name in ["docker.io/docker.io/libr", "docker.io/index.docker.io/x"] {
        let reference = parse(name);
        assert_eq!(parse(&reference.familiar()), reference, "{}", reference.familiar());
    }
}
