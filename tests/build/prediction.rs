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
        if std::env::var_os("TELL").is_some() {
            for s in plan["platforms"][0]["steps"].as_array().expect("steps") {
                eprintln!("  {}: {}", s["name"], s["cache"]["text"]);
            }
        }
        let told = plan["platforms"][0]["steps"].as_array().expect("steps").iter();
        let told: Vec<String> =
            told.map(|s| format!("{}: {}", s["name"], s["cache"]["text"])).collect();
        assert_eq!(score.wrong, [""; 0], "{name}\n{}\n{fates:#?}", told.join("\n"));
        total.add(score);
    }
    total
}

/// What changes between the build that writes a cache and the build that reads it.
fn changes<'a>() -> Vec<Change<'a>> {
    let none: &dyn Fn(&Project) = &|_| {};
    vec![
        ("unchanged", none, &[]),
        ("unused file", &|p| p.write("unused", "changed"), &[]),
        ("argument", none, &["--build-arg", "TOOL=2"]),
        ("target", none, &["--target", "base"]),
        ("excluded file", &|p| p.write("docs/two.md", "changed"), &[]),
        ("last mount", &|p| p.write("stages/versions", "echo changed"), &[]),
        ("wildcard", &|p| p.write("x.conf", "changed"), &[]),
        ("stage", &|p| p.write("stages/node/list", "changed"), &[]),
        ("early copy", &|p| p.write("files/deep/b", "changed"), &[]),
        ("no cache for a stage", none, &["--no-cache-filter", "go"]),
        ("no cache", none, &["--no-cache"]),
    ]
}

#[test]
fn the_plan_of_many_stages_is_what_an_engine_does() {
    let Some(project) = Project::new(STAGES) else { return };
    let Some(registry) = registry::start() else { return };
    let caches = Caches { registry };
    write_stages(&project);
    let import = caches.flag("max");
    let export = format!("{import},mode=max,image-manifest=true,compression=zstd");
    let total = check(&project, &["--cache-to", &export], &import, &changes());
    eprintln!("max: {} right, {} open", total.right, total.open);
    // What hangs on the output of a step that runs anew is open, and nothing else.
    assert!(total.right > 150 && total.open < 25, "{total:?}");
}

#[test]
fn a_cache_of_the_last_stage_alone_is_read_as_the_engine_does() {
    let Some(project) = Project::new(STAGES) else { return };
    let Some(registry) = registry::start() else { return };
    let caches = Caches { registry };
    write_stages(&project);
    let import = caches.flag("min");
    let export = format!("{import},mode=min");
    let total = check(&project, &["--cache-to", &export], &import, &changes());
    eprintln!("min: {} right, {} open", total.right, total.open);
    assert!(total.right > 120, "{total:?}");
}

#[test]
fn a_cache_inside_an_image_is_read_as_the_engine_does() {
    let Some(project) = Project::new(STAGES) else { return };
    let Some(registry) = registry::start() else { return };
    let caches = Caches { registry };
    write_stages(&project);
    let image = caches.registry.reference("app:latest");
    let export = ["--push", "-t", &image, "--cache-to", "type=inline"];
    let import = format!("type=registry,ref={image}");
    let total = check(&project, &export, &import, &changes());
    eprintln!("inline: {} right, {} open", total.right, total.open);
    assert!(total.right > 120, "{total:?}");
}

#[test]
fn a_base_image_counts_by_its_layers_under_any_name() {
    let Some(project) = Project::new("FROM busybox\nRUN echo a > /a\nCOPY f /f\n") else { return };
    let Some(registry) = registry::start() else { return };
    project.write("f", "f");
    let caches = Caches { registry };
    let import = caches.flag("base");
    let export = format!("{import},mode=max");
    project.fates(&fresh_engine(), &["--cache-to", &export]);
    // The same layers behind another manifest.
    let moved = project.base.push_renamed(&caches.registry, "moved", "latest");
    project.write("Dockerfile", &format!("FROM {moved}\nRUN echo a > /a\nCOPY f /f\n"));
    let args = ["--cache-from", import.as_str()];
    let (planned, _) = project.planned(&args);
    let served = planned.values().filter(|state| *state == "served").count();
    let score = compare(&planned, &project.fates(&fresh_engine(), &args));
    assert_eq!((served, score.wrong), (1, Vec::new()), "{planned:#?}");
}

