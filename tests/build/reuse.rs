//! `--reuse`: an image is found by its content key instead of built.
use serde_json::Value;

use crate::kit::{Ended, Project, files_of};
use crate::support::registry::{self, Registry};

const DOCKERFILE: &str = "FROM busybox\nCOPY used /used\nRUN --network=none cat /used > /copy\n";

fn project() -> Option<(Project, Registry)> {
    let project = Project::new(DOCKERFILE)?;
    project.write("used", "one");
    project.write("unused", "");
    Some((project, registry::start()?))
}

fn base(project: &Project) -> String {
    format!("busybox=oci-layout://{}:latest", project.base.layout.display())
}

/// Builds with `--reuse`, where there is no engine unless `engine`.
fn build(project: &Project, name: &str, engine: bool) -> Ended {
    build_more(project, name, engine, &[])
}

fn build_more(project: &Project, name: &str, engine: bool, more: &[&str]) -> Ended {
    let base = base(project);
    let builder = if engine { project.address() } else { "unix:///no/such/engine.sock" };
    let mut args = vec!["build", ".", "--progress=plain", "--build-context", &base, "--reuse"];
    args.extend(["--push", "-t", name, "--metadata-file", "meta.json", "--iidfile", "id"]);
    args.extend(["--builder", builder]);
    args.extend(more);
    project.with_env(&args, &[])
}

fn digest(project: &Project) -> String {
    let metadata: Value = serde_json::from_str(&project.read("meta.json")).expect("JSON");
    metadata["containerimage.digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn unchanged_inputs_need_no_engine() {
    let Some((project, registry)) = project() else { return };
    build(&project, &registry.reference("app:one"), true).ok();
    let (built, id) = (digest(&project), project.read("id"));
    project.write("unused", "changed");
    std::fs::remove_file(project.path("meta.json")).expect("a removed file");
    let found = build(&project, &registry.reference("app:two"), false).ok();
    assert!(found.stderr.contains("reused `key-"), "{}", found.stderr);
    assert_eq!((digest(&project), project.read("id")), (built.clone(), id));
    let tagged = registry.manifest("app", "two");
    assert_eq!(crate::support::base::digest(&tagged.body), built);
    // In another repository of the registry, the same bytes.
    build(&project, &registry.reference("app:three"), false).ok();
}

#[test]
fn an_image_whose_steps_reach_the_network_grows_too_old() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    let none = ["--reuse-max-age", "0s"];
    build(&project, &name, true).ok();
    build_more(&project, &name, false, &none).ok();
    project.write("Dockerfile", "FROM busybox\nCOPY used /used\nRUN cat /used > /copy\n");
    build(&project, &name, true).ok();
    let found = build(&project, &name, false).ok();
    assert!(found.stderr.contains(", built "), "its age is told: {}", found.stderr);
    let said = ["too old, building", "/no/such/engine.sock"];
    build_more(&project, &name, false, &none).fails(3, &said);
}

/// What `--metadata-file` says, without what names one run of a build.
fn metadata(project: &Project) -> Value {
    let mut metadata: Value = serde_json::from_str(&project.read("meta.json")).expect("JSON");
    metadata.as_object_mut().expect("an object").remove("buildx.build.ref");
    metadata
}

#[test]
fn result_files_are_those_of_a_build_also_of_an_index() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    for more in [&[][..], &["--provenance=mode=min"], &["--platform=linux/amd64,linux/arm64"]] {
        build_more(&project, &name, true, more).ok();
        let (built, id) = (metadata(&project), project.read("id"));
        let found = build_more(&project, &name, false, more).ok();
        assert!(found.stderr.contains("reused `key-"), "{}", found.stderr);
        assert_eq!(metadata(&project), built, "{more:?}");
        assert_eq!(project.read("id"), id, "{more:?}");
    }
}

