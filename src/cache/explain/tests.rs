use std::collections::BTreeSet;

use super::*;
use crate::key::files::{Detail, Directory};
use crate::key::memory::Memory;
use crate::plan::dockerfile::{CompileOptions, KnownImages, compile, parse};

/// A context on disk and a Dockerfile for it.
struct Kit {
    folder: tempfile::TempDir,
}

impl Kit {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn graph(&self, text: &str, args: &[(&str, &str)]) -> Graph {
        self.graph_in(Detail::Times, text, args)
    }

    fn graph_in(&self, detail: Detail, text: &str, args: &[(&str, &str)]) -> Graph {
        let dockerfile = parse(text.as_bytes(), "Dockerfile").unwrap();
        // Another session each time, as in life.
        let session_id = crate::engine::identity::random();
        let mut options = CompileOptions { session_id, ..CompileOptions::default() };
        for (name, value) in args {
            options.build_args.insert((*name).to_owned(), (*value).to_owned());
        }
        let compiled = compile(&dockerfile, &options, &KnownImages::default()).unwrap();
        let root = self.folder.path().to_owned();
        let directories =
            BTreeMap::from([("context".to_owned(), Directory { root, exclude: Vec::new() })]);
        let mut memory = Memory::empty();
        let mut reading = Reading::new(&directories, &mut memory, detail);
        record(&compiled, "Dockerfile", &mut reading)
    }

    /// What is said of everything that changed, one `LINE: CAUSES` for each step.
    fn moved(&self, before: &Graph, text: &str, args: &[(&str, &str)]) -> Vec<String> {
        let now = self.graph(text, args);
        let mut found: Vec<_> = moved(before, &now).into_values().collect();
        found.sort_by_key(|(at, _)| *at);
        let line = |at: usize| now.steps[at].lines.map_or(0, |(line, _)| line);
        found.iter().map(|(at, causes)| format!("{}: {}", line(*at), Cause::line(causes))).collect()
    }
}

const TEXT: &str = "FROM scratch\nARG V=1\nENV E=a\nCOPY d /d\nRUN --mount=type=cache,target=/c one\nUSER 5\nRUN two\n";

#[test]
fn the_same_again_is_no_change() {
    let kit = Kit::new();
    kit.write("d/f", "x");
    let before = kit.graph(TEXT, &[]);
    assert_eq!(kit.moved(&before, TEXT, &[]), [""; 0]);
    let now = kit.graph(TEXT, &[]);
    let ran: BTreeSet<Digest> = now.vertices.iter().copied().collect();
    let found = explain(&before, &now, &ran);
    assert_eq!(found.len(), 3);
    assert!(found.values().all(|(_, causes)| causes == &[Cause::Evicted]), "{found:?}");
}

#[test]
fn each_kind_of_change_has_its_cause() {
    let kit = Kit::new();
    kit.write("d/f", "x");
    kit.write("d/g", "x");
    let before = kit.graph(TEXT, &[]);
    let next = "7: input step changed: line 5";
    assert_eq!(
        kit.moved(&before, TEXT, &[("V", "2")]),
        ["5: ARG V 1 → 2 in its env", "7: ARG V 1 → 2 in its env"]
    );
    assert_eq!(
        kit.moved(&before, &TEXT.replace("E=a", "E=b"), &[]),
        ["5: ENV E a → b in its env", "7: ENV E a → b in its env"]
    );
    assert_eq!(
        kit.moved(&before, &TEXT.replace("one", "other"), &[]),
        ["5: command changed", next]
    );
    assert_eq!(
        kit.moved(&before, &TEXT.replace("target=/c", "target=/c,id=x"), &[]),
        ["5: mount `/c` changed", next]
    );
    assert_eq!(kit.moved(&before, &TEXT.replace("USER 5", "USER 6"), &[]), ["7: user 5 → 6"]);
    assert_eq!(
        kit.moved(&before, &TEXT.replace("/d\n", "/e\n"), &[]),
        ["4: instruction changed", "5: input step changed: line 4", next]
    );
    assert_eq!(
        kit.moved(&before, &TEXT.replace("USER", "RUN new\nUSER"), &[]),
        ["6: new step", "8: input step changed: line 6"]
    );
    kit.write("d/g", "y");
    kit.write("d/h", "new");
    assert_eq!(
        kit.moved(&before, TEXT, &[]),
        ["4: d/g and 1 more changed", "5: input step changed: line 4", next]
    );
}

