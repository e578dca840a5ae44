//! Build contexts that have not changed: the engine is not made to compare them again, and never serves what
//! they were.
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{Ended, Project, files_of};
use crate::support::engine::{self, Engine, Options};
use crate::support::tap::Tap;

/// What the engine says when it compares files with its copy.
const SYNC: &str = "transferring ";

const DOCKERFILE: &str = "FROM scratch\nCOPY src /src\n";

fn project(dockerfile: &str) -> Option<Project> {
    let project = Project::new(dockerfile)?;
    project.write("src/a", "one");
    project.write("src/b", "two");
    project.write("more/c", "three");
    Some(project)
}

/// Builds until it is known what the engine has: files that have just been written could change
/// unnoticed, and are compared again.
fn settle(project: &Project, args: &[&str]) {
    for _ in 0..100 {
        let ended = project.build(args).ok();
        if !ended.stderr.contains(SYNC) {
            return;
        }
    }
    panic!("files are compared again and again");
}

#[track_caller]
fn unsent(ended: Ended) {
    let ended = ended.ok();
    assert!(!ended.stderr.contains(SYNC), "{}", ended.stderr);
}

#[track_caller]
fn sent(ended: Ended) {
    let ended = ended.ok();
    assert!(ended.stderr.contains(SYNC), "{}", ended.stderr);
}

/// What a build makes of the project, and that files were sent for it.
#[track_caller]
fn contents(project: &Project, more: &[&str]) -> std::collections::BTreeMap<String, Vec<u8>> {
    sent(project.build(&[more, &["--output", "type=tar,dest=out.tar"]].concat()));
    files_of(&project.path("out.tar"))
}

#[test]
fn unchanged_files_are_not_compared_again() {
    let Some(project) = project(DOCKERFILE) else { return };
    settle(&project, &[]);
    let ended = project.build(&[]).ok();
    assert!(!ended.stderr.contains(SYNC), "{}", ended.stderr);
    let cached = "#1 [internal] load build context\n#1 CACHED\n";
    assert!(ended.stderr.contains(cached), "{}", ended.stderr);
    // A step that is new gets the files as the engine has them.
    project.write("Dockerfile", &format!("{DOCKERFILE}COPY src /again\n"));
    unsent(project.build(&["--output", "type=tar,dest=out.tar"]));
    assert_eq!(files_of(&project.path("out.tar"))["again/a"], b"one");
    // Whoever wants them compared has them compared, and caches that are written need it.
    sent(project.build(&["--always-sync"]));
    settle(&project, &[]);
    sent(project.build_with_env(&[], &[("KITWRIGHT_ALWAYS_SYNC", "true")]));
    sent(project.build(&["--no-cache"]));
    project.write("Dockerfile", "FROM scratch AS one\nCOPY src /src\nFROM one\nCOPY more /more\n");
    settle(&project, &[]);
    sent(project.build(&["--no-cache-filter", "one"]));
    settle(&project, &[]);
    sent(project.build(&["--cache-to", "type=local,dest=cache"]));
    unsent(project.build(&[]));
}

#[test]
fn every_change_of_a_file_is_seen() {
    let Some(project) = project(DOCKERFILE) else { return };
    let a = project.path("src/a");
    symlink("a", project.path("src/link")).expect("a link");
    settle(&project, &[]);
    project.write("src/a", "ONE!");
    assert_eq!(contents(&project, &[])["src/a"], b"ONE!");
    settle(&project, &[]);
    // A mode alone.
    std::fs::set_permissions(&a, PermissionsExt::from_mode(0o600)).expect("a mode");
    sent(project.build(&[]));
    settle(&project, &[]);
    // Another file.
    project.write("src/new", "new");
    assert_eq!(contents(&project, &[])["src/new"], b"new");
    settle(&project, &[]);
    // One that is gone.
    std::fs::remove_file(project.path("src/b")).expect("it was there");
    assert!(!contents(&project, &[]).contains_key("src/b"));
    settle(&project, &[]);
    // A link that leads elsewhere.
    std::fs::remove_file(project.path("src/link")).expect("it was there");
    symlink("b", project.path("src/link")).expect("a link");
    sent(project.build(&[]));
    settle(&project, &[]);
    // Size, name and time of another file, which the engine itself would not tell apart.
    let modified = std::fs::metadata(&a).and_then(|found| found.modified()).expect("a time");
    std::fs::write(&a, "eno!").expect("written");
    std::fs::File::open(&a).and_then(|file| file.set_modified(modified)).expect("a time");
    sent(project.build(&[]));
}