#[test]
fn odd_files_have_the_engines_digests() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(project) = Project::new(
        "FROM scratch AS all\nCOPY . /\n\
         FROM scratch AS some\nCOPY d/s*/x-* e/ /some/\nCOPY --exclude=**/skip* tree /tree/\nCOPY link /linked\n\
         COPY link/deep /deep\nCOPY --chmod=600 --chown=3:4 d/twin /twin\nADD tree/ /added/\n\
         FROM scratch\nCOPY --from=all / /\nCOPY --from=some / /\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    for name in [
        "d/s1/x-1",
        "d/s1/y-1",
        "d/s2/x-2",
        "d/s2/x-dir/in",
        "d/one",
        "e/f",
        "e/g h/i",
        "a-b",
        "a/b",
        "a.b",
        "tree/skipped",
        "tree/k/skip",
        "tree/k/kept",
        "tree/\u{e4}/\u{fffd}",
        "tree/deep/link-here",
    ] {
        project.write(name, name);
    }
    project.write("tree/empty", "");
    std::fs::create_dir(project.path("tree/hollow")).expect("a folder");
    std::fs::hard_link(project.path("d/one"), project.path("d/twin")).expect("a hard link");
    std::os::unix::fs::symlink("tree", project.path("link")).expect("a link");
    std::os::unix::fs::symlink("../a/b", project.path("tree/up")).expect("a link");
    std::os::unix::fs::symlink("nowhere", project.path("tree/dangling")).expect("a link");
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(project.path("d/s1/x-1"), mode(0o6755)).expect("a mode");
    std::fs::set_permissions(project.path("tree/k"), mode(0o1777)).expect("a mode");
    project.write(".dockerignore", ".home\n.state\nout\n");
    let caches = Caches { registry };
    let import = caches.flag("odd");
    let export = format!("{import},mode=max");
    let none: &dyn Fn(&Project) = &|_| {};
    let total = check(
        &project,
        &["--cache-to", &export],
        &import,
        &[
            ("unchanged", none, &[]),
            ("skipped file", &|p| p.write("tree/k/skip", "changed"), &["--target=some"]),
            ("link's target", &|p| p.write("tree/deep/link-here", "changed"), &["--target=some"]),
            ("new name", &|p| p.write("d/s3/x-3", "new"), &["--target=some"]),
            (
                "mode",
                &|p| std::fs::set_permissions(p.path("e/f"), mode(0o600)).expect("a mode"),
                &[],
            ),
        ],
    );
    assert!(total.right > 30, "{total:?}");
}

#[test]
fn odd_instructions_have_the_engines_keys() {
    let Some(project) = Project::new("FROM busybox\n") else { return };
    let Some(registry) = registry::start() else { return };
    project.base.push(&registry, "base", "latest");
    let config = crate::support::base::digest(&project.base.config);
    let url = format!("http://{}/v2/base/blobs/{config}", registry.host);
    let dockerfile = "\
FROM busybox AS src
RUN mkdir -p /d/e /etc && echo x > /d/e/f && echo daemon:x:7:8::/: > /etc/passwd && echo bin:x:9: > /etc/group
FROM src
ENV X=\"<a>&'b' \u{fc}\u{2028}\"
RUN --network=none --mount=type=tmpfs,target=/t,size=1m \\
    --mount=type=secret,id=s,required=false,uid=3,mode=0440 --mount=type=ssh,required=false true
RUN --mount=type=secret,id=s,env=S --mount=type=bind,from=src,source=/d,target=/d,rw touch /d/new
RUN --mount=type=bind,from=src,source=/d,target=/d --mount=type=bind,from=src,source=/d/e,target=/e ls /d > /ls
RUN --mount=type=cache,id=other,target=/c,sharing=private,uid=5 --mount=type=cache,target=/plain true
COPY --chown=daemon:bin file /x
COPY --chmod=u+x,g-w file /y
COPY <<END /heredoc
hello $X
END
RUN <<END
echo one > /one
END
ADD pack.tar /unpacked/
ADD --checksum=SUM URL /fetched
COPY --parents ./deep/./er/file /parents/
COPY --from=src --exclude=e /d/ /d/e/f /copies/
USER 7:8
WORKDIR /w
RUN --mount=type=bind,target=/context id > /tmp/id || true
VOLUME /v
"
    .replace("SUM", &config)
    .replace("URL", &url);
    project.write("Dockerfile", &dockerfile);
    project.write("file", "file");
    project.write("deep/er/file", "deep");
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(project.path("file"), "packed").expect("an entry");
    std::fs::write(project.path("pack.tar"), tar.into_inner().expect("a tar")).expect("a file");
    project.write(".dockerignore", ".home\n.state\n");
    let caches = Caches { registry };
    let import = caches.flag("odd");
    let export = format!("{import},mode=max");
    let none: &dyn Fn(&Project) = &|_| {};
    let flags = ["--add-host=h:1.2.3.4", "--ulimit=nofile=1024:2048", "--shm-size=1m"];
    let mut all = vec!["--cache-to", export.as_str()];
    all.extend(flags);
    let other = ["--add-host=h:4.3.2.1", flags[1], flags[2]];
    let total = check(
        &project,
        &all,
        &import,
        &[
            ("unchanged", none, &flags),
            ("another address", none, &other),
            ("another limit", none, &["--ulimit=nofile=512:512"]),
            ("file", &|p| p.write("file", "changed"), &flags),
        ],
    );
    assert!(total.right > 50 && total.open < 8, "{total:?}");
}
