//! The program that works in cache mounts, compiled for the other architecture.
use std::path::Path;
use std::process::{Command, Output};

use crate::support::tool;

const TARGET: &str = "aarch64-unknown-linux-musl";

/// Compiles it as `build.rs` does, with more arguments.
fn compile(rustc: &Path, program: &Path, args: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cache/mounts/helper");
    let output = Command::new(rustc)
        .arg(format!("@{}", source.join("rustc.args").display()))
        .args(args)
        .arg("-o")
        .arg(program)
        .arg(source.join("main.rs"))
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_program_works_on_arm64() {
    let programs = ["rustc", "aarch64-linux-gnu-gcc", "qemu-aarch64"];
    let Some([rustc, linker, qemu]) = tool::need(programs) else { return };
    let libraries =
        Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let libraries = String::from_utf8(libraries.expect("rustc runs").stdout).expect("a path");
    if !Path::new(libraries.trim()).exists() {
        // Rust's own server has it, which not every machine reaches that reaches packages.
        let reason = format!("Rust cannot compile for `{TARGET}`: `rustup target add` it");
        return tool::leave_out(&reason);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (program, own) = (path("program"), path("own"));
    let linker = format!("-Clinker={}", linker.display());
    compile(&rustc, &program, &["--target", TARGET, "-Clink-self-contained=no", &linker]);
    compile(&rustc, &own, &[]);
    let run_with = |command: &mut Command, args: &[&str]| -> Output {
        let places = ["from", "to", "out", "also", "ledger"];
        let place = |arg: &&str| match places.contains(arg) {
            true => path(arg).into_os_string(),
            false => arg.into(),
        };
        command.args(args.iter().map(place)).output().expect("the program runs")
    };
    let run = |args: &[&str]| run_with(Command::new(&qemu).arg(&program), args);
    for name in ["from/deep/unit", "to", "out", "also"] {
        std::fs::create_dir_all(path(name)).expect("a folder");
    }
    let content = "0123456789".repeat(30_000);
    std::fs::write(path("from/deep/unit/file"), &content).expect("a written file");
    std::fs::hard_link(path("from/deep/unit/file"), path("from/deep/unit/second")).expect("a link");
    std::os::unix::fs::symlink("file", path("from/deep/unit/link")).expect("a link");
    std::fs::write(path("ledger"), "").expect("a written file");
    let seeded = run(&["seed", "from", "to", "99999999999"]);
    assert_eq!(String::from_utf8_lossy(&seeded.stdout), "seeded 2 300004\n", "{seeded:?}");
    let copied = std::fs::read_to_string(path("to/deep/unit/second")).expect("a copy");
    assert!(copied == content);
    let link = std::fs::read_link(path("to/deep/unit/link")).expect("a link");
    assert_eq!(link, Path::new("file"));
    let kept = run(&["collect", "from", "out", "ledger", "1", "0", "0"]);
    assert!(kept.status.success(), "{kept:?}");
    assert!(path("out/mount/deep/unit/file").exists());
    let report = std::fs::read_to_string(path("out/report")).expect("a report");
    assert!(report.ends_with(" 3 600004 0 0\n1 deep/unit\n"), "{report}");
    let refused = run(&["seed", "from", "nowhere", "1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    // Both architectures tell the same of the same content.
    let surveyed =
        run_with(&mut Command::new(&own), &["survey", "from", "also", "ledger", "1", "0", "0"]);
    assert!(surveyed.status.success(), "{surveyed:?}");
    assert_eq!(std::fs::read_to_string(path("also/report")).expect("a report"), report);
}