/// Not even a program to start one: nothing is on PATH.
#[test]
fn a_machine_without_any_engine_is_enough() {
    let Some((project, registry)) = project() else { return };
    build(&project, &registry.reference("app:one"), true).ok();
    let (base, name) = (base(&project), registry.reference("app:two"));
    let args = ["build", ".", "--build-context", &base, "--reuse", "--push", "-t", &name];
    let nothing = [("PATH", "/no/such/folder"), ("XDG_RUNTIME_DIR", "/no/such/folder")];
    let found = project.with_env(&args, &nothing).ok();
    assert!(found.stderr.contains("reused `key-"), "{}", found.stderr);
    let changed = [&args[..], &["--build-arg", "SOURCE_DATE_EPOCH=1"]].concat();
    project.with_env(&changed, &nothing).fails(3, &["buildkitd"]);
}

#[test]
fn no_reuse_builds_in_any_case() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    build(&project, &name, true).ok();
    build_more(&project, &name, false, &["--no-reuse"]).fails(3, &["/no/such/engine.sock"]);
    let built = build_more(&project, &name, true, &["--no-reuse"]).ok();
    assert!(!built.stderr.contains("reused"), "{}", built.stderr);
    // Whichever comes last counts.
    build_more(&project, &name, false, &["--no-reuse", "--reuse"]).ok();
    // The variable is the default for both.
    let base = base(&project);
    let args = ["build", ".", "--build-context", &base, "--push", "-t", &name];
    let nowhere = ["--builder", "unix:///no/such/engine.sock"];
    let env = [("KITWRIGHT_REUSE", "true")];
    project.with_env(&[&args[..], &nowhere].concat(), &env).ok();
    let taken_back = [&args[..], &nowhere, &["--no-reuse"]].concat();
    project.with_env(&taken_back, &env).fails(3, &["/no/such/engine.sock"]);
}

#[test]
fn a_hit_writes_only_the_tags_that_are_elsewhere() {
    let Some((project, registry)) = project() else { return };
    let proxy = crate::support::proxy::start(&registry.host);
    build(&project, &registry.reference("app:one"), true).ok();
    let asked = |tag: &str| {
        let before = proxy.requests().len();
        build(&project, &format!("{}/app:{tag}", proxy.host), false).ok();
        let mut methods: Vec<String> =
            proxy.requests()[before..].iter().map(|request| request.method.clone()).collect();
        methods.sort();
        methods
    };
    assert_eq!(asked("one"), ["GET", "HEAD"]);
    assert_eq!(asked("two"), ["GET", "HEAD", "PUT"]);
    assert_eq!(asked("two"), ["GET", "HEAD"]);
}

#[test]
fn archives_and_the_own_store_get_the_image_that_is_found() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    build(&project, &name, true).ok();
    let built = digest(&project);
    let outputs = ["--load=store", "-o", "type=oci,dest=image.tar", "-o", "type=docker,dest=d.tar"];
    let found = build_more(&project, &name, false, &outputs).ok();
    assert!(found.stderr.contains("is in the image store"), "{}", found.stderr);
    assert_eq!(digest(&project), built);
    let files = files_of(&project.path("image.tar"));
    let index: Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
    assert_eq!(index["manifests"][0]["digest"], built.as_str());
    assert!(files.contains_key(&format!("blobs/sha256/{}", &built[7..])));
    assert!(files_of(&project.path("d.tar")).contains_key("manifest.json"));
    let list = project.kitwright(&["image", "list", "--format=json"]).ok().stdout;
    assert!(list.contains(&built), "{list}");
    let left: Vec<_> = std::fs::read_dir(project.path(".")).expect("a folder").collect();
    assert_eq!(left.len(), 9, "nothing else is left behind: {left:?}");
}

#[test]
fn an_output_that_no_registry_has_takes_a_build_and_that_is_said() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    build(&project, &name, true).ok();
    let outputs = ["-o", "type=local,dest=out"];
    let said = ["nothing is reused: `--output type=local` takes a build", "/no/such/engine.sock"];
    build_more(&project, &name, false, &outputs).fails(3, &said);
    build_more(&project, &name, true, &outputs).ok();
    assert_eq!(project.read("out/copy"), "one");
}

