//! Local directories to the daemon and back, file kind by file kind.
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use kitwright::engine::connect::connect;
use kitwright::engine::failure::SolveError;
use kitwright::engine::session::filesync::fingerprint::{Synced, Wanted};
use kitwright::engine::session::{SessionBuilder, SessionError};
use kitwright::engine::solve::SolveRequest;

use crate::lab::{Graph, build, client, round_trip};
use crate::support::engine;
use crate::support::tap::Tap;

/// What is compared of a file: mode, size, modification time, and its content or target.
type Facts = BTreeMap<String, (u32, u64, i64, i64, Vec<u8>)>;

fn facts(root: &Path) -> Facts {
    fn walk(root: &Path, directory: &Path, into: &mut Facts) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let content = if found.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if found.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let size = if found.is_dir() { 0 } else { found.size() };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            into.insert(name, (found.mode(), size, found.mtime(), found.mtime_nsec(), content));
            if found.is_dir() {
                walk(root, &path, into);
            }
        }
    }
    let mut found = Facts::new();
    walk(root, root, &mut found);
    found
}

fn assert_same(sent: &Path, received: &Path) {
    let (sent, received) = (facts(sent), facts(received));
    assert_eq!(sent.keys().collect::<Vec<_>>(), received.keys().collect::<Vec<_>>());
    for (name, expected) in &sent {
        let got = &received[name];
        assert!(
            got == expected,
            "{name}: {:?} instead of {:?}",
            (got.0, got.1, got.2, got.3),
            (expected.0, expected.1, expected.2, expected.3)
        );
    }
}

fn names(root: &Path) -> Vec<String> {
    facts(root).into_keys().collect()
}