#[test]
fn paths_that_are_copied_again_come_as_they_are() {
    let Some(project) = project(DOCKERFILE) else { return };
    settle(&project, &[]);
    project.write("Dockerfile", "FROM scratch\nCOPY more /more\n");
    assert_eq!(contents(&project, &[])["more/c"], b"three");
    // That they are others is no reason to forget them.
    unsent(project.build(&[]));
    // While nobody asked for it, it changed.
    project.write("src/a", "ONE");
    project.write("Dockerfile", DOCKERFILE);
    assert_eq!(contents(&project, &[])["src/a"], b"ONE");
    settle(&project, &[]);
    // What is left out counts, too.
    project.write(".dockerignore", "src/b\n");
    assert!(!contents(&project, &[]).contains_key("src/b"));
    settle(&project, &[]);
}

#[test]
fn stages_and_named_contexts_are_known_each() {
    let Some(project) = project(
        "FROM scratch AS one\nCOPY src /src\nFROM scratch AS two\nCOPY more /more\n\
         COPY --from=extra . /extra\nFROM scratch AS three\nCOPY more /three\n",
    ) else {
        return;
    };
    project.write("extra/f", "one");
    let [one, two, three] = [["--target=one"], ["--target=two"], ["--target=three"]];
    let extra = format!("extra={}", project.path("extra").display());
    let two = [&two[..], &["--build-context", &extra]].concat();
    settle(&project, &one);
    settle(&project, &two);
    settle(&project, &three);
    unsent(project.build(&one));
    unsent(project.build(&two));
    unsent(project.build(&three));
    project.write("extra/f", "ONE");
    assert_eq!(contents(&project, &two)["extra/f"], b"ONE");
    unsent(project.build(&one));
}

#[test]
fn an_engine_that_has_forgotten_is_sent_the_files() {
    let Some(engine) = engine::start(Options::default()) else { return };
    let Some(other) = engine::start(Options::default()) else { return };
    let Some(project) = project(DOCKERFILE) else { return };
    let [first, second] =
        [&engine, &other].map(|engine| ["--builder".to_owned(), engine.address.clone()]);
    let [first, second] = [&first, &second].map(|args| args.each_ref().map(String::as_str));
    settle(&project, &first);
    // It never had them.
    sent(project.build(&second));
    settle(&project, &second);
    unsent(project.build(&first));
    // It has lost them.
    prune(&engine.address);
    sent(project.build(&first));
    unsent(project.build(&first));
    // Another one answers at its address: it has not had them either.
    let socket = |engine: &engine::Engine| {
        Path::new(engine.address.trim_start_matches("unix://")).to_owned()
    };
    std::fs::rename(socket(&other), socket(&engine)).expect("the other's socket");
    sent(project.build(&first));
    unsent(project.build(&first));
}

/// What happens to an engine between two builds of the same files.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    /// It is stopped in good order and started again.
    Restart,
    /// It is killed and started again.
    Kill,
    /// It is stopped, and started again without its state.
    Empty,
    /// `buildctl prune --all`.
    Prune,
}

impl Between {
    fn happens_to(self, engine: Engine) -> Engine {
        match self {
            Self::Nothing => engine,
            Self::Restart => engine.restarted(|_| {}),
            Self::Kill => {
                let pid = i32::try_from(engine.pid()).ok().and_then(Pid::from_raw);
                kill_process(pid.expect("a process"), Signal::KILL).expect("killed");
                engine.restarted(|_| {})
            }
            Self::Empty => engine.restarted(|root| {
                std::fs::remove_dir_all(root).expect("its state");
            }),
            Self::Prune => {
                prune(&engine.address);
                engine
            }
        }
    }
}

#[test]
fn an_engine_that_was_away_has_the_files_or_is_sent_them() {
    use Between::{Empty, Kill, Prune, Restart};
    for between in [Restart, Kill, Empty, Prune] {
        let Some(engine) = engine::start(Options::default()) else { return };
        let Some(project) = project(DOCKERFILE) else { return };
        let args = ["--builder".to_owned(), engine.address.clone()];
        let args = args.each_ref().map(String::as_str);
        let with_output = [&args[..], &["--output", "type=tar,dest=out.tar"]].concat();
        settle(&project, &args);
        let _engine = between.happens_to(engine);
        // The new step needs the files themselves.
        project.write("Dockerfile", &format!("{DOCKERFILE}COPY src /again\n"));
        let log = project.build(&with_output).ok().stderr;
        let is_empty = matches!(between, Empty | Prune);
        assert_eq!(log.contains(SYNC), is_empty, "{between:?}: {log}");
        let files = files_of(&project.path("out.tar"));
        for (path, content) in [("src/a", "one"), ("again/a", "one"), ("again/b", "two")] {
            assert_eq!(files[path], content.as_bytes(), "{between:?}: {path}");
        }
        unsent(project.build(&args));
        project.write("src/a", "ONE");
        assert_eq!(contents(&project, &args)["again/a"], b"ONE", "{between:?}");
    }
}

