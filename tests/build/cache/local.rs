//! Caches in directories, beside and after others.
use super::kit::{Lab, fresh};

/// Two stages that one cache each can serve.
const DOCKERFILE: &str = "FROM busybox AS one\nARG A\nARG SALT\nRUN echo one $A $SALT | tee /one\n\
    FROM busybox AS two\nARG B\nARG SALT\nRUN echo two $B $SALT | tee /two\n\
    FROM scratch\nCOPY --link --from=one /one /one\nCOPY --link --from=two /two /two\n";

/// Builds on a new engine and writes the cache `to`.
fn write(lab: &Lab, to: &str, args: &[&str]) {
    let Some(engine) = fresh() else { return };
    let log =
        lab.build(&engine, &[&["--cache-to", to, "--strict-cache"], args].concat()).ok().stderr;
    assert!(ran(&log, "one 1") || ran(&log, "two 1"), "{log}");
}

/// Whether a step that prints this has run. A directory's layers are fetched as soon as they are found, so
/// that steps which it serves are not shown as cached.
fn ran(log: &str, output: &str) -> bool {
    log.lines().any(|line| !line.contains("RUN") && line.contains(&format!(" {output} local-")))
}

#[test]
fn a_directory_serves_what_an_earlier_cache_lacks() {
    let Some(lab) = Lab::with("local-staged", DOCKERFILE) else { return };
    let registry = |tag: &str| format!("type=registry,mode=max,ref={}", lab.direct(tag));
    write(&lab, &registry("a"), &["--build-arg=A=1", "--build-arg=B=0"]);
    write(&lab, "type=local,dest=b,mode=max", &["--build-arg=A=0", "--build-arg=B=1"]);
    let both = ["--build-arg=A=1", "--build-arg=B=1"];
    let a = lab.direct("a");
    let Some(engine) = fresh() else { return };
    let caches = ["--cache-from", &a, "--cache-from", "type=local,src=b"];
    let to = ["--cache-to", "type=local,dest=c,mode=max", "--strict-cache", "-o", "out"];
    let log = lab.build(&engine, &[&caches[..], &to, &both].concat()).ok().stderr;
    assert!(!ran(&log, "one 1") && !ran(&log, "two 1"), "{log}");
    assert_eq!(lab.project.read("out/one"), "one 1 local-staged\n");
    assert_eq!(lab.project.read("out/two"), "two 1 local-staged\n");
    // What was written has both, and serves alone.
    let Some(engine) = fresh() else { return };
    let log = lab.build(&engine, &[&["--cache-from", "type=local,src=c"], &both[..]].concat());
    let log = log.ok().stderr;
    assert!(!ran(&log, "one 1") && !ran(&log, "two 1"), "{log}");
}

#[test]
fn two_directories_serve_one_build() {
    let Some(lab) = Lab::with("local-two", DOCKERFILE) else { return };
    write(&lab, "type=local,dest=a,mode=max", &["--build-arg=A=1", "--build-arg=B=0"]);
    write(&lab, "type=local,dest=b,mode=max", &["--build-arg=A=0", "--build-arg=B=1"]);
    let Some(engine) = fresh() else { return };
    let caches = ["a", "b", "nowhere"].map(|place| format!("type=local,src={place}"));
    let mut args = vec!["--build-arg=A=1", "--build-arg=B=1"];
    caches.iter().for_each(|cache| args.extend(["--cache-from", cache]));
    let log = lab.build(&engine, &args).ok().stderr;
    assert!(!ran(&log, "one 1") && !ran(&log, "two 1"), "{log}");
}
