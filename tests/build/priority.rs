//! Caches that hold different results of one step: the earlier wins, whichever is newer.
use crate::fate::{Fate, fresh_engine};
use crate::kit::Project;
use crate::support::registry::{self, Registry};

fn cache(registry: &Registry, tag: &str) -> String {
    format!("type=registry,ref={}", registry.reference(&format!("cache:{tag}")))
}

/// Builds on an engine of its own and writes the cache `tag`.
fn write(project: &Project, registry: &Registry, tag: &str, args: &[&str]) {
    let export = format!("{},mode=max", cache(registry, tag));
    let mut all = vec!["--cache-to", &export];
    all.extend(args);
    project.fates(&fresh_engine(), &all);
}

/// Builds with the caches `tags` in order on an engine of its own; `/f` of the result.
fn read(project: &Project, registry: &Registry, tags: &[&str], args: &[&str]) -> String {
    let engine = fresh_engine();
    let caches: Vec<String> = tags.iter().map(|tag| cache(registry, tag)).collect();
    let mut all = vec!["-o", "out"];
    caches.iter().for_each(|cache| all.extend(["--cache-from", cache]));
    all.extend(args);
    let fates = project.fates(&engine, &all);
    let stamped = fates.iter().find(|(name, _)| name.contains("date +%s%N"));
    assert_ne!(stamped.map(|(_, fate)| *fate), Some(Fate::Ran), "{fates:#?}");
    project.read("out/f")
}

