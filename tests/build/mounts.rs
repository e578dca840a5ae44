//! `--cache-mounts`: cache mounts that outlive their engine.
//!
//! | module | checks |
//! |---|---|
//! | here | what is restored, saved, kept and trimmed |
//! | [`arm64`] | the program that works in the mounts, for the other architecture |
//! | [`faults`] | registries that break, at each point of restoring and saving |
//! | [`tools`] | real package managers and their servers, by the bytes that these send |
mod arm64;
mod faults;
mod tools;

use std::net::TcpListener;

use crate::kit::{Ended, Project};
use crate::support::engine::{self, Engine, Options};
use crate::support::proxy::{self, Fault, Rule};
use crate::support::registry::{self, Registry};

/// Counts how often it has run on what the mount has kept.
const COUNTER: &str = "FROM busybox\nARG RUN\n\
    RUN --mount=type=cache,target=/kept \
    echo x >> /kept/count && cp /kept/count /count\n";

/// A project, a registry, and room for engines that are thrown away.
struct Kit {
    project: Project,
    registry: Registry,
}

fn kit(dockerfile: &str) -> Option<Kit> {
    Some(Kit { project: Project::new(dockerfile)?, registry: registry::start()? })
}

fn fresh() -> Option<Engine> {
    engine::start(Options::default())
}

impl Kit {
    fn reference(&self) -> String {
        self.registry.reference("app/mounts")
    }

    /// Builds with kept mounts on `engine`; `run` makes the step another one each time.
    fn build(&self, engine: &Engine, run: &str, args: &[&str]) -> Ended {
        let (run, reference) = (format!("RUN={run}"), self.reference());
        let own = ["--builder", &engine.address, "--build-arg", &run, "-o", "out"];
        let kept = ["--cache-mounts", &reference];
        self.project.build(&[&own[..], &kept, args].concat())
    }

    fn lines(&self, file: &str) -> usize {
        self.project.read(file).lines().count()
    }

    /// The tags of the kept mounts.
    fn tags(&self) -> Vec<String> {
        let list = self.registry.request("GET", "/v2/app/mounts/tags/list", &[], b"");
        let tags = list.json()["tags"].as_array().cloned().unwrap_or_default();
        tags.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())).collect()
    }
}

#[test]
fn a_mount_is_there_on_the_next_engine() {
    let Some(kit) = kit(COUNTER) else { return };
    for run in 1..=3 {
        let Some(engine) = fresh() else { return };
        let log = kit.build(&engine, &run.to_string(), &[]).ok().stderr;
        assert_eq!(kit.lines("out/count"), run, "{log}");
        assert!(log.contains("cache mount `/kept`: saved 1 files"), "{log}");
        assert_eq!(log.contains("cache mount `/kept`: restored 1 files"), run > 1, "{log}");
    }
    let tags = kit.tags();
    assert_eq!(tags.len(), 1, "{tags:?}");
    let manifest = kit.registry.manifest("app/mounts", &tags[0]).json();
    assert_eq!(manifest["artifactType"], "application/vnd.kitwright.cache-mount.v1");
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["io.kitwright.cache-mount.id"], "//kept");
    assert_eq!(annotations["io.kitwright.cache-mount.bytes"], "6");
    let layer = &manifest["layers"][0]["mediaType"];
    assert_eq!(layer, "application/vnd.oci.image.layer.v1.tar+zstd");
}