#[test]
fn a_changed_file_is_built_and_keyed_anew() {
    let Some((project, registry)) = project() else { return };
    let name = registry.reference("app:one");
    build(&project, &name, true).ok();
    let first = digest(&project);
    project.write("used", "two");
    build(&project, &name, false).fails(3, &["/no/such/engine.sock"]);
    build(&project, &name, true).ok();
    assert_ne!(digest(&project), first);
    project.write("used", "one");
    build(&project, &name, false).ok();
    assert_eq!(digest(&project), first, "the first image is still there by its key");
}

#[test]
fn a_failed_build_has_no_key() {
    let Some((project, registry)) = project() else { return };
    project.write("Dockerfile", "FROM busybox\nRUN --network=none false\n");
    let name = registry.reference("app:one");
    for _ in 0..2 {
        build(&project, &name, true).fails(1, &["no image `key-"]);
    }
}

#[test]
fn it_needs_something_to_push() {
    let Some((project, _registry)) = project() else { return };
    project.build(&["--reuse"]).fails(2, &["`--reuse` needs an image that is pushed"]);
}

#[test]
fn a_plan_names_the_key_and_what_changed_since_another() {
    let Some((project, _registry)) = project() else { return };
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let plan = |more: &[&str]| {
        let mut args = vec!["plan", ".", "--build-context", &base];
        args.extend(more);
        project.kitwright(&args).ok().stdout
    };
    let key = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("content key "));
        line.expect("a key").to_owned()
    };
    let first = plan(&[]);
    assert!(first.contains("RUN --network=none cat /used"), "{first}");
    assert_eq!(plan(&["--diff", &key(&first)]), "");
    project.write("used", "two");
    let changed = plan(&["--diff", &key(&first)]);
    let marks: Vec<_> = changed.lines().map(|line| &line[..7]).collect();
    assert_eq!(marks, ["- files", "+ files"], "{changed}");
    for (other, part) in [("key-0", "is not known here"), ("nonsense", "names no content key")] {
        let ended = project.kitwright(&["plan", ".", "--build-context", &base, "--diff", other]);
        ended.fails(2, &[other, part]);
    }
}

/// The key of the tag list, without what describes it.
fn key_tag(registry: &Registry) -> String {
    let answer = registry.request("GET", "/v2/app/tags/list", &[], b"");
    let tags: Vec<String> = serde_json::from_value(answer.json()["tags"].clone()).expect("tags");
    let mut keys: Vec<_> = tags.iter().filter(|tag| tag.starts_with("key-")).collect();
    keys.sort();
    let [key, inputs] = &keys[..] else { panic!("a key and its description: {keys:?}") };
    assert_eq!(**inputs, format!("{key}.inputs"));
    (*key).clone()
}

#[test]
fn a_plan_is_compared_with_a_key_of_another_machine() {
    let Some((project, registry)) = project() else { return };
    build(&project, &registry.reference("app:one"), true).ok();
    let key = registry.reference(&format!("app:{}", key_tag(&registry)));
    let base = base(&project);
    let plan = |other: &str| {
        let elsewhere = project.path(".other").display().to_string();
        let args = ["plan", ".", "--build-context", &base, "--diff", other];
        project.with_env(&args, &[("KITWRIGHT_STATE_DIR", &elsewhere)])
    };
    assert_eq!(plan(&key).ok().stdout, "");
    project.write("used", "two");
    let changed = plan(&key).ok().stdout;
    let marks: Vec<_> = changed.lines().map(|line| &line[..7]).collect();
    assert_eq!(marks, ["- files", "+ files"], "{changed}");
    // One that is no description of its key is refused.
    let other = format!("key-{}", "0".repeat(64));
    let forged = registry.manifest("app", &format!("{}.inputs", key_tag(&registry)));
    let path = format!("/v2/app/manifests/{other}.inputs");
    let kind = [("Content-Type", "application/vnd.oci.image.manifest.v1+json")];
    assert_eq!(registry.request("PUT", &path, &kind, &forged.body).status, 201);
    let forged = registry.reference(&format!("app:{other}"));
    plan(&forged).fails(3, &["is no description of its key"]);
    let missing = registry.reference(&format!("app:key-{}", "1".repeat(64)));
    plan(&missing).fails(2, &["has no description in its repository"]);
}

