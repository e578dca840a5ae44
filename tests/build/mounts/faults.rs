//! Registries that break while mounts are restored or saved: the build succeeds and says so in one
//! line, and what was saved before stays whole.
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{COUNTER, Kit, fresh, kit};
use crate::support::engine::Engine;
use crate::support::proxy::{self, Fault, Proxy, Rule};

/// How a registry can break.
fn faults(at: u64) -> Vec<(&'static str, Fault)> {
    let status = |code, headers| Fault::Status(code, headers, String::new());
    let retry = vec![("Retry-After".to_owned(), "60".to_owned())];
    vec![
        ("401", status(401, vec![])),
        ("404", status(404, vec![])),
        ("429", status(429, retry)),
        ("500", status(500, vec![])),
        ("reset", Fault::ResetAfter(at)),
        ("truncated", Fault::TruncateAfter(at)),
        ("digest", Fault::CorruptAt(at)),
        ("stall", Fault::StallAfter(at)),
        ("silence", Fault::NoAnswer),
    ]
}

/// One mount of its own in a repository of its own, and a proxy before the registry that all cases share.
struct Case<'k> {
    kit: &'k Kit,
    dockerfile: String,
    out: String,
    repository: String,
    proxy: Proxy,
}

impl<'k> Case<'k> {
    fn new(kit: &'k Kit) -> Self {
        static CASES: AtomicUsize = AtomicUsize::new(0);
        let id = CASES.fetch_add(1, Ordering::Relaxed);
        let dockerfile = format!("{id}.Dockerfile");
        let own = COUNTER.replace("target=/kept", &format!("id=own{id},target=/kept"));
        kit.project.write(&dockerfile, &own);
        let (out, repository) = (format!("out{id}"), format!("app/mounts{id}"));
        Self { kit, dockerfile, out, repository, proxy: proxy::start(&kit.registry.host) }
    }

    /// Builds on `engine` with mounts behind `host`; returns the notes and how often the step has run.
    fn build(&self, engine: &Engine, host: &str, run: &str, args: &[&str]) -> (Vec<String>, usize) {
        // The id of a mount is in no key, so the step has to be another one.
        let mounts = format!("{host}/{}", self.repository);
        let run = format!("RUN={run} {}", self.out);
        let own = ["-f", &self.dockerfile, "--builder", &engine.address, "--build-arg", &run];
        let kept = ["-o", &self.out, "--cache-mounts", &mounts];
        let log = self.kit.project.build(&[&own[..], &kept, args].concat()).ok().stderr;
        let notes = log.lines().filter(|line| line.starts_with("cache mount")).map(str::to_owned);
        (notes.collect(), self.kit.lines(&format!("{}/count", self.out)))
    }

    /// Saves the mount for the first time; returns its tag, and manifest.
    fn fill(&self, engine: &Engine) -> (String, Vec<u8>) {
        let (notes, _) = self.build(engine, &self.proxy.host, "fill", &[]);
        assert!(notes.iter().any(|note| note.contains("saved 1 files")), "{notes:?}");
        let seen = self.proxy.requests();
        let put = seen.iter().rev().find(|seen| seen.method == "PUT").expect("a saved mount");
        let tag = put.path.rsplit('/').next().expect("a tag").to_owned();
        let manifest = self.kit.registry.manifest(&self.repository, &tag).body;
        (tag, manifest)
    }

    /// Whether what is saved is whole: an engine without faults restores it, and counts to `expected`.
    fn is_whole(&self, engine: &Engine, expected: usize, what: &str) {
        let host = &self.kit.registry.host;
        let (notes, count) = self.build(engine, host, "whole", &["--cache-mounts-readonly"]);
        assert_eq!(count, expected, "{what}: {notes:?}");
        assert!(notes.iter().any(|note| note.contains("restored 1 files")), "{what}: {notes:?}");
    }
}

/// Runs the cases at the same time.
fn each<T: Send>(cases: Vec<T>, run: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}