#[test]
fn steps_keep_their_keys() {
    let Some(kit) = kit("") else { return };
    // A base from a registry: one from this machine has the session in its digest.
    let base = kit.project.base.push(&kit.registry, "busybox", "latest");
    kit.project.write("Dockerfile", &COUNTER.replace("busybox", &base));
    let Some(one) = fresh() else { return };
    kit.build(&one, "1", &[]).ok();
    let Some(two) = fresh() else { return };
    let seeded = kit.build(&two, "2", &["--timeline", "seeded.json"]).ok().stderr;
    assert!(seeded.contains("restored"), "{seeded}");
    let plain = ["--builder", &two.address, "--build-arg", "RUN=2", "--timeline", "plain.json"];
    let plain = kit.project.build(&plain).ok().stderr;
    assert!(plain.contains("CACHED"), "{plain}");
    let digest = |file: &str| {
        let timeline: serde_json::Value =
            serde_json::from_str(&kit.project.read(file)).expect("JSON");
        let steps = timeline["steps"].as_array().expect("steps").clone();
        let runs =
            |step: &&serde_json::Value| step["name"].as_str().is_some_and(|n| n.contains("] RUN"));
        let step = steps.iter().find(runs).expect("the step").clone();
        (step["digest"].clone(), step["cached"].clone())
    };
    let (seeded, plain) = (digest("seeded.json"), digest("plain.json"));
    assert_eq!(seeded.0, plain.0);
    assert_eq!((seeded.1, plain.1), (false.into(), true.into()));
}

#[test]
fn an_unchanged_mount_is_not_pushed_again() {
    let Some(kit) = kit("FROM busybox\nARG RUN\nRUN --mount=type=cache,target=/kept \
         test -e /kept/a || echo x > /kept/a\n")
    else {
        return;
    };
    let Some(one) = fresh() else { return };
    let log = kit.build(&one, "1", &[]).ok().stderr;
    assert!(log.contains("saved 1 files"), "{log}");
    let before = kit.registry.manifest("app/mounts", &kit.tags()[0]).body;
    let Some(two) = fresh() else { return };
    let log = kit.build(&two, "2", &[]).ok().stderr;
    assert!(log.contains("restored 1 files") && !log.contains("saved"), "{log}");
    assert_eq!(kit.registry.manifest("app/mounts", &kit.tags()[0]).body, before);
    // And the engine that has it is neither filled nor emptied.
    let log = kit.build(&two, "3", &[]).ok().stderr;
    assert!(!log.contains("cache mount `"), "{log}");
}

#[test]
fn owners_modes_links_and_sharing_survive() {
    let Some(kit) = kit("FROM busybox\nARG RUN\nUSER 1000\n\
         RUN --mount=type=cache,target=/kept,uid=1000,gid=1000,mode=0750,sharing=locked \
         if [ -e /kept/d/file ]; then \
           test \"$(stat -c %u:%g:%a /kept)\" = 1000:1000:750 \
           && test \"$(stat -c %a:%h:%Y /kept/d/file)\" = 640:2:1700000000 \
           && test \"$(readlink /kept/link)\" = d/file && test \"$(stat -c %a /kept/d)\" = 555 \
           && cat /kept/d/other > /tmp/seen; \
         else \
           mkdir /kept/d && echo content > /kept/d/file && ln /kept/d/file /kept/d/other \
           && ln -s d/file /kept/link && chmod 640 /kept/d/file \
           && touch -d @1700000000 /kept/d/file && chmod 555 /kept/d; \
         fi\n\
         USER root\n\
         RUN --mount=type=cache,target=/mine,sharing=private,id=mine \
         ls /mine > /mine-had; echo 1 > /mine/file\n")
    else {
        return;
    };
    let Some(one) = fresh() else { return };
    kit.build(&one, "1", &[]).ok();
    let Some(two) = fresh() else { return };
    let log = kit.build(&two, "2", &[]).ok().stderr;
    assert!(log.contains("cache mount `/kept`: restored 2 files"), "{log}");
    assert!(!log.contains("mkdir /cache"), "{log}");
    assert_eq!(kit.project.read("out/tmp/seen"), "content\n");
    assert_eq!(kit.project.read("out/mine-had"), "file\n");
}