#[test]
fn a_promotion_expects_the_key_that_the_build_has_left() {
    let Some((project, registry)) = project() else { return };
    build(&project, &registry.reference("app:one"), true).ok();
    let (built, key) = (digest(&project), key_tag(&registry));
    let source = registry.reference("app:one");
    let promote = |key: &str| {
        let args = ["image", "promote", &source, ":v2", "--settle=0", "--expect-key", key];
        project.kitwright(&args)
    };
    assert_eq!(promote(&key).ok().stdout.trim(), built);
    assert_eq!(promote(key.trim_start_matches("key-")).ok().stdout.trim(), built);
    promote(&format!("key-{}", "0".repeat(64))).fails(3, &["content key"]);
    // The tag names something else by now.
    project.write("used", "two");
    build(&project, &source, true).ok();
    promote(&key).fails(3, &["content key"]);
}

/// What `kitwright plan` tells of a clone, as `user` if that is not this one.
fn key_in(clone: &std::path::Path, base: &str, user: Option<&str>) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = tempfile::tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), open).expect("a mode");
    // Where any user finds it.
    let program = scratch.path().join("kitwright");
    std::fs::copy(env!("CARGO_BIN_EXE_kitwright"), &program).expect("a copy");
    let mut command = match user {
        None => std::process::Command::new(&program),
        Some(user) => {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(&program);
            command
        }
    };
    command.args(["plan", ".", "--build-context", base, "--format=json"]).current_dir(clone);
    command.env("KITWRIGHT_STATE_DIR", scratch.path().join("state")).env("HOME", scratch.path());
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    plan["key"]["tag"].as_str().expect("a key").to_owned()
}

#[test]
fn two_clones_and_two_users_have_one_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some((project, _registry)) = project() else { return };
    let layout = project.base.layout.display();
    let root = tempfile::tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).expect("a mode");
    let git = |dir: &std::path::Path, args: &[&str]| {
        let named = [("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.com")];
        let committed = [("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.com")];
        let mut command = std::process::Command::new("git");
        command.current_dir(dir).args(args).envs(named).envs(committed);
        assert!(command.status().expect("git runs").success(), "{args:?}");
    };
    let origin = root.path().join("origin");
    std::fs::create_dir(&origin).expect("a folder");
    // Any user may read the base: a copy of it lies beside the clones.
    let base = root.path().join("base");
    let copied = std::process::Command::new("cp")
        .args(["-r", &layout.to_string()])
        .arg(&base)
        .status()
        .expect("cp runs");
    assert!(copied.success());
    let everybody = ["-R", "a+rX", &base.to_string_lossy()];
    assert!(std::process::Command::new("chmod").args(everybody).status().expect("chmod").success());
    std::fs::write(origin.join("Dockerfile"), DOCKERFILE).expect("a file");
    std::fs::write(origin.join("used"), "one").expect("a file");
    git(&origin, &["init", "-q"]);
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "all"]);
    for name in ["one", "a-longer/two"] {
        git(root.path(), &["clone", "-q", "origin", name]);
    }
    let (one, two) = (root.path().join("one"), root.path().join("a-longer/two"));
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options().write(true).open(two.join("used")).expect("a file");
    file.set_modified(old).expect("a time");
    let base = format!("busybox=oci-layout://{}:latest", base.display());
    let key = key_in(&one, &base, None);
    assert_eq!(key_in(&two, &base, None), key);
    if rustix::process::geteuid().is_root() {
        assert_eq!(key_in(&two, &base, Some("65534")), key);
        let owned = std::process::Command::new("chown").args(["-R", "65534"]).arg(&two).status();
        assert!(owned.expect("chown runs").success());
        assert_eq!(key_in(&two, &base, Some("65534")), key);
    }
    std::fs::write(two.join("used"), "two").expect("a file");
    assert_ne!(key_in(&two, &base, None), key);
}
