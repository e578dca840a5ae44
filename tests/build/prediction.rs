//! Predicted cache hits against what a fresh engine does with the same caches.
use crate::fate::{Score, compare, fresh_engine};
use crate::kit::Project;
use crate::support::registry::{self, Registry};

/// The shape of a build image: independent stages with bind and cache mounts, put together by links.
const STAGES: &str = "\
ARG TOOL=1
FROM busybox AS go
WORKDIR /src
RUN --mount=type=bind,source=stages/go/list,target=list \\
    --mount=type=cache,target=/cache/go mkdir -p /out/bin && cp list /out/bin/go && date +%s%N >> /cache/go/n
FROM busybox AS node
WORKDIR /opt/node
RUN --mount=type=bind,source=stages/node/list,target=list \\
    --mount=type=cache,target=/npm,sharing=locked cat list > node
FROM busybox AS tool
ARG TOOL
RUN echo $TOOL > /tool
FROM busybox AS base
ENV KIND=base
RUN echo $KIND > /kind
COPY files/ /files/
RUN --mount=type=bind,from=tool,source=/tool,target=/tool cat /tool > /seen && ls -l /files > /list
FROM base
WORKDIR /work
COPY --link --from=go /out/bin/ /usr/local/bin/
COPY --link --from=node /opt/node/ /opt/node/
COPY --from=node --chown=1:2 /opt/node/node /opt/copied
COPY --exclude=*.md docs docs
COPY *.conf /etc/
ENV LAST=1
RUN --mount=type=bind,source=stages/versions,target=/versions sh /versions > /checked
";

fn write_stages(project: &Project) {
    for (name, content) in [
        ("stages/go/list", "go"),
        ("stages/node/list", "node"),
        ("stages/versions", "echo versions"),
        ("files/a", "a"),
        ("files/deep/b", "b"),
        ("docs/one.txt", "one"),
        ("docs/two.md", "two"),
        ("x.conf", "x"),
        ("y.conf", "y"),
        ("unused", "unused"),
    ] {
        project.write(name, content);
    }
    std::os::unix::fs::symlink("a", project.path("files/link")).expect("a link");
    project.write(".dockerignore", "unused-too\n.home\n.state\n");
}

struct Caches {
    registry: Registry,
}

impl Caches {
    fn flag(&self, tag: &str) -> String {
        format!("type=registry,ref={}", self.registry.reference(&format!("cache:{tag}")))
    }
}

type Change<'a> = (&'a str, &'a dyn Fn(&Project), &'a [&'a str]);

/// Exports once, then for each change compares the plan with a build on a fresh engine.
fn check(project: &Project, export: &[&str], import: &str, changes: &[Change<'_>]) -> Score {
    project.fates(&fresh_engine(), export);
    let mut total = Score::default();
    for (name, change, args) in changes {
        change(project);
        let mut all = vec!["--cache-from", import];
        all.extend(*args);
        let (planned, plan) = project.planned(&all);
        let fates = project.fates(&fresh_engine(), &all);
        let score = compare(&planned, &fates);
        eprintln!("{name}: {} right, {} open", score.right, score.open);
        let told = plan["platforms"][0]["steps"].as_array().expect("steps").iter();
        let told: Vec<String> =
            told.map(|s| format!("{}: {}", s["name"], s["cache"]["text"])).collect();
        assert_eq!(score.wrong, [""; 0], "{name}\n{}\n{fates:#?}", told.join("\n"));
        total.add(score);
    }
    total
}

#[test]
fn the_plan_of_many_stages_is_what_an_engine_does() {
    let Some(project) = Project::new(STAGES) else { return };
    let Some(registry) = registry::start() else { return };
    let caches = Caches { registry };
    write_stages(&project);
    let import = caches.flag("max");
    let export = format!("{import},mode=max");
    let none = |_: &Project| {};
    let total = check(
        &project,
        &["--cache-to", &export],
        &import,
        &[
            ("unchanged", &none, &[]),
            ("unused file", &|p| p.write("unused", "changed"), &[]),
            ("argument", &none, &["--build-arg", "TOOL=2"]),
            ("excluded file", &|p| p.write("docs/two.md", "changed"), &[]),
            ("last mount", &|p| p.write("stages/versions", "echo changed"), &[]),
            ("wildcard", &|p| p.write("x.conf", "changed"), &[]),
            ("stage", &|p| p.write("stages/node/list", "changed"), &[]),
            ("early copy", &|p| p.write("files/deep/b", "changed"), &[]),
            ("no cache for a stage", &none, &["--no-cache-filter", "go"]),
        ],
    );
    eprintln!("max: {} right, {} open", total.right, total.open);
}