#[test]
fn what_is_warmer_on_the_engine_stays() {
    let Some(kit) = kit(COUNTER) else { return };
    let (Some(one), Some(two)) = (fresh(), fresh()) else { return };
    kit.build(&one, "1", &[]).ok();
    // The second engine has counted to two by itself, later than what is in the registry.
    for run in ["a", "b"] {
        let run = format!("RUN={run}");
        kit.project.build(&["--builder", &two.address, "--build-arg", &run]).ok();
    }
    kit.build(&two, "2", &[]).ok();
    assert_eq!(kit.lines("out/count"), 3);
}

#[test]
fn a_reader_saves_nothing() {
    let Some(kit) = kit(COUNTER) else { return };
    let Some(one) = fresh() else { return };
    kit.build(&one, "1", &["--cache-mounts-readonly"]).ok();
    assert_eq!(kit.tags(), Vec::<String>::new());
}

#[test]
fn a_mount_is_trimmed_by_whole_units() {
    let Some(kit) = kit("FROM busybox\nARG RUN\nRUN --mount=type=cache,target=/kept \
         ls /kept > /found; mkdir -p /kept/module@1/deep; \
         dd if=/dev/zero of=/kept/module@1/deep/large bs=1k count=300; \
         echo small > /kept/module@1/deep/small; echo small > /kept/small\n")
    else {
        return;
    };
    let Some(one) = fresh() else { return };
    let log = kit.build(&one, "1", &["--cache-mounts-max-size", "200k"]).ok().stderr;
    assert!(log.contains("saved 1 files, 0.0 MB") && log.contains("0.3 MB dropped"), "{log}");
    let Some(two) = fresh() else { return };
    kit.build(&two, "2", &["--cache-mounts-max-size", "0"]).ok();
    assert_eq!(kit.project.read("out/found"), "small\n");
}

#[test]
fn a_build_without_cache_starts_its_mounts_anew() {
    let Some(kit) = kit(COUNTER) else { return };
    let (Some(one), Some(two), Some(three)) = (fresh(), fresh(), fresh()) else { return };
    kit.build(&one, "1", &[]).ok();
    kit.build(&two, "2", &["--no-cache"]).ok();
    assert_eq!(kit.lines("out/count"), 1);
    kit.build(&three, "3", &[]).ok();
    assert_eq!(kit.lines("out/count"), 2);
}

#[test]
fn what_needs_no_mount_is_built_while_mounts_are_filled() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let text = format!(
        "FROM busybox AS free\nARG RUN\nRUN nc 127.0.0.1 {port} </dev/null; echo $RUN > /free\n\
         FROM busybox\nARG RUN\n\
         RUN --mount=type=cache,target=/kept --mount=from=free,target=/from \
         echo x >> /kept/count && cp /kept/count /from/free /\n"
    );
    let Some(kit) = kit(&text) else { return };
    let Some(one) = fresh() else { return };
    let accepting = listener.try_clone().expect("a handle");
    let first = std::thread::spawn(move || drop(accepting.accept()));
    kit.build(&one, "1", &[]).ok();
    first.join().expect("an end");
    // The saved layer does not come before the free step runs.
    let proxy = proxy::start(&kit.registry.host);
    proxy.add(Rule::new("GET", "/blobs/").skip(1).fault(Fault::StallAfter(10)));
    let through = format!("{}/app/mounts", proxy.host);
    let Some(two) = fresh() else { return };
    let log = std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            let own = ["--builder", &two.address, "--cache-mounts", &through];
            kit.project.build(&[&own[..], &["-o", "out", "--build-arg", "RUN=2"]].concat())
        });
        let reached = listener.accept().expect("a connection");
        proxy.clear();
        proxy.thaw();
        drop(reached);
        build.join().expect("an end").ok().stderr
    });
    assert!(log.contains("cache mount `/kept`: restored 1 files"), "{log}");
    assert_eq!((kit.lines("out/count"), kit.project.read("out/free").as_str()), (2, "2\n"));
    assert!(!log.contains("CACHED"), "each step is shown once: {log}");
}
