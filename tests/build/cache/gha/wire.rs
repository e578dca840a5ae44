//! What reaches the engine of a runner's variables: the same as from buildx, and nowhere else.
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use buildkit_rs_proto::moby::buildkit::v1::{SolveRequest, frontend};
use prost::Message as _;

use super::{Service, runner, token};
use crate::cache::kit::{Lab, fresh};
use crate::interop::buildx;
use crate::support::engine::Engine;
use crate::support::tap::Tap;

const FROM: &str = "type=gha,scope=ci";
const TO: &str = "type=gha,mode=max,scope=ci";

/// A cache of a solve, and whether it is read.
type Entry = (bool, String, BTreeMap<String, String>);

/// The solves that went through `tap`, without what is in them of caches; and the caches.
fn solves(tap: &Tap) -> (Vec<SolveRequest>, BTreeSet<Entry>) {
    let (mut solves, mut caches) = (Vec::new(), BTreeSet::new());
    for message in tap.messages() {
        // Where the client is the frontend, its own solves name the imports.
        if let Ok(solve) = frontend::SolveRequest::decode(&message[..]) {
            let imports = solve.cache_imports.into_iter().filter(|one| one.r#type == "gha");
            caches.extend(imports.map(|one| (true, one.r#type, one.attrs)));
        }
        let Ok(mut solve) = SolveRequest::decode(&message[..]) else { continue };
        let Some(cache) = solve.cache.take() else { continue };
        caches.extend(cache.imports.into_iter().map(|one| (true, one.r#type, one.attrs)));
        caches.extend(cache.exports.into_iter().map(|one| (false, one.r#type, one.attrs)));
        solves.push(solve);
    }
    (solves, caches)
}

/// A tap before a fresh engine.
fn tapped(lab: &Lab, name: &str) -> Option<(Engine, Tap)> {
    let engine = fresh()?;
    let tap = Tap::start(&lab.project.path(name), &engine.address);
    Some((engine, tap))
}

#[test]
fn the_engine_is_told_what_buildx_tells_it() {
    let (Some(lab), Some(program)) = (Lab::new("gha-wire"), buildx()) else { return };
    let job = "main,own=refs/heads/main,default=refs/heads/main";
    let (Some(first), Some(second)) = (Service::first(), Service::second(&[job])) else { return };
    lab.project.write(".dockerignore", "*.sock\n.buildx\n.home\n.state\n");
    let token = token(&["refs/heads/main"]);
    let second = runner(&second.urls[0], &token);
    let old = vec![
        ("ACTIONS_CACHE_URL", first.urls[0].clone()),
        // There on each runner, for artifacts.
        ("ACTIONS_RESULTS_URL", "http://127.0.0.1:1/".into()),
        ("ACTIONS_RUNTIME_TOKEN", token.clone()),
    ];
    for (number, mut variables) in [(1, old), (2, second)] {
        let others = [("GITHUB_REPOSITORY", "o/r"), ("GITHUB_TOKEN", "ghs_other")];
        variables.extend(others.map(|(name, value)| (name, value.to_owned())));
        let (Some((_one, ours)), Some((_two, theirs))) = (
            tapped(&lab, &format!("ours-{number}.sock")),
            tapped(&lab, &format!("theirs-{number}.sock")),
        ) else {
            return;
        };
        let flags = ["--cache-from", FROM, "--cache-to", TO];
        let env: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let all = [&["build", "--builder", &ours.address], &flags[..]].concat();
        let arguments = lab.arguments(&[]);
        let rest: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
        lab.project.with_env(&[&all[..], &rest[..]].concat(), &env).ok();

        let home = lab.project.path(".buildx");
        std::fs::create_dir_all(&home).expect("a folder");
        let run = |args: &[&str]| {
            let mut command = Command::new(&program);
            command.current_dir(lab.project.path("")).env_clear().envs(env.iter().copied());
            command.env("HOME", &home).env("BUILDX_CONFIG", &home);
            let output = command.args(args).output().expect("buildx starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let name = format!("wire-{number}");
        run(&["create", "--name", &name, "--driver", "remote", &theirs.address]);
        let all = [&["build", "--builder", &name, "--provenance=false"], &flags[..]].concat();
        run(&[&all[..], &rest[..]].concat());

        let ((ours, caches), (_, expected)) = (solves(&ours), solves(&theirs));
        assert_eq!(expected.len(), 2, "{expected:?}");
        // What is read kitwright reads itself.
        let written: BTreeSet<Entry> = expected.into_iter().filter(|(read, ..)| !read).collect();
        assert_eq!(caches, written, "version {number}");
        // Neither a graph nor a frontend's options has it, where the engine's history would show it.
        assert!(!ours.is_empty());
        for solve in ours {
            let bytes = solve.encode_to_vec();
            let needle = token.as_bytes();
            assert!(!bytes.windows(needle.len()).any(|part| part == needle), "{solve:?}");
        }
    }
}

#[test]
fn githubs_own_service_can_be_listed() {
    let Some(lab) = Lab::new("gha-listed") else { return };
    let Some((_engine, tap)) = tapped(&lab, "tap.sock") else { return };
    let token = token(&["refs/heads/main"]);
    // Nothing is sent there: the name leads nowhere, and so the cache is left out of the build.
    let hosted = "https://nowhere.invalid.actions.githubusercontent.com/";
    let mut env = runner(hosted, &token);
    env.push(("GITHUB_REPOSITORY", "o/r".into()));
    env.push(("GITHUB_TOKEN", "ghs_other".into()));
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let arguments = lab.arguments(&["--builder", &tap.address, "--cache-to", "type=gha"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = lab.project.with_env(&arguments, &env).ok().stderr;
    assert!(!log.contains(&token) && !log.contains("ghs_other"), "{log}");
    let (_, caches) = solves(&tap);
    let export = caches.iter().find(|(read, ..)| !read).expect("an export");
    let attribute = |name: &str| export.2.get(name).map(String::as_str);
    assert_eq!((attribute("url_v2"), attribute("token")), (Some(hosted), Some(&*token)));
    assert_eq!((attribute("repository"), attribute("ghtoken")), (Some("o/r"), Some("ghs_other")));
}
