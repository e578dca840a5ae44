use super::*;
use crate::engine::session::filesync::listing::Kind;

fn file() -> Listed {
    Listed {
        path: b"a".to_vec(),
        kind: Kind::Regular,
        mode: 0o644,
        size: 3,
        modified: -5,
        changed: 7,
        inode: u64::MAX,
    }
}

#[test]
fn what_is_saved_is_recalled_and_rubbish_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("memory");
    let (file, root) = (file(), Path::new("/r"));
    let stats = Stats::of(&[&file], nanoseconds());
    let (question, answer) = (Digest::of(b"?"), Digest::of(b"!"));
    let mut memory = Memory::open(place.clone());
    memory.note(root, [(&file, Digest::of(b"x"))]);
    memory.note_all(question, stats, answer);
    memory.save().unwrap();
    let open = || {
        let mut memory = Memory::open(place.clone());
        memory.load(root);
        memory
    };
    let tree = tree_place(&place, root);
    let again = open();
    assert_eq!(again.recall(root, &file), Some(Digest::of(b"x")));
    assert_eq!(again.recall(Path::new("/other"), &file), None);
    assert_eq!(again.recall_all(question, &stats), Some(answer));
    assert_eq!(again.recall_all(answer, &stats), None);
    for name in [tree.clone(), place.join("answers")] {
        let bytes = fs_err::read(&name).unwrap();
        for broken in [&bytes[..bytes.len() - 1], b"kwfiles0", b""] {
            fs_err::write(&name, broken).unwrap();
            let (memory, is_files) = (open(), name == tree);
            assert_eq!(memory.recall(root, &file).is_none(), is_files);
            assert_eq!(memory.recall_all(question, &stats).is_none(), !is_files);
        }
        fs_err::write(name, bytes).unwrap();
    }
}

#[test]
fn files_that_nobody_asked_for_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("memory");
    let (file, root) = (file(), Path::new("/r"));
    let mut memory = Memory::open(place.clone());
    memory.note(root, [(&file, Digest::of(b"x"))]);
    memory.save().unwrap();
    let mut memory = Memory::open(place.clone());
    memory.note_all(Digest::of(b"?"), Stats::of(&[], 0), Digest::of(b"!"));
    memory.save().unwrap();
    let mut memory = Memory::open(place);
    memory.load(root);
    assert_eq!(memory.recall(root, &file), Some(Digest::of(b"x")));
}

#[test]
fn everything_that_the_system_says_counts() {
    let first = file();
    let mut others = vec![first.clone(); 8];
    others[1].path = b"b".to_vec();
    others[2].kind = Kind::Directory;
    others[3].mode = 0o600;
    others[4].size = 4;
    others[5].modified = 1;
    others[6].changed = 1;
    others[7].inode = 1;
    let question = Digest::of(b"?");
    let mut memory = Memory::empty();
    memory.note_all(question, Stats::of(&[&first], nanoseconds()), question);
    for (number, other) in others.iter().enumerate() {
        let found = memory.recall_all(question, &Stats::of(&[other], 0));
        assert_eq!(found.is_some(), number == 0, "{number}");
    }
    // Changed while it was looked at: the next change may bear the same time.
    memory.note_all(question, Stats::of(&[&first], first.changed + GRACE), question);
    assert_eq!(memory.recall_all(question, &Stats::of(&[&first], 0)), None);
}

#[test]
fn directories_saved_longest_ago_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("memory");
    let root = |number: usize| PathBuf::from(format!("/r{number}"));
    for number in 0..=KEPT {
        let mut memory = Memory::open(place.clone());
        memory.note(&root(number), [(&file(), Digest::of(b"x"))]);
        memory.save().unwrap();
        let file = fs_err::File::options().write(true).open(tree_place(&place, &root(number)));
        let saved = UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
        file.unwrap().file().set_modified(saved).unwrap();
    }
    // Saving once more looks at how old they are.
    let mut memory = Memory::open(place.clone());
    memory.note(&root(KEPT), [(&file(), Digest::of(b"y"))]);
    memory.save().unwrap();
    let kept = |number| tree_place(&place, &root(number)).exists();
    assert_eq!([0, 1, KEPT].map(kept), [false, true, true]);
}
