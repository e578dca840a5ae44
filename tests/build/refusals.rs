//! Builds that cannot be: exit codes and messages.
use crate::kit::Project;
use crate::support::registry;

#[test]
fn a_failing_step_shows_its_output_and_its_lines() {
    let Some(project) = Project::new("FROM busybox\nRUN echo about to fail && \\\n    exit 7\n")
    else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    let name = registry.reference("app:broken");
    let parts = ["about to fail", "exit code: 7", "Dockerfile:2", "RUN echo about to fail"];
    project.build(&["--push", "-t", &name]).fails(1, &parts);
    assert_eq!(registry.manifest("app", "broken").status, 404, "nothing was published");
}

#[test]
fn a_bad_dockerfile_is_refused_with_its_line() {
    let Some(project) = Project::new("FROM busybox\nRUM true\n") else { return };
    project.build(&[]).fails(2, &["Dockerfile:2", "RUM", "RUN"]);
    project.write("Dockerfile", "FROM busybox AS a\nCOPY --from=b /x /\n");
    project.build(&["--target", "c"]).fails(2, &["c"]);
    project.build(&["--file", "nope"]).fails(2, &["cannot read Dockerfile `nope`"]);
}

#[test]
fn a_missing_context_file_is_bad_input() {
    let Some(project) = Project::new("FROM busybox\nCOPY missing /\n") else { return };
    project.build(&[]).fails(2, &["missing", "Dockerfile:2"]);
}

#[test]
fn an_unreachable_builder_is_the_environments_fault() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    let nowhere = "unix:///no/such/buildkitd.sock";
    project.build(&["--builder", nowhere]).fails(3, &[nowhere]);
    project.build(&["--builder", "gopher://x"]).fails(2, &["gopher"]);
}

#[test]
fn an_unreachable_registry_is_the_environments_fault() {
    let Some(project) = Project::new("FROM 127.0.0.1:1/no/such:image\n") else { return };
    project.build(&[]).fails(3, &["127.0.0.1:1/no/such:image", "Dockerfile:1"]);
}

#[test]
fn usage_errors_name_the_flag() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    project.build(&["--output", "type=zip"]).fails(2, &["zip", "types are"]);
    project.build(&["--tag", "UPPER"]).fails(2, &["UPPER"]);
    project.build(&["--push"]).fails(2, &["no name to push to"]);
    project.build(&["--no-such-flag"]).fails(2, &["--no-such-flag"]);
}

#[test]
fn a_check_builds_nothing_and_says_what_is_doubtful() {
    let Some(project) = Project::new("FROM busybox AS Base\nWORKDIR relative\n") else { return };
    let nowhere = ["--check", "--builder", "unix:///no/such/engine.sock"];
    let ended = project.build(&nowhere);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for part in ["StageNameCasing", "WorkdirRelativePath", "Dockerfile:2", "2 warnings"] {
        assert!(ended.stdout.contains(part), "no {part} in:\n{}", ended.stdout);
    }
    project.write("Dockerfile", "FROM busybox AS base\nWORKDIR /absolute\n");
    assert!(project.build(&nowhere).ok().stdout.contains("no warnings"));
}