#[test]
fn the_earlier_of_two_poisoned_caches_wins_in_both_orders() {
    let Some(project) = Project::new(
        "FROM busybox AS stamp\nRUN date +%s%N > /f\n\
         FROM busybox AS left\nARG L\nRUN echo left $L > /l\n\
         FROM busybox AS right\nARG R\nRUN echo right $R > /r\n\
         FROM scratch\nCOPY --link --from=stamp /f /f\n\
         COPY --link --from=left /l /l\nCOPY --link --from=right /r /r\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    // Each cache holds the stamped step, and one step that the other lacks.
    write(&project, &registry, "old", &["--build-arg=L=1", "--build-arg=R=0"]);
    write(&project, &registry, "new", &["--build-arg=L=0", "--build-arg=R=1"]);
    let both = ["--build-arg=L=1", "--build-arg=R=1"];
    let old = read(&project, &registry, &["old"], &["--build-arg=L=1", "--build-arg=R=0"]);
    let new = read(&project, &registry, &["new"], &["--build-arg=L=0", "--build-arg=R=1"]);
    assert_ne!(old, new);
    for round in 0..20 {
        let (tags, expected) = match round % 2 {
            0 => (["old", "new"], &old),
            _ => (["new", "old"], &new),
        };
        assert_eq!(read(&project, &registry, &tags, &both), *expected, "round {round}: {tags:?}");
    }
}

/// The caches that `kitwright plan` would have the engine ask, solve by solve.
fn imports(project: &Project, registry: &Registry, tags: &[&str], args: &[&str]) -> String {
    let caches: Vec<String> = tags.iter().map(|tag| cache(registry, tag)).collect();
    let mut all = Vec::new();
    caches.iter().for_each(|cache| all.extend(["--cache-from", cache]));
    all.extend(args);
    let (_, plan) = project.planned(&all);
    let names = plan["platforms"][0]["imports"].to_string();
    names.replace(&format!("{}/cache:", registry.host), "").replace('"', "")
}

#[test]
fn a_cache_is_asked_only_for_what_the_earlier_ones_lack() {
    let Some(project) = Project::new(
        "FROM busybox AS one\nARG A\nRUN echo $A > /a\nFROM busybox AS two\nARG B\nRUN echo $B > /b\n\
         FROM scratch\nCOPY --link --from=one /a /a\nCOPY --link --from=two /b /b\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    let (a, b) = (["--build-arg=A=1", "--build-arg=B=0"], ["--build-arg=A=0", "--build-arg=B=1"]);
    write(&project, &registry, "a", &a);
    write(&project, &registry, "b", &b);
    let both = ["--build-arg=A=1", "--build-arg=B=1"];
    assert_eq!(imports(&project, &registry, &["a", "b"], &a), "[[a]]");
    assert_eq!(imports(&project, &registry, &["b", "a"], &a), "[[a]]");
    assert_eq!(imports(&project, &registry, &["a", "b"], &both), "[[a],[b]]");
    // What is copied could still turn out to be what it was: one cache is enough to find that.
    let neither = ["--build-arg=A=2", "--build-arg=B=2"];
    assert_eq!(imports(&project, &registry, &["a", "b"], &neither), "[[a]]");
    let ignored = ["--no-cache"];
    assert_eq!(imports(&project, &registry, &["a", "b"], &ignored), "[[]]");

    // Each step from the cache that has it, on one engine that has nothing.
    let caches = [cache(&registry, "a"), cache(&registry, "b")];
    let args = ["--cache-from", &caches[0], "--cache-from", &caches[1], both[0], both[1]];
    let fates = project.fates(&fresh_engine(), &args);
    let ran: Vec<_> =
        fates.iter().filter(|(name, fate)| **fate == Fate::Ran && name.contains("RUN")).collect();
    assert!(ran.is_empty(), "{fates:#?}");
}

#[test]
fn what_a_later_cache_built_on_a_loser_is_built_anew() {
    let Some(project) = Project::new(
        "FROM busybox\nRUN date +%s; date > /f; head -c 9 /dev/urandom | md5sum >> /f\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    write(&project, &registry, "short", &[]);
    let short = read_file(&project, &registry, &["short"]);
    let longer = "FROM busybox\n\
         RUN date +%s; date > /f; head -c 9 /dev/urandom | md5sum >> /f\nRUN echo more > /more\n";
    project.write("Dockerfile", longer);
    write(&project, &registry, "long", &[]);
    let long = read_file(&project, &registry, &["long"]);
    assert_ne!(short, long);
    for _ in 0..3 {
        assert_eq!(read_file(&project, &registry, &["short", "long"]), short);
        assert_eq!(read_file(&project, &registry, &["long", "short"]), long);
    }
    assert_eq!(imports(&project, &registry, &["short", "long"], &[]), "[[short],[]]");
    assert_eq!(imports(&project, &registry, &["long", "short"], &[]), "[[long]]");
}

fn read_file(project: &Project, registry: &Registry, tags: &[&str]) -> String {
    let caches: Vec<String> = tags.iter().map(|tag| cache(registry, tag)).collect();
    let mut all = vec!["-o", "out"];
    caches.iter().for_each(|cache| all.extend(["--cache-from", cache]));
    project.fates(&fresh_engine(), &all);
    project.read("out/f")
}

#[test]
fn every_platform_has_an_order_of_its_own() {
    let Some(project) = Project::new(
        "FROM scratch AS one\nCOPY one /one\nFROM scratch AS two\nCOPY two /two\n\
         FROM scratch\nARG TARGETARCH\nCOPY --link --from=one /one /$TARGETARCH\n\
         COPY --link --from=two /two /two\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    let platforms = ["--platform=linux/amd64,linux/arm64"];
    project.write("one", "1");
    project.write("two", "other");
    write(&project, &registry, "a", &platforms);
    project.write("one", "other");
    project.write("two", "2");
    write(&project, &registry, "b", &platforms);
    project.write("one", "1");
    assert!(imports(&project, &registry, &["a", "b"], &platforms).starts_with("[[a],[b]"));
    let caches = [cache(&registry, "a"), cache(&registry, "b")];
    let args = ["--cache-from", &caches[0], "--cache-from", &caches[1], platforms[0]];
    let fates = project.fates(&fresh_engine(), &args);
    let ran = |name: &&String| fates[*name] == Fate::Ran;
    let ran: Vec<_> = fates.keys().filter(|name| !name.contains("LINK")).filter(ran).collect();
    assert!(ran.is_empty(), "{fates:#?}");
}

#[test]
fn a_key_without_result_in_the_first_cache_hides_no_result_of_the_second() {
    let Some(project) = Project::new(
        "FROM busybox AS y\nRUN date > /y\nFROM busybox AS x\nCOPY --from=y /y /y\nRUN cat /y > /x\n\
         FROM x\nARG Z\nRUN --mount=type=bind,from=y,source=/y,target=/yy echo $Z; cat /yy\n",
    ) else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    let image = registry.reference("app:latest");
    let full = format!("{},mode=max", cache(&registry, "max"));
    let export = ["--push", "-t", &image, "--cache-to", "type=inline", "--cache-to", &full];
    project.fates(&fresh_engine(), &export);
    let inline = format!("type=registry,ref={image}");
    let max = cache(&registry, "max");
    for order in [[&inline, &max], [&max, &inline]] {
        let args = ["--cache-from", order[0], "--cache-from", order[1], "--build-arg=Z=2"];
        let fates = project.fates(&fresh_engine(), &args);
        let step = |part: &str| fates.iter().find(|(name, _)| name.contains(part)).map(|(_, f)| *f);
        assert_eq!(step("date"), Some(Fate::Cached), "{order:?} {fates:#?}");
        assert_eq!(step("echo"), Some(Fate::Ran), "{order:?} {fates:#?}");
    }
}