#[test]
fn a_mount_that_breaks_on_its_way_in_is_left_out() {
    let Some(kit) = kit("") else { return };
    let Some(one) = fresh() else { return };
    each(faults(20), |(name, fault)| {
        // Measuring sizes for one build, an engine may hold the mount that another one waits for.
        let (Some(two), Some(three)) = (fresh(), fresh()) else { return };
        for place in ["tag", "config", "manifest", "layer"] {
            let what = format!("{name} {place}");
            let case = Case::new(&kit);
            let (tag, before) = case.fill(&one);
            let manifest: serde_json::Value = serde_json::from_slice(&before).expect("JSON");
            let blob = |part: &serde_json::Value| {
                format!("/blobs/{}", part["digest"].as_str().expect("a digest"))
            };
            let path = match place {
                "tag" => format!("/manifests/{tag}"),
                "config" => blob(&manifest["config"]),
                "manifest" => "/manifests/sha256:".to_owned(),
                _ => blob(&manifest["layers"][0]),
            };
            case.proxy.add(Rule::new("", &path).fault(fault.clone()));
            let waits = ["stall", "silence"].contains(&name);
            let limit = ["--cache-mounts-timeout", if waits { "3s" } else { "20s" }];
            let args = [&limit[..], &["--cache-mounts-readonly"]].concat();
            let (notes, count) = case.build(&two, &case.proxy.host, "broken", &args);
            case.proxy.thaw();
            match &notes[..] {
                // Where nothing is saved nothing is missed.
                [] => assert_eq!((name, place, count), ("404", "tag", 1)),
                // The rest of an answer is asked for again, and comes.
                [note] if note.contains("restored 1 files") => {
                    assert!(["truncated", "reset"].contains(&name), "{what}: {note}");
                    assert_eq!(count, 2, "{what}");
                }
                [note] => {
                    let line = "cache mount `/kept` is not restored: ";
                    assert!(note.starts_with(line), "{what}: {note}");
                    assert_eq!(count, 1, "{what}: {note}");
                }
                more => panic!("{what}: {more:?}"),
            }
            assert_eq!(kit.registry.manifest(&case.repository, &tag).body, before, "{what}");
            case.is_whole(&three, 2, &what);
        }
    });
}

#[test]
fn a_mount_that_breaks_on_its_way_out_stays_as_it_was() {
    let Some(kit) = kit("") else { return };
    let Some(one) = fresh() else { return };
    let mut cases = faults(0);
    cases.retain(|(name, _)| !["reset", "truncated", "digest", "stall"].contains(name));
    let refused = r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest"}]}"#;
    cases.push(("digest", Fault::Status(400, Vec::new(), refused.to_owned())));
    cases.push(("reset", Fault::ResetUploadAfter(20)));
    each(cases, |(name, fault)| {
        let (Some(two), Some(three)) = (fresh(), fresh()) else { return };
        for (place, path) in [
            ("blob", "/blobs/uploads/"),
            ("manifest", "/manifests/sha256:"),
            ("tag", "/manifests/"),
        ] {
            let what = format!("{name} {place}");
            let case = Case::new(&kit);
            let (tag, before) = case.fill(&one);
            let path = if place == "tag" { format!("{path}{tag}") } else { path.to_owned() };
            for method in ["POST", "PATCH", "PUT"] {
                case.proxy.add(Rule::new(method, &path).fault(fault.clone()));
            }
            let limit = ["--cache-mounts-save-timeout", "5s"];
            let (notes, count) = case.build(&two, &case.proxy.host, "broken", &limit);
            case.proxy.thaw();
            assert_eq!(count, 2, "{what}: {notes:?}");
            let [restored, note] = &notes[..] else { panic!("{what}: {notes:?}") };
            assert!(restored.contains("restored 1 files"), "{what}: {restored}");
            let line = "cache mount `/kept` is not saved: ";
            assert!(note.starts_with(line), "{what}: {note}");
            let is_old = kit.registry.manifest(&case.repository, &tag).body == before;
            // An upload that broke after its last byte is complete at the registry.
            assert!(is_old || name == "reset", "{what}");
            case.is_whole(&three, if is_old { 2 } else { 3 }, &what);
        }
    });
}

