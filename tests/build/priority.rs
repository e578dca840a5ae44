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
