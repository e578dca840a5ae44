//! The Makefile fragment that others copy, used by hand in a fresh repository.
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::IMAGE;
use crate::repository::{Repository, World};
use crate::support::{base, engine, registry};
use crate::workflows::adopt;

/// Runs make as somebody at a laptop with a home of their own.
fn make(work: &Repository, home: &Path, engine: &str, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_kitwright"));
    Command::new("make")
        .args(arguments)
        .arg(format!("KITWRIGHT={}", program.display()))
        .current_dir(&work.dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("BUILDKIT_HOST", engine)
        .output()
        .expect("make runs")
}

#[test]
fn the_fragment_builds_pulls_and_generates() {
    let (Some(engine), Some(base), Some(registry)) =
        (engine::shared(), base::busybox(), registry::start())
    else {
        return;
    };
    let base = base.push(&registry, "busybox", "latest");
    let world = World::new();
    let work = world.origin();
    adopt(&work, &registry, &base);
    work.commit_all("Adopt the fragment");
    let [first, second] = ["first", "second"].map(|name| world.path(name));
    for home in [&first, &second] {
        std::fs::create_dir(home).expect("a home");
    }
    let run = |home: &Path, arguments: &[&str]| {
        let output = make(&work, home, &engine.address, arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        (output.status.success(), stdout, stderr)
    };
    let image = registry.reference(&format!("{IMAGE}:mine"));
    let named = format!("DOCKER_CI_IMAGE={image}");
    let (good, stdout, stderr) = run(&first, &["-s", "docker-image", &named]);
    assert!(good && stdout.trim() == image, "{stdout}{stderr}");
    // Built here, and generated with.
    work.write("generated.txt", "stale\n");
    let (good, _, stderr) = run(&first, &["docker-dev", &named]);
    assert!(good, "{stderr}");
    let generated = || std::fs::read_to_string(work.dir.join("generated.txt")).expect("a file");
    assert_eq!(generated(), "source one\n");
    assert!(run(&first, &["check-gen", &named]).0, "what is committed is current");
    // Somebody else pulls what was pushed, as the comment on a pull request says.
    let (good, _, stderr) = run(&second, &["docker-pull", "gen", &named]);
    assert!(!good && stderr.contains("is not in the registry"), "{stderr}");
    let program = Path::new(env!("CARGO_BIN_EXE_kitwright"));
    let pushed = Command::new(program)
        .args(["image", "push", &image])
        .env_clear()
        .env("HOME", &first)
        .output()
        .expect("kitwright runs");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    work.write("source.txt", "changed\n");
    let (good, _, stderr) = run(&second, &["docker-pull", "gen", &named]);
    assert!(good, "{stderr}");
    assert_eq!(generated(), "changed one\n");
    let (good, _, stderr) = run(&second, &["check-gen", &named]);
    assert!(!good && stderr.contains("was not current"), "{stderr}");
}
