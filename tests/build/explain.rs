//! Why steps run again: in the log, in the timeline, in `kitwright plan`, and across machines.
use serde_json::Value;

use crate::kit::{Ended, Project};
use crate::support::engine::{self, Options};
use crate::support::registry::{self, Registry};

const DOCKERFILE: &str = "FROM busybox AS tools\n\
    ARG VERSION=1\n\
    RUN echo $VERSION > /version\n\
    \n\
    FROM busybox\n\
    WORKDIR /w\n\
    COPY lists/ lists/\n\
    RUN cat lists/a > /copy\n\
    COPY --from=tools /version /version\n";

fn project() -> Option<Project> {
    let project = Project::new(DOCKERFILE)?;
    project.write("lists/a", "one");
    project.write("lists/b", "two");
    // Another test's build of the same steps on the shared engine would be this one's cache.
    project.write("lists/own", &format!("{:?}", project.path("")));
    Some(project)
}

/// The lines about steps that ran again.
fn told(ended: Ended) -> Vec<String> {
    let log = ended.ok().stderr;
    log.lines().filter_map(|line| line.strip_prefix("ran again: ")).map(str::to_owned).collect()
}

fn version(project: &Project, salt: &str) -> String {
    format!("VERSION={salt}-{}", project.path("").display())
}

#[test]
fn an_argument_a_file_a_command_and_a_base_are_named_with_their_lines() {
    let Some(project) = project() else { return };
    let one = version(&project, "1");
    assert_eq!(told(project.build(&["--build-arg", &one])), [""; 0]);
    let two = version(&project, "2");
    let lines = told(project.build(&["--build-arg", &two, "--explain"]));
    let values = (&one["VERSION=".len()..], &two["VERSION=".len()..]);
    let shown = |value: &str| match value.chars().count() {
        0..=60 => value.to_owned(),
        _ => value.chars().take(59).chain(['…']).collect(),
    };
    let values = (shown(values.0), shown(values.1));
    let expected = [
        format!(
            "Dockerfile:3 [tools 1/2] RUN echo $VERSION > /version: ARG VERSION {} → {} in its env",
            values.0, values.1
        ),
        "Dockerfile:9 [stage-1 4/5] COPY --from=tools /version /version: input step changed: line 3"
            .to_owned(),
    ];
    assert_eq!(lines, expected);

    project.write("lists/b", "other");
    // Without being asked it tells what changed, not all that follows from it.
    let lines = told(project.build(&["--build-arg", &two, "--timeline", "t.json"]));
    assert_eq!(lines, ["Dockerfile:7 [stage-1 2/5] COPY lists/ lists/: lists/b changed"]);
    let timeline: Value = serde_json::from_str(&project.read("t.json")).expect("JSON");
    let cause = |name: &str| {
        let steps = timeline["steps"].as_array().expect("steps");
        let named = |step: &&Value| step["name"].as_str().is_some_and(|n| n.contains(name));
        steps.iter().find(named).expect(name)["cause"].clone()
    };
    assert_eq!(cause("COPY lists/"), "lists/b changed");
    assert_eq!(cause("RUN cat"), "input step changed: line 7");
    assert_eq!(cause("RUN echo"), Value::Null);

    project.write("Dockerfile", &DOCKERFILE.replace("cat lists/a", "cat lists/a lists/b"));
    let planned = project.kitwright(&["plan", ".", "--build-arg", &two]);
    let lines = told(project.build(&["--build-arg", &two]));
    assert_eq!(
        lines,
        ["Dockerfile:8 [stage-1 3/5] RUN cat lists/a lists/b > /copy: command changed"]
    );
    drop(planned);
}

#[test]
fn what_is_built_anew_without_a_change_was_evicted() {
    let Some(project) = project() else { return };
    project.build(&[]).ok();
    let Some(other) = engine::start(Options::default()) else { return };
    let lines = told(project.build(&["--builder", &other.address, "--explain"]));
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with(": evicted")), "{lines:?}");
    assert_eq!(told(project.build(&["--builder", &other.address, "--explain"])), [""; 0]);
}

#[test]
fn where_no_step_ran_nothing_is_taken_down() {
    let Some(project) = project() else { return };
    let kept = || std::fs::read_dir(project.path(".state/graphs")).expect("a folder").count();
    project.build(&[]).ok();
    assert_eq!(kept(), 1);
    std::fs::remove_dir_all(project.path(".state")).expect("a removed folder");
    // The engine looks at the context all the same.
    project.build(&[]).ok();
    assert!(!project.path(".state/graphs").exists());
    assert!(!project.path(".state/context-digests").exists());
    project.write("lists/b", "other");
    project.build(&[]).ok();
    assert_eq!(kept(), 1);
    // Of a step that takes nothing the engine never says that it was cached.
    std::fs::remove_dir_all(project.path(".state")).expect("a removed folder");
    project.write("Dockerfile", "FROM scratch\nWORKDIR /nothing\n");
    for _ in 0..2 {
        project.build(&[]).ok();
        assert!(!project.path(".state/graphs").exists());
    }
}

