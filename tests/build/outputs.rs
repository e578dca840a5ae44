//! What a build leaves behind: images in registries, archives, directories, result files.
use serde_json::Value;

use crate::kit::{Project, files_of};
use crate::support::registry;

const HELLO: &str = "FROM busybox\nRUN echo hello > /hello\nCMD [\"cat\", \"/hello\"]\n";

#[test]
fn a_pushed_image_is_the_one_reported_and_runs() {
    let (Some(project), Some(registry)) = (Project::new(HELLO), registry::start()) else { return };
    let name = registry.reference("app:one");
    let pushed = ["--push", "-t", &name, "--metadata-file", "meta.json", "--iidfile", "id"];
    project.build(&pushed).ok();
    let metadata: Value = serde_json::from_str(&project.read("meta.json")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest");
    let manifest = registry.manifest("app", "one");
    assert_eq!(manifest.status, 200);
    assert_eq!(crate::support::base::digest(&manifest.body), digest);
    assert_eq!(manifest.json()["config"]["digest"], project.read("id"));
    // Pulled back by its digest, it does what it was built for.
    let again = format!(
        "FROM {}@{digest}\nRUN test \"$(cat /hello)\" = hello\n",
        registry.reference("app")
    );
    project.write("Dockerfile", &again);
    project.build(&[]).ok();
}

#[test]
fn native_and_engine_compilers_make_the_same_image() {
    let Some(project) = Project::new(
        "FROM busybox AS a\nARG X=1\nENV Y=$X\nWORKDIR /w\nCOPY f .\nRUN echo $Y > y\n\
         FROM a\nLABEL l=m\nEXPOSE 80\nUSER 5\nENTRYPOINT [\"x\"]\n",
    ) else {
        return;
    };
    project.write("f", "content");
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
    for (frontend, file) in [("native", "native"), ("dockerfile.v0", "engine")] {
        let output = format!("type=oci,rewrite-timestamp=true,dest={file}.tar");
        let flags = ["--frontend", frontend, "-o", &output, "--iidfile", file, epoch[0], epoch[1]];
        project.build(&flags).ok();
    }
    assert_eq!(project.read("native"), project.read("engine"));
}

#[test]
fn archives_and_directories_hold_the_result() {
    let Some(project) = Project::new("FROM scratch\nCOPY f /d/f\n") else { return };
    project.write("f", "content");
    project.build(&["-o", "out"]).ok();
    assert_eq!(project.read("out/d/f"), "content");
    project.build(&["-o", "type=tar,dest=out.tar"]).ok();
    assert_eq!(files_of(&project.path("out.tar"))["d/f"], b"content");
    project.build(&["-o", "type=oci,dest=oci.tar"]).ok();
    assert!(files_of(&project.path("oci.tar")).contains_key("index.json"));
    project.build(&["-t", "a/b:c", "-o", "type=docker,dest=docker.tar"]).ok();
    let files = files_of(&project.path("docker.tar"));
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    assert_eq!(manifest[0]["RepoTags"][0], "a/b:c");
    project.build(&["-o", "type=oci,tar=false,dest=layout"]).ok();
    assert!(project.path("layout/index.json").is_file());
}

#[test]
fn several_outputs_of_one_build() {
    let Some(project) = Project::new("FROM scratch\nCOPY f /f\n") else { return };
    project.write("f", "content");
    project.build(&["-o", "out", "-o", "type=tar,dest=out.tar", "-t", "x:y"]).ok();
    assert_eq!(project.read("out/f"), "content");
    assert_eq!(files_of(&project.path("out.tar"))["f"], b"content");
}

#[test]
fn quiet_prints_the_image_id_alone() {
    let Some(project) = Project::new(HELLO) else { return };
    let ended = project.build(&["-q", "-o", "type=oci,dest=x.tar"]).ok();
    assert!(ended.stdout.starts_with("sha256:") && ended.stdout.len() == 72, "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_timeline_shows_stages_side_by_side() {
    let Some(project) = Project::new(
        "FROM busybox AS a\nRUN sleep 0.4 && date +%N > /a\nFROM busybox AS b\n\
         RUN sleep 0.4 && date +%N > /b\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
    ) else {
        return;
    };
    project.build(&["--no-cache", "--timeline", "t.json", "-o", "type=cacheonly"]).ok();
    let timeline: Value = serde_json::from_str(&project.read("t.json")).expect("JSON");
    let span = |part: &str| {
        let steps = timeline["steps"].as_array().expect("steps");
        let has = |step: &&Value| step["name"].as_str().is_some_and(|name| name.contains(part));
        let step = steps.iter().find(has).expect(part);
        let at = |key: &str| step[key].as_str().expect(key).to_owned();
        (at("started"), at("completed"))
    };
    let (a, b) = (span("> /a"), span("> /b"));
    assert!(a.0 < b.1 && b.0 < a.1, "{a:?} and {b:?} overlap");
}
