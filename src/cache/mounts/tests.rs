use super::*;
use crate::plan::dockerfile::{CompileOptions, KnownImages, compile, parse};

fn compiled(text: &str) -> Compiled {
    let dockerfile = parse(text.as_bytes(), "Dockerfile").unwrap();
    compile(&dockerfile, &CompileOptions::default(), &KnownImages::default()).unwrap()
}

fn mounts(text: &str) -> Vec<CacheMount> {
    find(&compiled(&format!("FROM scratch\n{text}"))).mounts
}

#[test]
fn the_id_is_the_target_unless_one_is_given() {
    let found = mounts(
        "RUN --mount=type=cache,target=/root/.cache a\n\
         RUN --mount=type=cache,target=/elsewhere,id=/root/.cache b\n\
         RUN --mount=type=cache,target=/x,id=own,sharing=locked c\n",
    );
    let ids: Vec<_> = found.iter().map(|m| (&*m.id, m.sharing, m.steps.len())).collect();
    let (shared, locked) = (pb::CacheSharingOpt::Shared, pb::CacheSharingOpt::Locked);
    assert_eq!(ids, [("//root/.cache", shared, 2), ("/own", locked, 1)]);
}

#[test]
fn an_owner_makes_another_mount_with_its_own_base() {
    let found = mounts(
        "RUN --mount=type=cache,target=/c a\n\
         RUN --mount=type=cache,target=/c,uid=1000 b\n\
         RUN --mount=type=cache,target=/c,uid=1000,gid=0 c\n",
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert_ne!(found[0].key(), found[1].key());
    let base = found[1].base.as_ref().unwrap();
    assert_eq!((base.selector.as_str(), base.ops.len()), ("/cache", 1));
    assert_eq!(Digest::of(&base.ops[0].0).to_string(), base.digest);
}

#[test]
fn a_mount_that_starts_with_local_files_is_told_apart() {
    let text = "FROM scratch AS files\nCOPY . /\nFROM scratch\n\
                RUN --mount=type=cache,target=/c,from=files a\n";
    let found = find(&compiled(text));
    assert_eq!((found.mounts.len(), found.bound), (0, BTreeSet::from(["/c".to_owned()])));
}

#[test]
fn the_mount_of_a_command_is_the_mount_of_the_step() {
    for text in ["target=/c", "target=/c,uid=7,mode=0700", "target=/c,sharing=private,id=x"] {
        let compiled = compiled(&format!("FROM scratch\nRUN --mount=type=cache,{text} a\n"));
        let mount = find(&compiled).mounts.remove(0);
        let vertices = &compiled.platforms[0].definition.vertices;
        let step = vertices.iter().find(|vertex| mount.steps.contains(&vertex.digest)).unwrap();
        let Some(Op::Exec(exec)) = step.op().op else { panic!("a command") };
        let mut own = exec.mounts.into_iter().find(|mount| mount.cache_opt.is_some()).unwrap();
        own.input = if mount.base.is_some() { 1 } else { -1 };
        assert_eq!(mount.mount("/c", 1, mount.sharing), own, "{text}");
    }
}

#[test]
fn only_what_no_waiting_step_is_needed_for_is_ready() {
    let compiled = compiled(
        "FROM scratch AS a\nRUN one\nRUN --mount=type=cache,target=/c two\nRUN three\n\
         FROM scratch AS b\nRUN four\n\
         FROM scratch\nRUN --mount=type=cache,target=/c --mount=from=a,target=/a \
         --mount=from=b,target=/b five\n",
    );
    let definition = &compiled.platforms[0].definition;
    let steps = find(&compiled).mounts.remove(0).steps;
    let ready = frontier::ready(definition, &steps);
    let name = |digest: &str| {
        let known = definition.vertices.iter().find(|v| v.digest.to_string() == digest).unwrap();
        known.metadata.custom_name().unwrap_or_default().to_owned()
    };
    let mut names: Vec<String> = ready
        .iter()
        .map(|part| {
            let last = part.def.last().unwrap().clone();
            let head: pb::Op = prost::Message::decode(last).unwrap();
            name(&head.inputs[0].digest)
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with("RUN one") && names[1].ends_with("RUN four"), "{names:?}");
}

/// The program itself, on folders of this machine.
mod helper {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use crate::cache::mounts::artifact::Content;

    struct Kit {
        folder: tempfile::TempDir,
        program: PathBuf,
    }

    impl Kit {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join("program");
            fs_err::write(&program, crate::cache::mounts::program::PROGRAM).unwrap();
            fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let kit = Self { folder, program };
            for name in ["from", "to", "out"] {
                fs_err::create_dir(kit.path(name)).unwrap();
            }
            kit.write("ledger", "");
            kit
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            let path = self.path(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }

        fn run(&self, args: &[&str]) -> Output {
            let path = |name: &&str| match *name {
                "from" | "to" | "out" | "ledger" => self.path(name).display().to_string(),
                other => other.to_owned(),
            };
            Command::new(&self.program).args(args.iter().map(path)).output().unwrap()
        }

        fn seed(&self, date: &str) -> String {
            let output = self.run(&["seed", "from", "to", date]);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        }

        fn survey(&self, now: &str, age: &str, size: &str) -> Content {
            let report = self.path("out/report");
            let _ = fs_err::remove_file(&report);
            let output = self.run(&["survey", "from", "out", "ledger", now, age, size]);
            assert!(output.status.success(), "{output:?}");
            Content::parse(&fs_err::read_to_string(report).unwrap()).unwrap()
        }
    }

    const FUTURE: &str = "99999999999";

    fn paths(content: &Content) -> Vec<&str> {
        content.ledger.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect()
    }

    #[test]
    fn an_empty_mount_becomes_what_was_saved() {
        let kit = Kit::new();
        kit.write("from/a/file", "content");
        kit.write("from/a/empty", "");
        std::os::unix::fs::symlink("file", kit.path("from/a/link")).unwrap();
        fs_err::hard_link(kit.path("from/a/file"), kit.path("from/a/second")).unwrap();
        fs_err::set_permissions(kit.path("from/a"), std::fs::Permissions::from_mode(0o700))
            .unwrap();
        let before = kit.survey("1", "0", "0");
        assert_eq!(kit.seed(FUTURE), "seeded 3 11\n");
        let found = fs_err::metadata(kit.path("to/a/second")).unwrap();
        assert_eq!((found.nlink(), found.atime()), (2, 0));
        let original = fs_err::metadata(kit.path("from/a/file")).unwrap();
        assert_eq!(found.mtime(), original.mtime());
        assert_eq!(fs_err::read_link(kit.path("to/a/link")).unwrap(), Path::new("file"));
        assert_eq!(fs_err::metadata(kit.path("to/a")).unwrap().mode() & 0o777, 0o700);
        fs_err::remove_dir_all(kit.path("from")).unwrap();
        fs_err::rename(kit.path("to"), kit.path("from")).unwrap();
        assert_eq!(kit.survey("1", "0", "0").fingerprint, before.fingerprint);
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let kit = Kit::new();
        kit.write("from/unit/one", "saved");
        kit.write("from/unit/two", "saved");
        kit.write("from/other/file", "saved");
        kit.write("to/unit/one", "local");
        // Newer than what was saved: nothing is added.
        assert_eq!(kit.seed("1"), "kept 0 0\n");
        assert!(!kit.path("to/other").exists());
        // Older: what is missing as a whole is added.
        assert_eq!(kit.seed(FUTURE), "added 1 5\n");
        assert_eq!(fs_err::read_to_string(kit.path("to/unit/one")).unwrap(), "local");
        assert!(!kit.path("to/unit/two").exists() && kit.path("to/other/file").exists());
    }

    #[test]
    fn units_are_never_cut() {
        let kit = Kit::new();
        for file in [
            "cache/download/host/mod/@v/v1.zip",
            "cache/lock",
            "host/mod@v1/go.mod",
            "host/mod@v1/deep/below/x.go",
            "host/bare@v2/deep/only/x.go",
            "top.deb",
        ] {
            kit.write(
                &format!("from/{file}"),
                if file.ends_with("lock") { "" } else { "12345678" },
            );
        }
        let content = kit.survey(FUTURE, "0", "0");
        let expected =
            ["cache/download/host/mod/@v", "cache/lock", "host/bare@v2", "host/mod@v1", "top.deb"];
        assert_eq!(paths(&content), expected);
        assert_eq!((content.files, content.bytes), (5, 40));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let kit = Kit::new();
        for name in ["a", "b", "c"] {
            kit.write(&format!("from/{name}/file"), "12345678");
            let file =
                fs_err::File::options().write(true).open(kit.path(&format!("from/{name}/file")));
            let never = std::fs::FileTimes::new().set_accessed(std::time::SystemTime::UNIX_EPOCH);
            file.unwrap().into_parts().0.set_times(never).unwrap();
        }
        kit.write("ledger", "300 a\n100 b\n200 c\n");
        assert_eq!(paths(&kit.survey("400", "0", "16")), ["a", "c"]);
        assert_eq!(paths(&kit.survey("400", "150", "0")), ["a"]);
        let content = kit.survey("400", "150", "0");
        assert_eq!((content.dropped, content.ledger.as_str()), (16, "300 a\n"));
        // Without a note of its use, a file counts from when it came.
        kit.write("ledger", "");
        assert_eq!(paths(&kit.survey(FUTURE, "0", "8")).len(), 1);
        fs_err::remove_file(kit.path("out/report")).unwrap();
        let output = kit.run(&["collect", "from", "out", "ledger", "400", "0", "0"]);
        assert!(output.status.success(), "{output:?}");
        assert!(kit.path("out/mount/b/file").exists());
    }

    /// Whether writing `after` over a mount that holds `before` makes it worth to be saved again.
    fn is_change(path: &str, before: &str, after: &str) -> bool {
        let kit = Kit::new();
        kit.write("from/other", "content");
        kit.write(&format!("from/{path}"), before);
        let known = kit.survey(FUTURE, "0", "0").fingerprint;
        kit.write(&format!("from/{path}"), after);
        kit.survey(FUTURE, "0", "0").fingerprint != known
    }

    #[test]
    fn content_counts_and_the_time_of_its_writing_does_not() {
        let kit = Kit::new();
        let large = "0123456789abcdef".repeat(20_000);
        kit.write("from/a/large", &large);
        let known = kit.survey(FUTURE, "0", "0").fingerprint;
        let file = fs_err::File::options().write(true).open(kit.path("from/a/large")).unwrap();
        file.into_parts().0.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(kit.survey(FUTURE, "0", "0").fingerprint, known);
        // The first byte, one behind the buffer's end, and the last.
        for at in [0, 1 << 17, large.len() - 1] {
            let mut other = large.clone();
            other.replace_range(at..=at, "x");
            assert!(is_change("a/large", &large, &other), "byte {at}");
        }
        assert!(is_change("a/small", "1234567", "1234568"));
        assert!(is_change("new", "", "x"));
    }

    #[test]
    fn looking_through_a_mount_is_no_use_of_it() {
        let kit = Kit::new();
        kit.write("from/file", "content");
        let file = fs_err::File::options().write(true).open(kit.path("from/file")).unwrap();
        let day = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24);
        file.into_parts().0.set_times(std::fs::FileTimes::new().set_accessed(day)).unwrap();
        kit.survey(FUTURE, "0", "0");
        assert_eq!(fs_err::metadata(kit.path("from/file")).unwrap().atime(), 86_400);
    }

    #[test]
    fn what_tools_write_about_their_caches_is_no_change() {
        let action = format!("3f/3f{}-a", "0".repeat(62));
        let result = format!("3f/3f{}-d", "0".repeat(62));
        for path in [
            "pkgcache.bin",
            "var/cache/apt/srcpkgcache.bin",
            ".rustc_info.json",
            "work/target/.rustc_info.json",
            "_cacache/index-v5/00/c1/a3",
            ".npm/_logs/2026-01-01T00_00_00_000Z-debug-0.log",
            "go-build/trim.txt",
            "selfcheck/8b",
        ] {
            assert!(!is_change(path, "1", "22"), "{path}");
        }
        for path in [&*action, "http/a/b/c/d/e/abcdef", "pip/http-v2/a/b/c/d/e/abcdef"] {
            assert!(!is_change(path, "1", "2") && is_change(path, "1", "22"), "{path}");
        }
        for path in [
            &*result,
            "own/pkgcache.bin",
            "own/trim.txt",
            "own/http/page",
            "_cacache/content-v2/sha512/00/c1",
            "pip/http-v2/a/b/c/d/e/abcdef.body",
            "http/a/b/c/d/e/other",
            "3f/40-a",
            "logs/selfcheck/x",
        ] {
            assert!(is_change(path, "1", "2"), "{path}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let kit = Kit::new();
        for args in [&["seed", "from", "to", "x"][..], &["survey", "from"], &["other"], &[]] {
            assert_eq!(kit.run(args).status.code(), Some(1), "{args:?}");
        }
    }
}