#[test]
fn moved_lines_and_other_sessions_change_nothing() {
    let kit = Kit::new();
    kit.write("d/f", "x");
    let before = kit.graph(TEXT, &[]);
    assert_eq!(kit.moved(&before, &TEXT.replace("COPY", "\n# comment\nCOPY"), &[]), [""; 0]);
    let read: Graph = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
    assert_eq!(read.steps, before.steps);
}

#[test]
fn names_and_values_that_are_secret_stay_out() {
    let kit = Kit::new();
    let text = "FROM scratch\nARG TOKEN\nARG URL\nARG PLAIN\nENV MADE=a-$TOKEN\nWORKDIR /$TOKEN\nRUN use $TOKEN $URL\n";
    let args = [("TOKEN", "hunter2"), ("URL", "https://u:hunter2@host/"), ("PLAIN", "seen")];
    let graph = kit.graph(text, &args);
    let json = serde_json::to_string(&graph).unwrap();
    assert!(json.contains("seen") && json.contains("RUN use $TOKEN $URL"), "{json}");
    assert!(!json.contains("hunter2") && json.contains("/***"), "{json}");
}

#[test]
fn a_kept_graph_must_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("deep/graph");
    let kit = Kit::new();
    kit.write("d/f", "x");
    let graph = kit.graph(TEXT, &[]);
    keep::store(&place, &graph).unwrap();
    assert_eq!(keep::load(&place).unwrap().steps, graph.steps);
    let mut broken = graph.clone();
    broken.steps[0].inputs = vec![7];
    keep::store(&place, &broken).unwrap();
    assert_eq!(keep::load(&place), None);
    fs_err::write(&place, "no graph").unwrap();
    assert_eq!(keep::load(&place), None);
}

/// Files above the size up to which contents are read, or more files than are named.
fn unread() -> [(Kit, &'static str); 2] {
    let (large, many) = (Kit::new(), Kit::new());
    large.write("d/f", &"x".repeat(2 << 20));
    large.write("d/g", "small");
    for number in 0..2001 {
        many.write(&format!("d/{number}"), "x");
    }
    many.write("d/f", "x");
    [(large, "d/f"), (many, "d/")]
}

#[test]
fn times_stand_for_what_is_not_read() {
    for (kit, named) in unread() {
        let before = kit.graph(TEXT, &[]);
        assert_eq!(kit.moved(&before, TEXT, &[]), [""; 0]);
        kit.write("d/f", "changed");
        let expected = format!("4: {named} changed");
        assert_eq!(kit.moved(&before, TEXT, &[])[0], expected);
    }
}

#[test]
fn a_graph_with_contents_compares_with_one_without() {
    for (kit, named) in unread() {
        let (read, unread) = (kit.graph_in(Detail::Contents, TEXT, &[]), kit.graph(TEXT, &[]));
        for (before, now) in [(&read, &unread), (&unread, &read)] {
            assert!(moved(before, now).is_empty());
        }
        // Another machine has other times.
        let file = fs_err::File::options().write(true).open(kit.folder.path().join("d/f"));
        file.unwrap().file().set_modified(std::time::UNIX_EPOCH).unwrap();
        let now = kit.graph_in(Detail::Contents, TEXT, &[]);
        assert!(moved(&read.portable(), &now).is_empty());
        let json = serde_json::to_string(&read.portable()).unwrap();
        assert!(!json.contains("times:"), "{json}");
        // The last step's input's input: nothing but the file has moved.
        assert_eq!(kit.moved(&unread, TEXT, &[])[0], format!("4: {named} changed"));
    }
}
