//! `kitwright lock`, and compiling with what it writes.
use crate::command::Folder;
use crate::support::{base, registry};

#[test]
fn a_locked_file_compiles_without_its_registry() {
    let Some(registry) = registry::start() else { return };
    let Some(busybox) = base::busybox() else { return };
    let base = busybox.push(&registry, "busybox", "1");
    let unused = busybox.push(&registry, "unused", "1");
    let dockerfile = format!("FROM {unused} AS other\nRUN x\nFROM {base}\nRUN true\n");
    let folder = Folder::with(&[("Dockerfile", &dockerfile)]);
    let online = folder.run(&["compile"]).ok();
    let missing = folder.run(&["compile", "--lock", "Dockerfile.lock"]).fails_with(2);
    assert!(missing.contains("kitwright lock"), "{missing}");

    let run = folder.run(&["lock"]);
    assert!(run.stderr.contains(&format!("pinned {base} for linux/")), "{}", run.stderr);
    assert_eq!(run.ok(), "");
    let text = folder.read("Dockerfile.lock");
    assert!(text.contains(&busybox.digest) && text.contains(&unused), "all stages: {text}");
    folder.run(&["lock", "--check"]).ok();

    drop(registry);
    assert!(folder.run(&["compile"]).fails_with(3).contains(&base));
    assert_eq!(folder.run(&["compile", "--lock", "Dockerfile.lock"]).ok(), online);
    assert_eq!(folder.run(&["compile", "--locked"]).ok(), online);
    // Nothing new to look up, so no network is needed either.
    folder.run(&["lock"]).ok();
    assert_eq!(folder.read("Dockerfile.lock"), text);
}

#[test]
fn check_finds_what_is_missing_and_what_is_left_over() {
    let Some(registry) = registry::start() else { return };
    let Some(busybox) = base::busybox() else { return };
    let base = busybox.push(&registry, "busybox", "1");
    let folder = Folder::with(&[("Dockerfile", &format!("FROM {base}\n"))]);
    folder.run(&["lock"]).ok();
    folder
        .write("Dockerfile", &format!("FROM {base}\nCOPY --from={}/other:2 a b\n", registry.host));
    let error = folder.run(&["lock", "--check"]).fails_with(2);
    assert!(error.contains("other:2") && error.contains("kitwright lock"), "{error}");
    let error = folder.run(&["compile", "--locked"]).fails_with(2);
    assert!(error.contains("other:2"), "{error}");
    folder.write("Dockerfile", "FROM scratch\nCOPY a b\n");
    let error = folder.run(&["lock", "--check"]).fails_with(1);
    assert!(error.contains(&registry.host), "{error}");
    let run = folder.run(&["lock"]);
    assert!(run.stderr.contains(&format!("removed {base}")), "{}", run.stderr);
    folder.run(&["lock", "--check"]).ok();
}

#[test]
fn update_looks_one_image_up_again() {
    let Some(registry) = registry::start() else { return };
    let Some(busybox) = base::busybox() else { return };
    let (one, two) = (busybox.push(&registry, "one", "1"), busybox.push(&registry, "two", "1"));
    let folder = Folder::with(&[("Dockerfile", &format!("FROM {one}\nFROM {two}\n"))]);
    folder.run(&["lock"]).ok();
    let old = folder.read("Dockerfile.lock").replace(&busybox.digest, &base::digest(b"old"));
    folder.write("Dockerfile.lock", &old);
    // What is pinned stays pinned.
    folder.run(&["lock"]).ok();
    assert_eq!(folder.read("Dockerfile.lock"), old);
    let run = folder.run(&["lock", "--update", &one]);
    assert!(run.stderr.contains(&format!("moved {one}")), "{}", run.stderr);
    assert_eq!(folder.read("Dockerfile.lock").matches(&busybox.digest).count(), 1);
    folder.run(&["lock", "--update"]).ok();
    assert_eq!(folder.read("Dockerfile.lock").matches(&busybox.digest).count(), 2);
}

#[test]
fn a_broken_lock_file_is_named() {
    let folder =
        Folder::with(&[("Dockerfile", "FROM scratch\n"), ("Dockerfile.lock", "version = 9")]);
    let error = folder.run(&["compile", "--locked"]).fails_with(2);
    assert!(error.contains("Dockerfile.lock") && error.contains("version 9"), "{error}");
    let error = folder.run(&["lock", "--check"]).fails_with(2);
    assert!(error.contains("Dockerfile.lock"), "{error}");
}
