//! What a good cache costs: which requests are made for it, and when.
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::kit::{Lab, fresh, is_cached};
use crate::support::tool;

#[test]
fn a_good_cache_adds_only_its_own_requests() {
    let Some(lab) = Lab::new("requests") else { return };
    let Some(engine) = fresh() else { return };
    if lab.fill("c").is_none() {
        return;
    }
    let from = lab.through("c");
    let log = lab.build(&engine, &["--cache-from", &from]).ok().stderr;
    assert!(is_cached(&log, "RUN cat"), "{log}");
    let config = lab.config("c");
    let seen = |agent: &str| -> Vec<String> {
        let requests = lab.proxy.requests().into_iter();
        let of_agent = requests.filter(|seen| seen.agent.starts_with(agent));
        of_agent.map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    };
    let manifest = |method: &str| format!("{method} /v2/{}/manifests/c", lab.name);
    let config = format!("GET /v2/{}/blobs/{config}", lab.name);
    assert_eq!(seen("kitwright"), [manifest("GET"), config.clone()]);
    let engines = seen("buildkit");
    let digest = &engines[1];
    assert_eq!(engines.len(), 3, "{engines:?}");
    assert_eq!((&engines[0], &engines[2]), (&manifest("HEAD"), &config), "{engines:?}");
    assert!(digest.starts_with(&format!("GET /v2/{}/manifests/sha256:", lab.name)), "{engines:?}");
    assert_eq!(lab.proxy.requests().len(), 5);
}

#[test]
fn caches_are_asked_while_the_engine_boots() {
    let Some(lab) = Lab::new("while-booting") else { return };
    if lab.fill("c").is_none() {
        return;
    }
    // An engine that does not begin to boot before it is let go.
    let Some([buildkitd]) = tool::need(["buildkitd"]) else { return };
    let (bin, gate) = (lab.project.path("bin"), lab.project.path("gate"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) ;; *) read -r _ < {} ;; esac\nexec {} \"$@\"\n",
        gate.display(),
        buildkitd.display(),
    );
    lab.project.write("bin/buildkitd", &script);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("buildkitd"), executable).expect("an executable file");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &gate,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let from = lab.through("c");
    let arguments = lab.arguments(&["--cache-from", &from]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = std::thread::scope(|scope| {
        let build = scope.spawn(|| lab.project.with_env(&arguments, &[("PATH", &path)]));
        while lab.proxy.seen_by("kitwright", "GET", "/blobs/") == 0 {
            assert!(!build.is_finished(), "{}", build.join().expect("an end").stderr);
            std::thread::yield_now();
        }
        // Both documents have been asked for, and nothing of the engine runs yet.
        let mut gate = std::fs::File::options().write(true).open(&gate).expect("the pipe");
        gate.write_all(b"go\n").expect("a line");
        build.join().expect("an end").ok().stderr
    });
    assert!(is_cached(&log, "RUN cat"), "{log}");
}
