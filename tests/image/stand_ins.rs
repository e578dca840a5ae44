//! `stages/with-bases`, with programs in place of mmdebstrap, Go, apt and kitwright that only note
//! how they were called: what is made when, and what the command gets.
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const STAND_INS: [&str; 6] = ["buf", "debian", "go", "node", "python", "rust"];

/// Makes the layout that `-o …dest=DIR` names, or fails like a build of `$FAIL`.
const KITWRIGHT: &str = r#"#!/bin/sh
echo "$*" >> "$CALLS"
[ "$1" = build ] || exit 0
case "$*" in
*"stages/${FAIL-none}/standin.Dockerfile"*) echo "step 3 went wrong"; exit 1 ;;
*dest=*) d=${*##*dest=}; d=${d%% *}; mkdir -p "$d"; echo '{}' > "$d/index.json" ;;
esac
exit "${STATUS-0}"
"#;
const MMDEBSTRAP: &str = r#"#!/bin/sh
echo mmdebstrap >> "$CALLS"
for file; do case $file in *.tar) echo root > "$file" ;; esac; done
"#;
const GO: &str = r#"#!/bin/sh
echo "go $*" >> "$CALLS"
echo '{ "Dir": "/modules/toolchain" }'
"#;
const APT_GET: &str = "#!/bin/sh\n[ -n \"${NO_SOURCES-}\" ] || echo 'deb mirror trixie main'\n";

/// A copy of the repository's stages, an empty state directory and the noting programs.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = crate::root();
        for part in ["stages", ".ci"] {
            copy(&root.join(part), &folder.path().join("repo").join(part));
        }
        fs_err::copy(root.join("gen.Dockerfile"), folder.path().join("repo/gen.Dockerfile"))
            .unwrap();
        fs_err::create_dir(folder.path().join("bin")).unwrap();
        let programs = [
            ("kitwright", KITWRIGHT),
            ("mmdebstrap", MMDEBSTRAP),
            ("go", GO),
            ("apt-get", APT_GET),
        ];
        for (name, text) in programs {
            let path = folder.path().join("bin").join(name);
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("repo/stages/with-bases"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("KITWRIGHT_STATE_DIR", self.path("state"))
            .env("CALLS", self.path("calls"))
            .env("BASES", "standin");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The stand-ins whose builds have been called since the last look, and the whole list of calls.
    fn made(&self) -> (Vec<String>, String) {
        let calls = fs_err::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs_err::remove_file(self.path("calls"));
        let stage = |line: &str| {
            let (_, rest) = line.split_once("/repo/stages/")?;
            rest.split_once("/standin.Dockerfile").map(|(name, _)| name.to_owned())
        };
        let mut made: Vec<String> =
            calls.lines().filter(|line| line.starts_with("build")).filter_map(stage).collect();
        made.sort();
        (made, calls)
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.path("repo").join(file);
        let old = fs_err::read_to_string(&path).unwrap();
        fs_err::write(path, old + text).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs_err::copy(&path, to).map(drop).unwrap() }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn official_bases_leave_the_command_alone() {
    let place = Place::new();
    let output =
        place.command(&["echo", "build", "a b"]).env("BASES", "official").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "build a b\n");
    assert!(place.made().0.is_empty());
}

#[test]
fn an_unknown_kind_of_bases_is_bad_usage() {
    let place = Place::new();
    let output = place.command(&["echo"]).env("BASES", "nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("BASES is `nonsense`"), "{}", stderr(&output));
}

#[test]
fn the_command_gets_every_base() {
    let place = Place::new();
    let output = place.run(&["kitwright", "build", "-f", "gen.Dockerfile", "."]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (made, calls) = place.made();
    assert_eq!(made, STAND_INS);
    let last = calls.lines().last().unwrap();
    assert!(last.starts_with("build -f gen.Dockerfile . --build-context="), "{last}");
    let text = fs_err::read_to_string(crate::root().join("gen.Dockerfile")).unwrap();
    let mut bases = 0;
    for from in text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let mut base = from.split(' ').next().unwrap().to_owned();
        for argument in ["GO", "NODE", "PYTHON", "BUF", "RUST"] {
            base = base.replace(&format!("${{{argument}_VERSION}}"), &crate::version(argument));
        }
        if base.contains(':') {
            bases += 1;
            let flag =
                format!("--build-context={base}=oci-layout://{}", place.path("state").display());
            assert!(last.contains(&flag), "no `{flag}` in: {last}");
        }
    }
    assert_eq!(bases, STAND_INS.len());
}

#[test]
fn stand_ins_are_kept_and_made_again_when_what_they_are_made_of_changes() {
    let place = Place::new();
    let build = ["kitwright", "build", "."];
    let made_after = |what: &str| {
        let output = place.run(&build);
        assert!(output.status.success(), "after {what}: {}", stderr(&output));
        place.made().0
    };
    assert_eq!(made_after("the start"), STAND_INS);
    assert!(made_after("no change").is_empty());
    place.append("stages/node/package.json", "\n");
    place.append("stages/go/go.mod", "\n");
    assert_eq!(made_after("a change of tool lists"), ["buf", "node"]);
    place.append("stages/rust/standin.Dockerfile", "\n");
    assert_eq!(made_after("a change of its Dockerfile"), ["rust"]);
    place.append("stages/python/standin.Dockerfile", "\n");
    assert_eq!(made_after("a change of its parent"), ["buf", "node", "python"]);
    let path = place.path("repo/gen.Dockerfile");
    let text = fs_err::read_to_string(&path).unwrap();
    let bumped = text.replace(&crate::version("GO"), "1.99.0");
    fs_err::write(&path, bumped).unwrap();
    assert_eq!(made_after("a bump"), ["go"]);
    let kept = fs_err::read_dir(place.path("state/stand-ins")).unwrap();
    let names: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), STAND_INS.len() + 1, "one each, and the lock: {names:?}");
}

#[test]
fn a_failing_stand_in_shows_its_log_and_leaves_nothing_behind() {
    let place = Place::new();
    let output =
        place.command(&["kitwright", "build", "."]).env("FAIL", "python").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("step 3 went wrong"), "{}", stderr(&output));
    assert!(stderr(&output).contains("the stand-in of `python` could not be built"));
    let (made, calls) = place.made();
    assert!(!made.contains(&"node".to_owned()), "node is made of python");
    assert!(!calls.contains("build . "), "the command ran all the same: {calls}");
    let again = place.run(&["kitwright", "build", "."]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(place.made().0, ["buf", "node", "python"]);
}

#[test]
fn the_command_decides_the_exit_code() {
    let place = Place::new();
    assert!(place.run(&["kitwright", "build", "."]).status.success());
    let output = place.command(&["kitwright", "build", "."]).env("STATUS", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn missing_sources_say_what_to_do() {
    let place = Place::new();
    let output =
        place.command(&["kitwright", "build", "."]).env("NO_SOURCES", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("`apt-get update`"), "{}", stderr(&output));
}

#[test]
fn without_a_command_only_the_downloads_are_done() {
    let place = Place::new();
    assert!(place.run(&[]).status.success());
    let (made, calls) = place.made();
    assert!(made.is_empty());
    assert!(calls.contains("mmdebstrap"));
    assert!(place.run(&["kitwright", "build", "."]).status.success());
    let (made, calls) = place.made();
    assert_eq!(made, STAND_INS);
    assert!(!calls.contains("mmdebstrap"), "downloaded twice: {calls}");
}
