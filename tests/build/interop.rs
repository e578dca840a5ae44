//! One cache for both: what `docker buildx` built is cached for kitwright, and the other way round.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::kit::Project;
use crate::support::engine::{self, Engine, Options};
use crate::support::{registry, tool};

/// Every kind of step there is, with what decides its cache key.
const DOCKERFILE: &str = r#"# escape=\
ARG VERSION=1
FROM busybox AS base
ARG VERSION
ENV NAME=interop PATH=/opt/bin:$PATH
WORKDIR /src
RUN echo "$NAME $VERSION" > /version

FROM base AS build
COPY --chown=1000:1000 --chmod=0640 src/ ./src/
COPY --exclude=*.md docs docs
ADD archive.tar /unpacked/
COPY <<script.sh <<EOF /heredoc/
#!/bin/sh
echo $NAME
script.sh
plain
EOF
RUN <<EOF
#!/bin/sh
set -eu
cat src/a /heredoc/EOF > out
EOF
RUN --mount=type=cache,target=/cache,id=interop,uid=1000 --mount=type=tmpfs,target=/t \
    --mount=type=bind,source=src,target=/bound,ro --mount=type=secret,id=token \
    cp /bound/a /cache/a && cat /cache/a >> out
RUN --network=none ["sh", "-c", "echo exec form >> out"]

FROM busybox
COPY --link --from=build /src/out /out
COPY --parents --from=build /src/./src/a /parents/
USER 1000
WORKDIR /home/user
RUN --mount=from=build,source=/src,target=/mnt test -s /mnt/out
CMD ["cat", "/out"]
"#;

/// The steps of the Dockerfile above that make a layer.
const STEPS: usize = 12;

const SECRET: [&str; 2] = ["--secret", "id=token,src=token"];

/// buildx, with a builder that is an engine of ours.
struct Buildx {
    program: PathBuf,
}

impl Buildx {
    /// Builds on the engine at `address` and returns the log.
    fn build(&self, project: &Project, engine: &Engine, args: &[&str]) -> String {
        let create = ["create", "--name", "interop", "--driver", "remote", &engine.address];
        let created = self.command(project).args(create).output().expect("buildx starts");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
        let flags = ["--progress=plain", "--builder=interop", "--provenance=false"];
        let mut build = self.command(project);
        build.args(["build", "."]).args(flags).args(["--build-context", &base]);
        let output = build.args(SECRET).args(args).output().expect("buildx starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        let remove = ["rm", "--force", "--keep-daemon", "interop"];
        self.command(project).args(remove).output().expect("buildx starts");
        text
    }

    fn command(&self, project: &Project) -> Command {
        let home = project.path(".buildx");
        std::fs::create_dir_all(&home).expect("a folder");
        let mut command = Command::new(&self.program);
        command.current_dir(project.path(""));
        for name in ["HOME", "BUILDX_CONFIG", "DOCKER_CONFIG"] {
            command.env(name, &home);
        }
        command
    }
}

/// Builds with kitwright on `engine` and returns the log.
fn kitwright(project: &Project, engine: &Engine, args: &[&str]) -> String {
    let mut all = vec!["--provenance=false", "--builder", &engine.address];
    all.extend(SECRET);
    all.extend(args);
    project.build(&all).ok().stderr
}

/// The pinned buildx: one that is there, or built on first use.
pub(crate) fn buildx() -> Option<PathBuf> {
    static BUILDX: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let package = "github.com/docker/buildx/cmd/buildx";
        tool::find("buildx")
            .or_else(|| tool::build_with_go("buildx", "tests/build/buildx", package))
    };
    BUILDX.get_or_init(build).clone()
}

/// A project with all that the Dockerfile copies, and buildx.
fn project() -> Option<(Project, Buildx)> {
    let program = buildx()?;
    let project = Project::new(DOCKERFILE)?;
    project.write("src/a", "content\n");
    project.write("src/deep/b", "more\n");
    project.write("docs/x.txt", "kept");
    project.write("docs/y.md", "left out");
    project.write("token", "secret");
    project.write(".dockerignore", "**/deep\n*.log\n.buildx\n.home\n.state\n");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    archive.append_data(&mut header, "packed", &b"file"[..]).expect("an archive in memory");
    let archive = archive.into_inner().expect("an archive in memory");
    std::fs::write(project.path("archive.tar"), archive).expect("a written file");
    Some((project, Buildx { program }))
}

fn engine() -> Option<Engine> {
    engine::start(Options::default())
}

/// The steps of a log that ran, and the number of all.
fn steps(log: &str) -> (Vec<String>, usize) {
    let mut names = BTreeMap::new();
    let mut cached = BTreeSet::new();
    for line in log.lines() {
        let split = line.strip_prefix('#').and_then(|line| line.split_once(' '));
        let Some((id, rest)) = split else { continue };
        let instructions = ["] RUN ", "] COPY ", "] ADD ", "] WORKDIR "];
        if rest.starts_with('[') && instructions.iter().any(|word| rest.contains(word)) {
            names.insert(id.to_owned(), rest.to_owned());
        }
        if rest == "CACHED" {
            cached.insert(id.to_owned());
        }
    }
    let all = names.len();
    names.retain(|id, _| !cached.contains(id));
    (names.into_values().collect(), all)
}

#[track_caller]
fn all_cached(log: &str) {
    let (ran, all) = steps(log);
    assert!(all >= STEPS, "only {all} steps in\n{log}");
    assert!(ran.is_empty(), "not cached: {ran:#?}\n{log}");
}

#[track_caller]
fn all_ran(log: &str) {
    let (ran, all) = steps(log);
    assert!(all >= STEPS && ran.len() == all, "{} of {all} steps ran in\n{log}", ran.len());
}

#[test]
fn what_buildx_built_is_cached_for_kitwright() {
    let Some((project, buildx)) = project() else { return };
    let Some(engine) = engine() else { return };
    all_ran(&buildx.build(&project, &engine, &[]));
    all_cached(&kitwright(&project, &engine, &[]));
    // Another argument is another step, so what is seen as cached is seen rightly.
    let (ran, _) = steps(&kitwright(&project, &engine, &["--build-arg", "VERSION=2"]));
    assert!(ran.iter().any(|step| step.contains("/version")), "{ran:?}");
}

#[test]
fn what_kitwright_built_is_cached_for_buildx() {
    let Some((project, buildx)) = project() else { return };
    let Some(engine) = engine() else { return };
    all_ran(&kitwright(&project, &engine, &[]));
    all_cached(&buildx.build(&project, &engine, &[]));
}

#[test]
fn a_registry_cache_of_either_serves_the_other() {
    let Some((project, buildx)) = project() else { return };
    let (Some(one), Some(two), Some(three), Some(registry)) =
        (engine(), engine(), engine(), registry::start())
    else {
        return;
    };
    let export = |name: &str| format!("type=registry,ref={},mode=max", registry.reference(name));
    let import = |name: &str| format!("type=registry,ref={}", registry.reference(name));
    let (theirs, ours) = ("from-buildx:c", "from-kitwright:c");
    all_ran(&buildx.build(&project, &one, &["--cache-to", &export(theirs)]));
    all_cached(&kitwright(&project, &two, &["--cache-from", &import(theirs)]));
    kitwright(&project, &two, &["--cache-to", &export(ours)]);
    all_cached(&buildx.build(&project, &three, &["--cache-from", &import(ours)]));
}
