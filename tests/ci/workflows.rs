//! The workflows themselves, run by a local runner against a real engine, a real registry, real git
//! over HTTP and the stand-in of GitHub's API.
//!
//! The runner is nektos/act in host mode, built from the pinned module in `act/`. What runs is
//! `docs/adopt` as others copy it, with the action of this tree; `actions/checkout` alone is a stand-in,
//! because it is not to be had without GitHub.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{IMAGE, comment_event, pull_event, push_event};
use crate::github::{GitHub, REPOSITORY, TOKEN, pull_request, run};
use crate::repository::{Repository, World};
use crate::support::engine::{self, Engine};
use crate::support::registry::{self, Registry};
use crate::support::{base, tool};

/// The pinned checkout of the workflows.
const CHECKOUT: &str = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1";
/// The pinned cache action: never run, because the runner finds `kitwright` on PATH, but fetched.
const CACHE: &str = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae";
/// The pinned action that runs scripts.
const SCRIPT: &str = "actions/github-script@ed597411d8f924073f98dfc5c65a23a2325f34cd";

/// The runner, built on first use.
fn act() -> Option<&'static Path> {
    static ACT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let act = ACT.get_or_init(|| {
        let [_git] = tool::need(["git"])?;
        tool::build_with_go("act", "tests/ci/act", "github.com/nektos/act")
    });
    act.as_deref()
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ci")
}

/// Everything that a repository which adopted the workflows has around it.
///
/// It notes when each step of a workflow ran: `cargo test --test ci workflows -- --nocapture` shows it.
struct Stage {
    journal: Mutex<String>,
    act: &'static Path,
    engine: &'static Engine,
    registry: Registry,
    github: GitHub,
    world: World,
    work: Repository,
}

/// How a workflow ended.
struct Ended {
    good: bool,
    log: String,
}

fn stage() -> Option<Stage> {
    let (act, engine, base) = (act()?, engine::shared()?, base::busybox()?);
    let registry = registry::start()?;
    let base = base.push(&registry, "busybox", "latest");
    let github = GitHub::start();
    let world = World::new();
    let work = world.origin();
    github.world().repository = Some(world.path("origin.git"));
    github.world().runs.insert("build-ci-image.yml".to_owned(), Vec::new());
    adopt(&work, &registry, &base);
    work.commit_all("Adopt the workflows");
    for branch in ["main", "v2"] {
        work.push(&format!("refs/heads/{branch}"));
    }
    let journal = Mutex::new(String::new());
    Some(Stage { journal, act, engine, registry, github, world, work })
}

/// Copies what others are to copy into a repository, and gives it an image and something to generate.
pub fn adopt(work: &Repository, registry: &Registry, base: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &Path| std::fs::read_to_string(root.join(file)).expect("a file");
    for name in ["build-ci-image", "check-generate", "regenerate-on-comment"] {
        let file = format!(".github/workflows/{name}.yml");
        let action = "kitwright/kitwright/.github/actions/kitwright@COMMIT";
        let text = read(&Path::new("docs/adopt").join(&file));
        assert!(text.contains(action), "{file}");
        // The runner has no GitHub to fetch the action from.
        work.write(&file, &text.replace(action, "./.github/actions/kitwright"));
    }
    for file in [".github/actions/kitwright/action.yml", ".github/actions/kitwright/install"] {
        work.write(file, &read(Path::new(file)));
    }
    let image = registry.reference(IMAGE);
    let settings = read(Path::new("docs/adopt/kitwright.toml"));
    assert!(settings.contains("ghcr.io/owner/repo/ci"), "{settings}");
    work.write("kitwright.toml", &settings.replace("ghcr.io/owner/repo/ci", &image));
    work.write("gen.Dockerfile", &format!("FROM {base}\nRUN echo one >/version\n"));
    // The image is made of its Dockerfile alone.
    work.write("gen.Dockerfile.dockerignore", "*\n");
    work.write("source.txt", "source\n");
    work.write("generated.txt", "source one\n");
    work.write("generate.sh", "echo \"$(cat source.txt) $(cat /version)\" >generated.txt\n");
    work.write("Makefile.ci", &read(Path::new("docs/adopt/Makefile.ci")));
    work.write("Makefile", "GENERATE = sh generate.sh\ninclude Makefile.ci\n");
}