/// The digest of the layer that a mount's manifest names.
fn layer(manifest: &[u8]) -> String {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
    manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_damaged_mount_is_saved_anew() {
    let Some(kit) = kit("") else { return };
    let (Some(one), Some(two), Some(three)) = (fresh(), fresh(), fresh()) else { return };
    let case = Case::new(&kit);
    let (_, before) = case.fill(&one);
    let layer = layer(&before);
    case.proxy.add(Rule::new("GET", &layer).fault(Fault::CorruptAt(20)));
    let (notes, count) = case.build(&two, &case.proxy.host, "broken", &[]);
    assert_eq!((notes.len(), count), (2, 1), "{notes:?}");
    assert!(notes[1].contains("saved 1 files"), "{notes:?}");
    case.is_whole(&three, 2, "anew");
}

#[test]
fn a_mount_that_was_not_restored_does_not_take_the_place_of_what_is_kept() {
    let Some(kit) = kit("") else { return };
    let Some(one) = fresh() else { return };
    let (places, mut cases) = (["/manifests/sha256:", "layer"], Vec::new());
    for (name, fault) in faults(20) {
        // What is asked for again and comes is no failure, and what is damaged or lost is replaced.
        if ["401", "429", "500", "silence"].contains(&name) {
            cases.push((name, fault));
        }
    }
    each(cases, |(name, fault)| {
        let (Some(two), Some(three)) = (fresh(), fresh()) else { return };
        for place in places {
            let what = format!("{name} {place}");
            let case = Case::new(&kit);
            let (tag, before) = case.fill(&one);
            let layer = layer(&before);
            let path = if place == "layer" { layer.as_str() } else { place };
            // Only the engine meets with it: the registry is in order when the build has ended.
            case.proxy.add(Rule::new("", path).by("buildkit").fault(fault.clone()));
            let limit = ["--cache-mounts-timeout", if name == "silence" { "3s" } else { "20s" }];
            let (notes, count) = case.build(&two, &case.proxy.host, "broken", &limit);
            assert_eq!((notes.len(), count), (2, 1), "{what}: {notes:?}");
            assert!(notes[0].contains("is not restored: "), "{what}: {notes:?}");
            let line = "is not saved: what is kept of it could not be restored";
            assert!(notes[1].contains(line), "{what}: {notes:?}");
            assert_eq!(kit.registry.manifest(&case.repository, &tag).body, before, "{what}");
            case.is_whole(&three, 2, &what);
        }
    });
}

#[test]
fn a_mount_that_is_lost_is_saved_anew() {
    let Some(kit) = kit("") else { return };
    let (Some(one), Some(two), Some(three)) = (fresh(), fresh(), fresh()) else { return };
    let case = Case::new(&kit);
    let (_, before) = case.fill(&one);
    let layer = layer(&before);
    let status = |method| Rule::new(method, &layer).status(404);
    case.proxy.add(status("GET"));
    case.proxy.add(status("HEAD"));
    let (notes, count) = case.build(&two, &case.proxy.host, "broken", &[]);
    assert_eq!((notes.len(), count), (2, 1), "{notes:?}");
    assert!(notes[1].contains("saved 1 files"), "{notes:?}");
    case.is_whole(&three, 2, "anew");
}

#[test]
fn a_registry_that_is_not_there_is_one_line() {
    let Some(kit) = kit(COUNTER) else { return };
    let refused = format!("{}/app", proxy::refusing());
    let dead = kit.project.build(&["--cache-mounts", &refused]).ok();
    let lines: Vec<&str> =
        dead.stderr.lines().filter(|line| line.starts_with("cache mount")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("cache mount `/kept` is not restored: cannot connect"),
        "{lines:?}"
    );
    kit.project.build(&["--cache-mounts", "NOT A REF"]).fails(2, &["NOT A REF"]);
}
