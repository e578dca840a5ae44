use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn read(path: &str, exclude: &[&str]) -> Read {
    Read {
        source: "context".into(),
        path: path.into(),
        wildcard: true,
        include: Vec::new(),
        exclude: exclude.iter().map(ToString::to_string).collect(),
    }
}

/// A context with a file in it for each path.
fn context(files: &[(&str, &str)]) -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    let exclude = vec!["*.log".to_owned()];
    let directory = Directory { root: folder.path().to_owned(), exclude };
    (folder, directory)
}

fn key(directory: &Directory, read: &Read) -> Digest {
    digest(directory, read, &mut Memory::empty()).unwrap()
}

const FILES: &[(&str, &str)] = &[("src/a", "1"), ("src/b.md", "2"), ("other", "3"), ("x.log", "4")];

#[test]
fn the_place_and_the_times_do_not_count() {
    let ((_one, first), (_two, second)) = (context(FILES), context(FILES));
    let file = fs_err::File::options().write(true).open(second.root.join("src/a")).unwrap();
    file.file().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(key(&first, &read("/", &[])), key(&second, &read("/", &[])));
}

#[test]
fn only_what_is_read_counts() {
    let (_folder, directory) = context(FILES);
    let reads =
        [read("/src", &[]), read("/src", &["*.md"]), read("/s*", &["*.md"]), read("/", &[])];
    let before = reads.each_ref().map(|read| key(&directory, read));
    let changed = |path: &str| {
        fs_err::write(directory.root.join(path), "changed").unwrap();
        let after = reads.each_ref().map(|read| key(&directory, read));
        let differs: Vec<bool> = before.iter().zip(after).map(|(b, a)| *b != a).collect();
        differs
    };
    assert_eq!(changed("x.log"), [false; 4]);
    assert_eq!(changed("other"), [false, false, false, true]);
    assert_eq!(changed("src/b.md"), [true, false, false, true]);
    assert_eq!(changed("src/a"), [true; 4]);
}

#[test]
fn modes_and_links_count() {
    let (_folder, directory) = context(FILES);
    let all = read("/", &[]);
    let mut seen = vec![key(&directory, &all)];
    let path = directory.root.join("src/a");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    seen.push(key(&directory, &all));
    for target in ["one", "two"] {
        let link = directory.root.join("link");
        let _ = fs_err::remove_file(&link);
        fs_err::os::unix::fs::symlink(target, &link).unwrap();
        seen.push(key(&directory, &all));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn extended_attributes_count() {
    let (_folder, directory) = context(FILES);
    let all = read("/", &[]);
    let mut memory = Memory::empty();
    let mut digests = vec![digest(&directory, &all, &mut memory).unwrap()];
    for (path, value) in [("src/a", "1"), ("src/a", "2"), ("src", "2")] {
        memory.age();
        xattr::set(directory.root.join(path), "user.test", value.as_bytes()).unwrap();
        digests.push(digest(&directory, &all, &mut memory).unwrap());
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 4);
}

#[test]
fn a_link_that_is_read_counts_with_what_it_leads_to() {
    let (_folder, directory) = context(FILES);
    fs_err::os::unix::fs::symlink("src", directory.root.join("current")).unwrap();
    let before = key(&directory, &read("/current", &[]));
    fs_err::write(directory.root.join("src/a"), "changed").unwrap();
    assert_ne!(key(&directory, &read("/current", &[])), before);
}

#[test]
fn what_is_remembered_is_not_read_again_and_what_changed_is() {
    let (_folder, directory) = context(FILES);
    let all = read("/", &[]);
    let mut memory = Memory::empty();
    let first = digest(&directory, &all, &mut memory).unwrap();
    memory.age();
    // All at once first, then each by itself.
    for hits in [0, 3] {
        assert_eq!(digest(&directory, &all, &mut memory).unwrap(), first);
        assert_eq!(memory.hits(), hits);
        memory.forget_answers();
        memory.age();
    }
    // Same size, and the modification time put back: the change time tells.
    let path = directory.root.join("src/a");
    let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
    fs_err::write(&path, "9").unwrap();
    let file = fs_err::File::options().write(true).open(&path).unwrap();
    file.file().set_modified(modified).unwrap();
    assert_ne!(digest(&directory, &all, &mut memory).unwrap(), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any changed byte of a used file changes the key; any of an unused one does not.
    #[test]
    fn any_byte_counts(content in proptest::collection::vec(any::<u8>(), 1..200), at in any::<usize>(), flip in 1..=255_u8) {
        let (_folder, directory) = context(&[("used/f", ""), ("unused/f", "")]);
        let mut other = content.clone();
        let place = at % other.len();
        other[place] ^= flip;
        let with = |path: &str, content: &[u8]| {
            fs_err::write(directory.root.join(path), content).unwrap();
            key(&directory, &read("/used", &[]))
        };
        let before = with("used/f", &content);
        prop_assert_eq!(with("unused/f", &other), before);
        prop_assert_ne!(with("used/f", &other), before);
    }
}