impl Stage {
    /// Runs a workflow as GitHub would for this event.
    fn run(&self, workflow: &str, event: &str, payload: &Value, run_id: u64) -> Ended {
        let scratch = tempfile::tempdir().expect("a folder");
        let file = scratch.path().join("event.json");
        std::fs::write(&file, payload.to_string()).expect("a payload");
        // The runner takes the workflow from here; the job's own work tree is checked out anew.
        let tree = scratch.path().join("tree");
        let clone = Command::new("git")
            .args(["clone", "-q"])
            .arg(&self.work.dir)
            .arg(&tree)
            .status()
            .expect("git runs");
        assert!(clone.success());
        let bin = Path::new(env!("CARGO_BIN_EXE_kitwright")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", bin.display());
        let variables = [
            ("GITHUB_API_URL", self.github.url.clone()),
            ("GITHUB_SERVER_URL", self.github.url.clone()),
            ("GITHUB_REPOSITORY", REPOSITORY.to_owned()),
            ("GITHUB_RUN_ID", run_id.to_string()),
            ("BUILDKIT_HOST", self.engine.address.clone()),
            ("BUILDKIT_PROGRESS", "plain".to_owned()),
            ("KITWRIGHT_CI_INTERVAL", "200ms".to_owned()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("HOME", scratch.path().display().to_string()),
            ("PATH", path.clone()),
        ];
        let started = Instant::now();
        let mut command = Command::new(self.act);
        command.arg(event).arg("-C").arg(&tree);
        command.arg("-W").arg(tree.join(".github/workflows").join(workflow));
        command.arg("-e").arg(&file).args(["-P", "ubuntu-24.04=-self-hosted"]);
        command.args(["--actor", "ann", "--no-skip-checkout", "--no-cache-server"]);
        command.args(["-s", &format!("GITHUB_TOKEN={TOKEN}"), "--defaultbranch", "main"]);
        let actions = [(CHECKOUT, "act/checkout"), (CACHE, "act/checkout"), (SCRIPT, "act/script")];
        for (action, folder) in actions {
            let folder = here().join(folder);
            command.args(["--local-repository", &format!("{action}={}", folder.display())]);
        }
        for (name, value) in &variables {
            command.args(["--env", &format!("{name}={value}")]);
        }
        let output = command
            .env_clear()
            .env("PATH", path)
            .env("HOME", scratch.path())
            .env("XDG_CACHE_HOME", scratch.path().join("cache"))
            .output()
            .expect("the runner runs");
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8_lossy(&log).into_owned();
        assert!(!log.contains(TOKEN), "the token is in the log:\n{log}");
        self.note(&format!("{workflow} on {event}"), started.elapsed(), &log);
        Ended { good: output.status.success(), log }
    }

    /// Notes how long a workflow took, and each of its steps that took any time.
    fn note(&self, what: &str, took: Duration, log: &str) {
        let mut text = format!("  {:7.2} s  {what}\n", took.as_secs_f64());
        for line in log.lines() {
            let Some((_, ended)) = line.split_once("Success - Main ") else { continue };
            let Some((step, time)) = ended.trim_end_matches(']').rsplit_once(" [") else {
                continue;
            };
            if !step.starts_with("actions/") && !step.starts_with("./") {
                text += &format!("             {time:>14}  {step}\n");
            }
        }
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    }

    /// Shows what has happened since the last time: times, tags with their digests, comments.
    fn tell(&self, scenario: &str) {
        let journal =
            std::mem::take(&mut *self.journal.lock().unwrap_or_else(PoisonError::into_inner));
        let mut text = format!("\n{scenario}\n{journal}");
        for tag in self.tags() {
            text += &format!("  {tag:24} {}\n", self.digest(&tag).unwrap_or_default());
        }
        for body in self.github.bodies() {
            let shown = body.lines().filter(|line| !line.starts_with("<!--"));
            shown.for_each(|line| text += &format!("  | {line}\n"));
        }
        println!("{text}");
    }

    /// The digest under a tag of the image.
    fn digest(&self, tag: &str) -> Option<String> {
        let answer = self.registry.manifest(IMAGE, tag);
        (answer.status == 200).then(|| answer.headers["docker-content-digest"].clone())
    }

    /// The tags that people use: those of content keys and of lists of referrers are for programs.
    fn tags(&self) -> Vec<String> {
        let answer = self.registry.request("GET", &format!("/v2/{IMAGE}/tags/list"), &[], b"");
        let mut tags: Vec<String> = match answer.status {
            200 => serde_json::from_value(answer.json()["tags"].clone()).unwrap_or_default(),
            _ => Vec::new(),
        };
        let programs = ["key-", "buildcache-key-", "sha256-"];
        tags.retain(|tag| !programs.iter().any(|prefix| tag.starts_with(prefix)));
        tags.sort();
        tags
    }

    /// Starts a branch off v2, and returns its pull request's payload once the change is committed.
    fn pull(&self, path: &str, text: &str, head_repository: &str) -> (String, Value) {
        self.work.git(&["checkout", "-q", "-B", "topic", "origin/v2"]);
        self.propose(path, text, head_repository)
    }

    /// Adds a commit to the branch.
    fn more(&self, path: &str, text: &str) -> (String, Value) {
        self.work.git(&["checkout", "-q", "topic"]);
        self.propose(path, text, REPOSITORY)
    }

    fn propose(&self, path: &str, text: &str, head_repository: &str) -> (String, Value) {
        let base = self.work.git(&["rev-parse", "origin/v2"]);
        let sha = self.work.commit(path, text);
        if head_repository == REPOSITORY {
            self.work.push("refs/heads/topic");
        }
        self.work.push("refs/pull/7/head");
        self.work.push("refs/pull/7/merge");
        let pull = pull_request(7, "topic", &sha, "v2", &base, head_repository);
        self.github.world().pulls.insert(7, pull.clone());
        (sha, pull_event(&pull))
    }

    /// Publishes v2's own image, as the push that brought the workflows did.
    fn publish_v2(&self) {
        let sha = self.work.git(&["rev-parse", "HEAD"]);
        let ended = self.run("build-ci-image.yml", "push", &push_event("v2", &sha), 1);
        assert!(ended.good, "{}", ended.log);
        let short = &sha[..7];
        let expected = ["buildcache".to_owned(), "v2".to_owned(), format!("v2-sha-{short}")];
        assert_eq!(self.tags(), expected);
        assert_eq!(self.digest("v2"), self.digest(&format!("v2-sha-{short}")));
        let manifest = self.registry.manifest(IMAGE, "v2").json();
        let own = manifest["layers"].as_array().and_then(|layers| layers.last()).expect("a layer");
        assert_eq!(own["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
        self.tell("the first push to v2");
    }
}

#[test]
fn a_regular_pull_request_builds_nothing_and_waits_for_nothing() {
    let Some(stage) = stage() else { return };
    stage.publish_v2();
    let before = stage.tags();
    let (_, event) = stage.pull("README.md", "hello\n", REPOSITORY);
    let build = stage.run("build-ci-image.yml", "pull_request", &event, 2);
    assert!(build.good, "{}", build.log);
    assert!(build.log.contains("leaves the image alone"), "{}", build.log);
    let check = stage.run("check-generate.yml", "pull_request", &event, 3);
    assert!(check.good, "{}", check.log);
    assert_eq!(stage.tags(), before);
    assert_eq!(stage.github.bodies(), Vec::<String>::new());
    assert_eq!(stage.github.world().looks, 0);
    stage.tell("1. a regular pull request");
}

#[test]
fn a_regular_pull_request_with_stale_output_fails_the_check() {
    let Some(stage) = stage() else { return };
    stage.publish_v2();
    let (_, event) = stage.pull("source.txt", "changed\n", REPOSITORY);
    let check = stage.run("check-generate.yml", "pull_request", &event, 3);
    assert!(!check.good, "{}", check.log);
    // Of a failing step's output the runner may lose the end, which has the difference itself.
    assert!(check.log.contains("Failure - Main make check-gen"), "{}", check.log);
}

#[test]
fn a_pull_request_that_touches_the_image_is_waited_for_and_then_merged() {
    let Some(stage) = stage() else { return };
    stage.publish_v2();
    let v2 = stage.digest("v2");
    stage.work.git(&["checkout", "-q", "-B", "topic", "origin/v2"]);
    let dockerfile = std::fs::read_to_string(stage.work.dir.join("gen.Dockerfile")).unwrap();
    stage.work.write("generated.txt", "source touched\n");
    let (sha, event) =
        stage.pull("gen.Dockerfile", &dockerfile.replace("one", "touched"), REPOSITORY);
    let workflow = "build-ci-image.yml".to_owned();
    let running = vec![run(9, &sha, "pull_request", "in_progress", None)];
    stage.github.world().runs.insert(workflow.clone(), running);
    // The check starts first, and has looked at least twice before the build even begins.
    let (send, looked) = mpsc::channel();
    stage.github.world().on_runs = Some(Box::new(move |look, _| {
        let _ = send.send(look);
    }));
    let (build, check) = std::thread::scope(|scope| {
        let check = scope.spawn(|| stage.run("check-generate.yml", "pull_request", &event, 3));
        while looked.recv().is_ok_and(|look| look < 2) && !check.is_finished() {}
        let build = stage.run("build-ci-image.yml", "pull_request", &event, 9);
        let conclusion = if build.good { "success" } else { "failure" };
        let done = vec![run(9, &sha, "pull_request", "completed", Some(conclusion))];
        stage.github.world().runs.insert(workflow, done);
        (build, check.join().expect("the check ended"))
    });
    assert!(build.good, "{}", build.log);
    assert!(check.good, "{}", check.log);
    assert!(check.log.contains("the image build is in_progress"), "{}", check.log);
    let image = stage.digest("pr-7").expect("an image");
    assert_ne!(Some(&image), v2.as_ref());
    let [comment] = &stage.github.bodies()[..] else { panic!("one comment") };
    assert!(comment.contains(&image) && comment.contains("RUN echo touched"), "{comment}");
    stage.tell("2. a pull request that touches the image; its check waits while it is built");

    // A second commit leaves the image alone: it is found, and still is this commit's image.
    let (sha, event) = stage.more("README.md", "words\n");
    let build = stage.run("build-ci-image.yml", "pull_request", &event, 10);
    assert!(build.good, "{}", build.log);
    assert!(build.log.contains("reused `key-"), "{}", build.log);
    let done = vec![run(10, &sha, "pull_request", "completed", Some("success"))];
    stage.github.world().runs.insert("build-ci-image.yml".to_owned(), done);
    let check = stage.run("check-generate.yml", "pull_request", &event, 11);
    assert!(check.good, "{}", check.log);
    assert_eq!(stage.digest("pr-7").as_ref(), Some(&image));
    assert_eq!(stage.github.bodies().len(), 1);
    stage.tell("2b. a second commit of it, which leaves the image alone");

    // A third one changes the image again, and the comment says why its step ran.
    stage.work.write("generated.txt", "source again\n");
    let (_, event) = stage.more("gen.Dockerfile", &dockerfile.replace("one", "again"));
    let build = stage.run("build-ci-image.yml", "pull_request", &event, 12);
    assert!(build.good, "{}", build.log);
    let image = stage.digest("pr-7").expect("an image");
    let [comment] = &stage.github.bodies()[..] else { panic!("one comment") };
    let step = comment.lines().find(|line| line.contains("| `[2/2] RUN echo again >/version` |"));
    let why = step.and_then(|line| line.trim_end_matches(" |").rsplit_once("| "));
    assert!(why.is_some_and(|(_, why)| why.contains("command")), "{comment}");
    stage.tell("2c. a third commit of it, which changes the image again");

    // The merge: v2 gets the very bytes that the pull request has tested, and all get its cache.
    let cache = stage.digest("buildcache-pr-7").expect("a cache of its own");
    assert_ne!(stage.digest("buildcache").as_ref(), Some(&cache));
    stage.work.git(&["checkout", "-q", "-B", "v2", "origin/v2"]);
    stage.work.git(&["merge", "-q", "--no-ff", "-m", "Merge", "topic"]);
    let merged = stage.work.git(&["rev-parse", "HEAD"]);
    stage.work.push("refs/heads/v2");
    let ended = stage.run("build-ci-image.yml", "push", &push_event("v2", &merged), 13);
    assert!(ended.good, "{}", ended.log);
    assert_eq!(stage.digest("v2").as_ref(), Some(&image));
    assert_eq!(stage.digest("buildcache").as_ref(), Some(&cache));
    assert_eq!(stage.digest(&format!("v2-sha-{}", &merged[..7])).as_ref(), Some(&image));
    stage.tell("3. the merge to v2");
}

#[test]
fn a_fork_builds_but_publishes_and_says_nothing() {
    let Some(stage) = stage() else { return };
    stage.publish_v2();
    let before = stage.tags();
    stage.work.git(&["checkout", "-q", "-B", "topic", "origin/v2"]);
    let dockerfile = std::fs::read_to_string(stage.work.dir.join("gen.Dockerfile")).unwrap();
    stage.work.write("generated.txt", "source forked\n");
    let (_, event) =
        stage.pull("gen.Dockerfile", &dockerfile.replace("one", "forked"), "mallory/widgets");
    let build = stage.run("build-ci-image.yml", "pull_request", &event, 2);
    assert!(build.good, "{}", build.log);
    assert!(build.log.contains("RUN echo forked"), "it is built: {}", build.log);
    let check = stage.run("check-generate.yml", "pull_request", &event, 3);
    assert!(check.good, "{}", check.log);
    assert_eq!(stage.tags(), before);
    assert_eq!(stage.github.bodies(), Vec::<String>::new());
    // One that does not build fails, with a note on the line.
    let (_, event) = stage.pull("gen.Dockerfile", "FROM scratch\nRUN nothing\n", "mallory/widgets");
    let build = stage.run("build-ci-image.yml", "pull_request", &event, 4);
    assert!(!build.good, "{}", build.log);
    assert!(build.log.contains("file=gen.Dockerfile,line=2"), "{}", build.log);
}

#[test]
fn a_comment_regenerates_and_pushes_for_those_who_may() {
    let Some(stage) = stage() else { return };
    stage.publish_v2();
    let (sha, _) = stage.pull("source.txt", "changed\n", REPOSITORY);
    stage.github.world().permissions.insert("ann".to_owned(), "write".to_owned());
    let workflow = "regenerate-on-comment.yml";
    let refused = stage.run(workflow, "issue_comment", &comment_event("mallory", "/regen"), 4);
    assert!(!refused.good, "{}", refused.log);
    let origin = Repository { dir: stage.world.path("origin.git") };
    assert_eq!(origin.git(&["rev-parse", "topic"]), sha);

    let ended = stage.run(workflow, "issue_comment", &comment_event("ann", "/regen"), 5);
    assert!(ended.good, "{}", ended.log);
    assert_eq!(origin.git(&["rev-parse", "topic^"]), sha);
    assert_eq!(origin.git(&["show", "topic:generated.txt"]), "changed one");
    assert_eq!(origin.git(&["diff", "--name-only", "topic^", "topic"]), "generated.txt");
    let reactions: Vec<String> =
        stage.github.reactions().into_iter().map(|(_, content)| content).collect();
    assert_eq!(reactions, ["confused", "eyes", "rocket"]);
}