fn touch(path: &Path, seconds: &str) {
    let set = Command::new("touch").args(["-h", "-d", seconds]).arg(path).status().unwrap();
    assert!(set.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_file_comes_back_as_it_was() {
    let Some(client) = client().await else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = from.path();
    std::fs::create_dir_all(root.join("dir/deep")).unwrap();
    std::fs::create_dir(root.join("empty dir")).unwrap();
    std::fs::write(root.join("dir/deep/file"), b"content").unwrap();
    std::fs::write(root.join("dir/empty"), b"").unwrap();
    std::fs::write(root.join("dir.x"), b"sorts between dir and its files").unwrap();
    std::fs::write(root.join("ümlaut"), "ü").unwrap();
    // Around the sizes of buffers and packets.
    for size in [1, 4096, 131_073, 262_100, 262_126, 262_144, 262_145, 1_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        std::fs::write(root.join(format!("size-{size}")), bytes).unwrap();
    }
    symlink("dir/deep/file", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    for (name, mode) in
        [("ümlaut", 0o4755), ("dir/empty", 0o600), ("dir", 0o1777), ("dir/deep", 0o2750)]
    {
        std::fs::set_permissions(root.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let pipe = Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(pipe.success());
    touch(&root.join("link"), "2001-02-03 04:05:06.789");
    touch(&root.join("dir/deep"), "1999-12-31 23:59:59.123456789");

    round_trip(&client, root, &[], to.path()).await.unwrap();
    assert_same(root, to.path());
    assert!(to.path().join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_stay_one_file() {
    let Some(client) = client().await else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(from.path().join("b")).unwrap();
    std::fs::write(from.path().join("a"), b"one").unwrap();
    std::fs::hard_link(from.path().join("a"), from.path().join("b/c")).unwrap();
    std::fs::hard_link(from.path().join("a"), from.path().join("d")).unwrap();
    round_trip(&client, from.path(), &[], to.path()).await.unwrap();
    let inode = |name: &str| to.path().join(name).metadata().unwrap().ino();
    assert_eq!(inode("a"), inode("b/c"));
    assert_eq!(inode("a"), inode("d"));
    assert_eq!(std::fs::read(to.path().join("d")).unwrap(), b"one");

    // Without the first name, the second becomes the file.
    let to = tempfile::tempdir().unwrap();
    let exclude = [("local.excludepatterns", r#"["a"]"#)];
    round_trip(&client, from.path(), &exclude, to.path()).await.unwrap();
    assert_eq!(names(to.path()), ["b", "b/c", "d"]);
    assert_eq!(std::fs::read(to.path().join("d")).unwrap(), b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_attributes_and_devices_travel() {
    let Some(client) = client().await else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = from.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    std::fs::create_dir(from.path().join("dir")).unwrap();
    if let Err(error) = xattr::set(&file, "user.kit", b"wright\0") {
        eprintln!("skipped: no extended attributes here: {error}");
        return;
    }
    xattr::set(from.path().join("dir"), "user.of", b"dir").unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        let made =
            Command::new("mknod").arg(from.path().join("null")).args(["c", "1", "3"]).status();
        assert!(made.unwrap().success());
    }
    round_trip(&client, from.path(), &[], to.path()).await.unwrap();
    assert_eq!(xattr::get(to.path().join("file"), "user.kit").unwrap().unwrap(), b"wright\0");
    assert_eq!(xattr::get(to.path().join("dir"), "user.of").unwrap().unwrap(), b"dir");
    if root {
        let null = to.path().join("null").symlink_metadata().unwrap();
        assert!(null.file_type().is_char_device());
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_choose_what_is_sent() {
    let Some(client) = client().await else { return };
    let from = tempfile::tempdir().unwrap();
    for path in [
        "src/a.rs",
        "src/b.c",
        "src/deep/c.rs",
        "node_modules/x/y",
        "node_modules/keep",
        "README.md",
    ] {
        let path = from.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    symlink("src/deep", from.path().join("current")).unwrap();
    let cases: [(&[(&str, &str)], &[&str]); 5] = [
        (&[("local.includepattern", r#"["src/*.rs"]"#)], &["src", "src/a.rs"]),
        (
            &[("local.excludepatterns", r#"["**/*.rs","node_modules","!node_modules/keep"]"#)],
            &[
                "README.md",
                "current",
                "node_modules",
                "node_modules/keep",
                "src",
                "src/b.c",
                "src/deep",
            ],
        ),
        (
            &[("local.followpaths", r#"["current/c.rs"]"#)],
            &["current", "src", "src/deep", "src/deep/c.rs"],
        ),
        (
            &[("local.includepattern", r#"["src"]"#), ("local.excludepatterns", r#"["src/deep"]"#)],
            &["src", "src/a.rs", "src/b.c"],
        ),
        (&[("local.includepattern", r#"["nothing"]"#)], &[]),
    ];
    for (attributes, expected) in cases {
        let to = tempfile::tempdir().unwrap();
        round_trip(&client, from.path(), attributes, to.path()).await.unwrap();
        assert_eq!(names(to.path()), expected, "{attributes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_transfer_brings_changes_and_deletions() {
    let Some(client) = client().await else { return };
    let from = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        let directory = from.path().join(format!("{}", number % 50));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("f{number}")), format!("{number}")).unwrap();
    }
    let key = [("local.sharedkeyhint", "kitwright-test-changes")];
    let to = tempfile::tempdir().unwrap();
    round_trip(&client, from.path(), &key, to.path()).await.unwrap();
    assert_same(from.path(), to.path());
    std::fs::remove_file(from.path().join("7/f7")).unwrap();
    std::fs::write(from.path().join("8/f8"), b"changed").unwrap();
    std::fs::remove_file(from.path().join("9/f9")).unwrap();
    std::fs::create_dir(from.path().join("9/f9")).unwrap();
    let to = tempfile::tempdir().unwrap();
    round_trip(&client, from.path(), &key, to.path()).await.unwrap();
    // The daemon itself touches a directory when it removes a file from it.
    let files = |root: &Path| -> Facts {
        facts(root).into_iter().filter(|(_, (mode, ..))| mode & 0o170_000 != 0o040_000).collect()
    };
    assert!(files(from.path()) == files(to.path()));
    assert_eq!(names(from.path()), names(to.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_are_offered_as_those_of_an_earlier_session() {
    let Some(engine) = engine::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let tap = Tap::start(&folder.path().join("tap.sock"), &engine.address);
    let client = connect(&tap.address.parse().unwrap()).await.unwrap();
    let earlier = SessionBuilder::new().session_id().to_owned();
    let synced = Synced::default();
    let session = SessionBuilder::new().directory("context", folder.path());
    let session = session.noting(synced.clone()).in_place_of(Some(earlier.clone()));
    let mut graph = Graph::default();
    let source = graph.source("local://context", &[("local.session", &earlier)]);
    let request = SolveRequest::definition(graph.finish(&source));
    build(&client, request, session).await.0.unwrap();
    // Without it the daemon would turn to the build's own session in the end.
    assert_eq!(tap.sessions(), 2);
    let noted: Vec<Wanted> = synced.taken().into_keys().collect();
    assert_eq!(noted, [Wanted { name: "context".into(), ..Wanted::default() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_context_is_named() {
    let Some(client) = client().await else { return };
    let to = tempfile::tempdir().unwrap();
    let gone = to.path().join("gone");
    let error = round_trip(&client, &gone, &[], to.path()).await.unwrap_err();
    let SolveError::Session(SessionError::Context { path, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(path, &gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pattern_is_named() {
    let Some(client) = client().await else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let include = [("local.includepattern", r#"["a["]"#)];
    let error = round_trip(&client, from.path(), &include, to.path()).await.unwrap_err();
    assert!(error.to_string().contains("`a[`"), "{error}");
}
