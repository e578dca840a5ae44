//! Images put together from what caches hold: the same bytes as from an engine, or an engine builds.
use serde_json::Value;

use super::kit::{Lab, fresh, is_cached, reader};
use crate::kit::Ended;
use crate::support::engine::Engine;
use crate::support::proxy::{Fault, Rule};
use crate::support::registry;

/// What the display says of an image that no engine has built.
const TOLD: &str = "put together from `";
/// Where no engine is.
const NOWHERE: &str = "unix:///no/such/engine.sock";

/// Steps of every kind, with settings before, between and behind them.
const KINDS: &str = "\
FROM busybox AS tool
ARG SALT
RUN mkdir -p /out/bin && echo $SALT > /out/bin/tool && ln /out/bin/tool /out/hard
WORKDIR /made
FROM busybox
ENV FIRST='<1> & \"2\"'
ARG SALT
LABEL salt=$SALT
WORKDIR /work
COPY --chown=1:2 --chmod=640 file /file
RUN --mount=type=bind,from=tool,source=/out,target=/tool cat /tool/bin/tool > seen
USER 1000:1000
COPY --link --from=tool /out/ /opt/
ADD --link folder/ /added/
EXPOSE 80/tcp
VOLUME /data
RUN true
SHELL [\"/bin/sh\", \"-ec\"]
HEALTHCHECK --interval=3s CMD test -e /file
STOPSIGNAL SIGINT
ONBUILD RUN echo built
CMD [\"sh\"]
";

/// A build with a cache, on `engine` or nowhere.
fn build(lab: &Lab, engine: Option<&Engine>, args: &[&str]) -> Ended {
    let mut all = lab.arguments(args);
    let builder = engine.map_or(NOWHERE, |engine| &engine.address);
    all.extend(["--builder".to_owned(), builder.to_owned()]);
    if engine.is_some() {
        all.push("--assemble=never".to_owned());
    }
    if args.iter().any(|argument| argument.starts_with("--progress")) {
        all.retain(|argument| argument != "--progress=plain");
    }
    all.extend(["--metadata-file=meta.json", "--iidfile=id"].map(str::to_owned));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    lab.project.with_env(&all, &[])
}

/// The result files of the last build, without what names one run of it.
fn told(lab: &Lab) -> (Value, String) {
    let mut metadata: Value = serde_json::from_str(&lab.project.read("meta.json")).expect("JSON");
    metadata.as_object_mut().expect("an object").remove("buildx.build.ref");
    (metadata, lab.project.read("id"))
}

/// The bytes of a tag's manifest and of its config.
fn image(lab: &Lab, tag: &str) -> (String, String) {
    let manifest = lab.registry.manifest(&lab.name, tag);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parsed = manifest.json();
    let config = parsed["config"]["digest"].as_str().expect("an image");
    (text(&manifest.body), text(&lab.registry.blob(&lab.name, config).body))
}

/// Builds with a cache on an engine that has it from there, and again without one: the same image.
#[track_caller]
fn is_the_same(lab: &Lab, reader: &Engine, from: &str, args: &[&str], output: &str) {
    let whole = |tag: &str| {
        let name = lab.direct(tag);
        let output = format!("type=registry,name={name}{output}");
        let mut all = vec!["--cache-from".to_owned(), from.to_owned(), "--output".into(), output];
        all.extend(args.iter().map(|&argument| argument.to_owned()));
        all
    };
    let run = |engine, tag: &str| {
        let all = whole(tag);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        build(lab, engine, &all).ok().stderr
    };
    let log = run(Some(reader), "by-engine");
    assert!(!log.contains(TOLD), "{log}");
    let (mut by_engine, id) = told(lab);
    let log = run(None, "by-hand");
    assert!(log.contains(TOLD), "{log}");
    let (mut by_hand, same_id) = told(lab);
    for (metadata, tag) in [(&mut by_engine, "by-engine"), (&mut by_hand, "by-hand")] {
        assert_eq!(metadata["image.name"], lab.direct(tag));
        metadata.as_object_mut().expect("an object").remove("image.name");
    }
    assert_eq!(image(lab, "by-hand").1, image(lab, "by-engine").1, "the config");
    assert_eq!(image(lab, "by-hand").0, image(lab, "by-engine").0, "the manifest");
    assert_eq!((by_hand, same_id), (by_engine, id));
}

/// A lab with the files of `KINDS` whose cache is written with more attributes.
fn filled(name: &str, dockerfile: &str, attributes: &str, args: &[&str]) -> Option<Lab> {
    let lab = Lab::with(name, dockerfile)?;
    lab.project.write("folder/a", "a");
    lab.project.write("folder/deep/b", "b");
    let export = format!("type=registry,ref={},{attributes}", lab.direct("c"));
    let mut all = vec!["--cache-to", export.as_str(), "--strict-cache"];
    all.extend(args);
    lab.build(super::kit::writer()?, &all).ok();
    Some(lab)
}

#[test]
fn it_is_the_image_that_an_engine_makes_of_the_same_cache() {
    let Some(reader) = reader() else { return };
    for (name, dockerfile, cache, args, output) in [
        ("as-kinds", KINDS, "mode=max", &[][..], ""),
        (
            "as-min",
            KINDS,
            "mode=min",
            &[],
            ",oci-mediatypes=true,annotation.a=<b>,annotation-manifest.c=d",
        ),
        ("as-zstd", KINDS, "mode=max,compression=zstd", &[], ",compression=zstd"),
        ("as-index", KINDS, "mode=max,image-manifest=false", &[], ",compression=gzip"),
        ("as-epoch", KINDS, "mode=max", &["--build-arg=SOURCE_DATE_EPOCH=1767300000"], ""),
        ("as-early", KINDS, "mode=max", &["--build-arg=SOURCE_DATE_EPOCH=1000000000"], ""),
        ("as-target", KINDS, "mode=max", &["--target=tool"], ""),
        ("as-scratch", "FROM scratch\nENV A=b\nCOPY . /\nLABEL c=d\n", "mode=max", &[], ""),
        ("as-label", "FROM busybox\nARG SALT\nRUN echo $SALT\n", "mode=max", &["--label=a=b"], ""),
    ] {
        let Some(lab) = filled(name, dockerfile, cache, args) else { return };
        lab.project.write(".dockerignore", "meta.json\nid\n.*\n");
        if name == "as-scratch" {
            // Written before the file that ignores what tests write.
            let export = format!("type=registry,ref={},mode=max", lab.direct("c"));
            let all = ["--cache-to", export.as_str(), "--strict-cache"];
            lab.build(super::kit::writer().expect("an engine"), &all).ok();
        }
        eprintln!("{name}");
        is_the_same(&lab, reader, &lab.direct("c"), args, output);
    }
}

/// A small build whose cache is there, under `c`.
fn small(name: &str) -> Option<Lab> {
    let lab = Lab::new(name)?;
    lab.project.write(".dockerignore", "meta.json\nid\n.*\n");
    lab.fill("c")?;
    Some(lab)
}

/// Pushes `tag` without an engine being there.
fn by_hand(lab: &Lab, name: &str, more: &[&str]) -> Ended {
    let from = lab.direct("c");
    build(lab, None, &[&["--cache-from", &from, "--push", "-t", name], more].concat())
}

#[test]
fn what_a_cache_lacks_an_engine_builds() {
    let Some(lab) = small("as-changes") else { return };
    let name = lab.direct("x");
    assert!(by_hand(&lab, &name, &[]).ok().stderr.contains(TOLD));
    let unreachable = &["/no/such/engine.sock"];
    for more in [
        &["--build-arg=LAST=2"][..],
        &["--no-cache"],
        &["--no-cache-filter=base"],
        &["--provenance=mode=min"],
        &["--history"],
        &["--assemble=never"],
        &["--annotation=manifest-descriptor:a=b"],
        &["--output=type=cacheonly"],
        &["--cache-to=type=registry,ref=127.0.0.1:9/x:y"],
        &["--allow=network.host", "--network=host"],
    ] {
        let ended = by_hand(&lab, &name, more);
        assert!(!ended.stderr.contains(TOLD), "{more:?}: {}", ended.stderr);
        ended.fails(3, unreachable);
    }
    lab.project.write("file", "changed");
    by_hand(&lab, &name, &[]).fails(3, unreachable);
    // With an engine, the file that changed is in the image.
    let Some(engine) = reader() else { return };
    let from = lab.direct("c");
    let built = lab.build(engine, &["--cache-from", &from, "--push", "-t", &name]).ok();
    assert!(!built.stderr.contains(TOLD), "{}", built.stderr);
    assert!(!is_cached(&built.stderr, "COPY file"), "{}", built.stderr);
    lab.project.write("file", "as-changes");
    assert!(by_hand(&lab, &name, &[]).ok().stderr.contains(TOLD));
}

#[test]
fn layers_come_from_another_repository_of_the_registry_and_from_no_other_registry() {
    let Some(lab) = small("as-places") else { return };
    let elsewhere = lab.registry.reference("as-elsewhere:x");
    let log = by_hand(&lab, &elsewhere, &[]).ok().stderr;
    assert!(log.contains(TOLD), "{log}");
    let manifest = lab.registry.manifest("as-elsewhere", "x").json();
    for layer in manifest["layers"].as_array().expect("layers") {
        let digest = layer["digest"].as_str().expect("a digest");
        assert_eq!(lab.registry.blob("as-elsewhere", digest).status, 200);
    }
    let (Some(other), Some(engine)) = (registry::start(), reader()) else { return };
    let (from, name) = (lab.direct("c"), other.reference("app:x"));
    let args = ["--cache-from", from.as_str(), "--push", "-t", &name];
    let built = lab.build(engine, &args).ok().stderr;
    assert!(!built.contains(TOLD) && is_cached(&built, "RUN cat"), "{built}");
    assert_eq!(other.manifest("app", "x").json()["layers"], manifest["layers"]);
}

#[test]
fn a_layer_that_is_gone_an_engine_brings() {
    let (Some(lab), Some(engine)) = (small("as-gone"), reader()) else { return };
    let layer = lab.layer("c");
    lab.proxy.add(Rule::new("HEAD", &layer).by("kitwright").status(404));
    let (from, name) = (lab.direct("c"), lab.through("x"));
    let args = ["--cache-from", from.as_str(), "--push", "-t", &name];
    let built = lab.build(engine, &args).ok().stderr;
    assert!(!built.contains(TOLD) && is_cached(&built, "RUN cat"), "{built}");
    assert!(lab.proxy.seen_by("kitwright", "HEAD", &layer) > 0);
    assert_eq!(lab.proxy.seen_by("kitwright", "PUT", "/manifests/"), 0);
    lab.is_whole();
}

#[test]
fn a_push_that_fails_moves_no_tag_and_is_the_engines_to_try_again() {
    let (Some(lab), Some(engine)) = (small("as-refused"), reader()) else { return };
    lab.proxy.add(Rule::new("PUT", "/manifests/x").by("kitwright").status(403));
    let (from, name) = (lab.direct("c"), lab.through("x"));
    let args = ["--cache-from", from.as_str(), "--push", "-t", &name];
    let told = ["not put together from caches, but built", "/no/such/engine.sock"];
    build(&lab, None, &args).fails(3, &told);
    assert_eq!(lab.tags(), ["c"]);
    let built = lab.build(engine, &args).ok().stderr;
    assert!(built.contains(told[0]) && !built.contains(TOLD), "{built}");
    lab.is_whole();
    // One that stands still has as long as a probe.
    lab.proxy.clear();
    lab.proxy.add(Rule::new("HEAD", "/blobs/").by("kitwright").fault(Fault::NoAnswer));
    let short = ["--cache-timeout=300ms"];
    let log = lab.build(engine, &[&args[..], &short].concat()).ok().stderr;
    assert!(log.contains("the registry took longer than 0.3 s"), "{log}");
}

#[test]
fn a_cache_that_would_be_written_has_to_hold_everything() {
    let Some(lab) = small("as-held") else { return };
    let name = lab.direct("x");
    let held = format!("--cache-to=type=registry,mode=max,ref={}", lab.direct("c"));
    let log = by_hand(&lab, &name, &[&held]).ok().stderr;
    let told = format!("the cache `{}` holds everything already: not exported", lab.direct("c"));
    assert!(log.contains(TOLD) && log.contains(&told), "{log}");
    // Beside another one that holds nothing of it.
    let other = Lab::new("as-held-other");
    let Some(other) = other.filter(|other| other.fill("c").is_some()) else { return };
    let more = format!("--cache-from={}", other.direct("c"));
    let log = by_hand(&lab, &name, &[&more, &held]).ok().stderr;
    assert!(log.contains(TOLD) && log.contains(&told), "{log}");
    let unheld = format!("--cache-to=type=registry,mode=max,ref={}", other.direct("c"));
    by_hand(&lab, &name, &[&more, &unheld]).fails(3, &["/no/such/engine.sock"]);
}

#[test]
fn an_engine_finds_every_step_in_the_image_alone() {
    let Some(lab) = filled("as-inline", KINDS, "mode=max", &[]) else { return };
    let Some(engine) = fresh() else { return };
    lab.project.write(".dockerignore", "meta.json\nid\n.*\n");
    let (from, image) = (lab.direct("c"), lab.direct("image"));
    let push = ["--push", "-t", &image, "--cache-to", "type=inline"];
    let log = build(&lab, None, &[&["--cache-from", &from][..], &push].concat()).ok().stderr;
    assert!(log.contains(TOLD), "{log}");
    let again = lab.direct("again");
    let args = ["--assemble=never", "--cache-from", &image, "--push", "-t", &again];
    let log = lab.build(&engine, &args).ok().stderr;
    for step in
        ["WORKDIR /work", "COPY --chown", "RUN --mount", "COPY --link", "ADD --link", "RUN true"]
    {
        assert!(is_cached(&log, step), "{step}: {log}");
    }
    // And so does kitwright: an image that carries its cache is as good as a cache.
    is_the_same(&lab, reader().expect("an engine"), &image, &[], "");
}

#[test]
fn all_displays_tell_of_cached_steps() {
    let Some(lab) = small("as-shown") else { return };
    let name = lab.direct("x");
    let log = by_hand(&lab, &name, &["--timeline=time.json"]).ok().stderr;
    assert!(is_cached(&log, "RUN cat") && is_cached(&log, "COPY file"), "{log}");
    assert!(
        log.contains("pushing manifest for") && log.contains(&format!("built {name} as ")),
        "{log}"
    );
    assert!(lab.project.read("time.json").contains("RUN cat"));
    let id = lab.project.read("id");
    let quiet = by_hand(&lab, &name, &["-q"]).ok();
    assert_eq!((quiet.stdout.trim(), quiet.stderr.as_str()), (id.as_str(), ""));
    let raw = by_hand(&lab, &name, &["--progress=rawjson"]).ok().stderr;
    let lines = raw.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let cached = lines.filter(|line| line["vertexes"][0]["cached"] == true).count();
    assert_eq!(cached, 3, "{raw}");
}
