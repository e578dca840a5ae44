//! What a build takes of the client: memory that grows with nothing that is built.
use std::ffi::OsString;
use std::path::Path;

use kitwright::bench::measure::measure;

use crate::kit::Project;

/// More than two runs of the same build differ by, and less than half of what it takes to hold the
/// files of [`MANY`].
const SLACK: u64 = 4 << 20;
const MANY: usize = 10_000;

/// Peak memory of a build of the project.
fn peak(project: &Project) -> u64 {
    let home = project.path(".home");
    std::fs::create_dir_all(&home).expect("a home");
    let folder = project.path("").display().to_string();
    let kitwright = env!("CARGO_BIN_EXE_kitwright");
    let command = [kitwright, "build", &folder, "--builder", project.address()];
    let environment = [
        ("HOME", home.into_os_string()),
        ("KITWRIGHT_STATE_DIR", project.path(".state").into_os_string()),
    ];
    let environment = environment.map(|(name, value)| (OsString::from(name), value));
    let log = project.path(".log");
    let cost = measure(Path::new(kitwright), &command.map(OsString::from), &environment, &log);
    let cost = cost.expect("a measured build");
    assert_eq!(cost.exit, 0, "{}", project.read(".log"));
    cost.memory
}

/// A project that copies `files` files of its own, one of them of `bytes` bytes.
fn project(files: usize, bytes: usize) -> Option<Project> {
    let project = Project::new("FROM scratch\nCOPY files/ /files/\n")?;
    project.write("files/own", &format!("{:?}", project.path("")));
    project.write("files/large", &"x".repeat(bytes));
    for number in 0..files {
        let name = format!("a-name-as-long-as-they-are-{number}");
        project.write(&format!("files/{}/{name}", number % 100), "x");
    }
    Some(project)
}

#[test]
fn memory_does_not_grow_with_the_context() {
    let Some(small) = project(10, 10) else { return };
    let least = peak(&small);
    for (files, bytes) in [(MANY, 10), (10, 64 << 20)] {
        let Some(large) = project(files, bytes) else { return };
        // When the copy runs, when it is there, and when it runs again.
        let first = peak(&large);
        let cached = peak(&large);
        large.write("files/own", "changed");
        let again = peak(&large);
        for peak in [first, cached, again] {
            assert!(peak < least + SLACK, "{files} files: {peak} bytes, {least} for a few");
        }
    }
}