#[test]
fn a_base_that_moved_is_named() {
    let (Some(project), Some(registry)) = (project(), registry::start()) else { return };
    let base = registry.reference("base:latest");
    for (content, expected) in [("a", ""), ("b", "moved")] {
        project.write("Dockerfile", &format!("FROM busybox\nRUN echo {content} > /base\n"));
        project.build(&["--push", "-t", &base]).ok();
        project.write("Derived", &format!("FROM {base}\nRUN cat /base\nRUN true\n"));
        let lines = told(project.build(&["-f", "Derived", "--pull", "--explain"]));
        let line = format!("Derived:2 [2/3] RUN cat /base: base image `{base}` moved");
        let next = "Derived:3 [3/3] RUN true: input step changed: line 2";
        match expected {
            "" => assert_eq!(lines, [""; 0]),
            _ => assert_eq!(lines, [line.as_str(), next]),
        }
    }
}

#[test]
fn plan_tells_what_changed_since_the_last_build() {
    let Some(project) = project() else { return };
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let plan = |format: &str| {
        let args = ["plan", ".", "--build-context", &base, "--format", format];
        project.kitwright(&args).ok().stdout
    };
    assert!(!plan("text").contains("changed since"));
    project.build(&[]).ok();
    assert!(!plan("text").contains("changed since"), "{}", plan("text"));
    project.write("lists/a", "changed");
    let text = plan("text");
    let (_, changes) = text.split_once("changed since the last build\n").expect(&text);
    let lines: Vec<&str> = changes.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "  Dockerfile:7 [stage-1 2/5] COPY lists/ lists/: lists/a changed");
    let json: Value = serde_json::from_str(&plan("json")).expect("JSON");
    let steps = json["platforms"][0]["steps"].as_array().expect("steps").clone();
    assert!(steps.iter().any(|step| step["cause"] == "lists/a changed"), "{json}");
}

#[test]
fn values_that_could_be_secret_are_not_kept() {
    let Some(project) = Project::new(
        "FROM busybox\nARG API_TOKEN\nARG PLAIN\nRUN echo $API_TOKEN $PLAIN | wc -c\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c\n",
    ) else {
        return;
    };
    project.write("s", "hunter3");
    let build = |token: &str| {
        let token = format!("API_TOKEN={token}");
        let plain = "PLAIN=ghp_0123456789abcdefghijklmnopqrstuvwxyz";
        let secret = ["--secret", "id=s,src=s", "--build-arg", &token, "--build-arg", plain];
        project.build(&[&secret[..], &["--explain"]].concat())
    };
    build("hunter1").ok();
    let lines = told(build("hunter2"));
    assert!(lines[0].ends_with("a variable changed whose value is kept secret"), "{lines:?}");
    let folder = std::fs::read_dir(project.path(".state/graphs")).expect("graphs");
    let mut kept = 0;
    for entry in folder {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        let json = zstd::decode_all(&*bytes).expect("zstd");
        let text = String::from_utf8(json).expect("text");
        assert!(text.contains("API_TOKEN"), "{text}");
        for secret in ["hunter", "ghp_"] {
            assert!(!text.contains(secret), "{text}");
        }
        kept += 1;
    }
    assert_eq!(kept, 1);
}

/// Builds and pushes as a machine that has never seen the project.
fn elsewhere(project: &Project, registry: &Registry, args: &[&str]) -> Ended {
    let _ = std::fs::remove_dir_all(project.path(".state"));
    let name = registry.reference("app:pr-1");
    project.build(&[&["--push", "-t", &name, "--explain"][..], args].concat())
}

#[test]
fn another_machine_explains_from_what_lies_beside_the_image() {
    let (Some(project), Some(registry)) = (project(), registry::start()) else { return };
    let first = elsewhere(&project, &registry, &[]).ok().stderr;
    assert!(first.contains("nothing to explain: no build before is known"), "{first}");
    project.write("lists/a", "changed");
    let lines = told(elsewhere(&project, &registry, &[]));
    assert_eq!(lines[0], "Dockerfile:7 [stage-1 2/5] COPY lists/ lists/: lists/a changed");
    // A registry that does not take it fails nothing.
    let dead = ["--explain", "-o", "type=image,name=127.0.0.1:1/app,push=false"];
    project.build(&dead).ok();
}
