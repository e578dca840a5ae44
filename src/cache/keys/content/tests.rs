//! Tests of content digests. That they are BuildKit's is shown against a real engine in
//! `tests/build/prediction.rs`; here is what must and must not change them.
use super::*;

fn file(path: &str, content: &str) -> File {
    File { path: path.into(), digest: Digest::of(content.as_bytes()), kind: FileKind::File }
}

fn directory(path: &str) -> File {
    File { kind: FileKind::Directory, ..file(path, "a directory") }
}

fn link(path: &str, target: &str) -> File {
    File { kind: FileKind::Symlink(target.into()), ..file(path, target) }
}

fn files() -> Vec<File> {
    vec![
        directory("a"),
        file("a/one", "1"),
        file("a/two.md", "2"),
        directory("a/sub"),
        file("a/sub/three", "3"),
        file("a-b", "4"),
        link("l", "a"),
        link("round", "round"),
        link("up", "../../a/one"),
    ]
}

fn digest(files: &[File], selector: &Selector) -> Result<Digest, ContentError> {
    Tree::new(files).unwrap().digest(std::slice::from_ref(selector))
}

fn copied(path: &str) -> Selector {
    let wildcard = has_wildcards(path);
    Selector { wildcard, ..Selector::followed(path) }
}

/// The files with another content at `path`.
fn changed(path: &str) -> Vec<File> {
    let mut files = files();
    let at = files.iter().position(|file| file.path == path.as_bytes()).unwrap();
    files[at].digest = Digest::of(b"changed");
    files
}

#[test]
fn only_what_is_selected_counts() {
    let excluding = |patterns: &[&str]| Selector {
        exclude: patterns.iter().map(|p| (*p).to_owned()).collect(),
        ..copied("/a")
    };
    let including = |patterns: &[&str]| Selector {
        include: patterns.iter().map(|p| (*p).to_owned()).collect(),
        ..copied("/a")
    };
    for (selector, counts, does_not) in [
        (copied("/a"), vec!["a/one", "a/sub/three", "a/sub", "a"], vec!["a-b", "l"]),
        (copied("/"), vec!["a/one", "a-b", "l"], vec![]),
        (copied("/a/*"), vec!["a/one", "a/sub/three", "a/sub"], vec!["a", "a-b"]),
        (copied("/a*"), vec!["a/one", "a-b", "a"], vec!["l"]),
        (copied("/l/one"), vec!["a/one"], vec!["a/two.md", "l"]),
        (copied("/l/o*"), vec!["a/one"], vec!["a/two.md"]),
        (copied("/up"), vec!["a/one"], vec!["a/two.md"]),
        (excluding(&["*.md", "sub"]), vec!["a/one"], vec!["a/two.md", "a/sub/three", "a-b"]),
        (including(&["*.md"]), vec!["a/two.md"], vec!["a/one", "a/sub/three"]),
        (excluding(&["**", "!sub/three"]), vec!["a/sub/three", "a/sub"], vec!["a/one"]),
    ] {
        let before = digest(&files(), &selector).unwrap();
        for path in counts {
            assert_ne!(digest(&changed(path), &selector).unwrap(), before, "{path}: {selector:?}");
        }
        for path in does_not {
            assert_eq!(digest(&changed(path), &selector).unwrap(), before, "{path}: {selector:?}");
        }
    }
}

#[test]
fn a_directory_counts_by_its_links_and_not_by_what_they_lead_to() {
    let whole = copied("/");
    let before = digest(&files(), &whole).unwrap();
    let mut other = files();
    other.retain(|file| file.path != b"l");
    other.push(link("l", "a-b"));
    assert_ne!(digest(&other, &whole).unwrap(), before);
    // A file that is followed counts as its target does, under any name.
    assert_eq!(digest(&files(), &copied("/up")), digest(&files(), &copied("/a/one")));
}

#[test]
fn hard_links_have_the_first_names_digest() {
    let mut linked = files();
    linked.push(File { kind: FileKind::HardLink(b"a/one".to_vec()), ..file("z", "other") });
    assert_eq!(digest(&linked, &copied("/z")), digest(&linked, &copied("/a/one")));
}

#[test]
fn the_order_of_files_is_that_of_their_elements() {
    let mut reversed = files();
    reversed.reverse();
    let whole = copied("/");
    assert_eq!(digest(&reversed, &whole), digest(&files(), &whole));
}

#[test]
fn what_has_no_digest_says_why() {
    let missing = digest(&files(), &copied("/nothing")).unwrap_err();
    assert_eq!(missing.to_string(), "`/nothing` is not in the context");
    assert!(matches!(digest(&files(), &copied("/round")), Err(ContentError::Links(_))));
    let required = Selector { required: vec!["/a/x".into()], ..copied("/a/*") };
    assert_eq!(digest(&files(), &required), Err(ContentError::Missing("/a/x".into())));
    assert!(matches!(Tree::new(&[]), Err(ContentError::Empty)));
}

#[test]
fn a_pattern_that_matches_nothing_is_the_digest_of_nothing() {
    let none = digest(&files(), &copied("/x*")).unwrap();
    assert_eq!(none, Digest::of(Digest::of(b"").to_string().as_bytes()));
}