#[test]
fn what_another_transfer_has_taken_over_is_not_served() {
    use Between::{Kill, Nothing, Restart};
    let stages = |one: &str| {
        format!("FROM scratch AS one\nCOPY src /src\n{one}FROM scratch AS two\nCOPY more /more\n")
    };
    for between in [Nothing, Restart, Kill] {
        let Some(engine) = engine::start(Options::default()) else { return };
        let Some(project) = project(&stages("")) else { return };
        let builder = ["--builder".to_owned(), engine.address.clone()];
        let builder = builder.each_ref().map(String::as_str);
        let [one, two] =
            ["--target=one", "--target=two"].map(|stage| [&builder[..], &[stage]].concat());
        settle(&project, &one);
        // The engine has one copy of the context: now it holds the files of `two` alone.
        settle(&project, &two);
        let _engine = between.happens_to(engine);
        project.write("Dockerfile", &stages("COPY src /again\n"));
        let files = contents(&project, &one);
        for (path, content) in [("src/a", "one"), ("again/a", "one"), ("again/b", "two")] {
            assert_eq!(files[path], content.as_bytes(), "{between:?}: {path}");
        }
        assert!(!files.contains_key("again/c"), "{between:?}");
    }
}

#[test]
fn forgotten_files_are_sent_under_the_name_by_which_they_are_asked_for() {
    let Some(engine) = engine::start(Options::default()) else { return };
    let Some(project) = project(DOCKERFILE) else { return };
    // Nothing copies the socket.
    let tap = Tap::start(&project.path("tap.sock"), &engine.address);
    let args = ["--builder", tap.address.as_str()];
    settle(&project, &args);
    prune(&engine.address);
    let before = tap.sessions();
    sent(project.build(&args));
    // The engine waits for the earlier session before it turns to the build's own.
    assert_eq!(tap.sessions() - before, 2);
}

fn prune(address: &str) {
    let Some([buildctl]) = crate::support::tool::need(["buildctl"]) else { return };
    let mut command = Command::new(buildctl);
    command.args(["--addr", address, "prune", "--all"]);
    assert!(command.output().expect("buildctl starts").status.success());
}

#[test]
fn builds_at_once_and_builds_that_were_killed_harm_none() {
    let Some(engine) = engine::start(Options::default()) else { return };
    let Some(project) = project("FROM busybox\nCOPY src /src\nRUN cat /src/a && sleep 2\n") else {
        return;
    };
    let args = ["--builder", engine.address.as_str()];
    settle(&project, &args);
    for round in 0..3 {
        // All of them ask for files that the engine has forgotten.
        prune(&engine.address);
        std::thread::scope(|scope| {
            let builds: Vec<_> = (0..3).map(|_| scope.spawn(|| project.build(&args))).collect();
            for build in builds {
                build.join().expect("kitwright ran").ok();
            }
        });
        project.write("src/a", &format!("round {round}"));
        settle(&project, &args);
        // One is killed while its step runs, and the next one starts at once.
        project.write("Dockerfile", &format!("FROM busybox\nCOPY src /src\nRUN sleep 3{round}\n"));
        prune(&engine.address);
        killed(&project, &args);
        project.write("Dockerfile", "FROM busybox\nCOPY src /src\nRUN cat /src/a\n");
        let ended = project.build(&[&args[..], &["--output", "type=tar,dest=out.tar"]].concat());
        ended.ok();
        let files = files_of(&project.path("out.tar"));
        assert_eq!(files["src/a"], format!("round {round}").as_bytes());
    }
}

/// Kills a build while its command runs.
fn killed(project: &Project, args: &[&str]) {
    use std::io::{BufRead as _, BufReader};
    let mut child = project.spawn(args);
    let lines = BufReader::new(child.stderr.take().expect("its output")).lines();
    let mut running = lines.map_while(Result::ok).filter(|line| line.contains("RUN sleep"));
    assert!(running.next().is_some(), "the step never ran");
    child.kill().expect("killed");
    child.wait().expect("its end");
}
