//! Finds the programs that tests need, and skips or fails where one is missing.
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where administrators' programs lie, which an ordinary user's `PATH` leaves out.
const SYSTEM_DIRS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Returns the paths of `names`, or says which one is missing and returns `None`.
///
/// # Panics
///
/// With `CI=true`: a check that must run there must not be skipped there.
pub fn need<const N: usize>(names: [&str; N]) -> Option<[PathBuf; N]> {
    let found = names.map(find);
    let missing: Vec<&str> = names
        .iter()
        .zip(&found)
        .filter(|(_, path)| path.is_none())
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Some(found.map(Option::unwrap));
    }
    skip(&format!("`{}` not found", missing.join("`, `")));
    None
}

/// Builds a program of the Go module at `module`, below the repository's root, with the Go that is
/// installed, and returns its path; `package` is what to build.
///
/// # Panics
///
/// When it does not build.
pub fn build_with_go(name: &str, module: &str, package: &str) -> Option<PathBuf> {
    let [go] = need(["go"])?;
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let built = std::process::Command::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(package)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(module))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "`{name}` does not build");
    Some(program)
}

/// Builds the program of the Rust package at `package`, below the repository's root, and returns its
/// path. The package has a lock file of its own, and may be written for a newer Rust.
///
/// # Panics
///
/// When it does not build.
pub fn build_with_cargo(package: &str) -> Option<PathBuf> {
    let [cargo] = need(["cargo"])?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    let built = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--ignore-rust-version", "--target-dir"])
        .arg(&target)
        .current_dir(&folder)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "`{package}` does not build");
    Some(target.join("debug").join(folder.file_name()?))
}

/// Says on stderr that the running test is skipped, and why.
///
/// # Panics
///
/// With `CI=true`.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(!in_ci(), "{test} cannot run: {reason}; with `CI=true` that is a failure");
    leave_out(reason);
}

/// Says that a test is skipped for want of what `make test` cannot install everywhere.
pub fn leave_out(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the test harness's capture: a skip nobody sees passes for a success.
    // In one piece, or other tests' lines come between.
    let _ = std::io::stderr().write_all(format!("skipped: {test}: {reason}\n").as_bytes());
}

/// Whether a missing program is a failure.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// Looks for a program in `KITWRIGHT_TEST_BIN`, the installed engine, `PATH` and the system's
/// administration folders, in this order.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::var_os("KITWRIGHT_TEST_BIN").map(PathBuf::from);
    own.into_iter()
        .chain(installed_engine())
        .chain(std::env::split_paths(&path))
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| is_program(path))
}

/// The folder that `kitwright engine install` fills.
fn installed_engine() -> Option<PathBuf> {
    let state = std::env::var_os("KITWRIGHT_STATE_DIR").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        base.or_else(|| home.map(|home| home.join(".local/state"))).map(|dir| dir.join("kitwright"))
    })?;
    Some(state.join("engine/bin"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
