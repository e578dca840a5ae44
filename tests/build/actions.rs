//! A build in a job of GitHub Actions: notes on the Dockerfile's lines, and the job's page.
use crate::kit::{Ended, Project};

/// Builds the project from the folder above it, as a job's step.
fn build(project: &Project, more: &[&str]) -> Ended {
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let top = project.path(".").display().to_string();
    let page = project.path("page.md").display().to_string();
    let mut args = vec!["build", "sub", "--build-context", &base];
    args.extend(more);
    let env = [
        ("BUILDKIT_HOST", project.address()),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_WORKSPACE", top.trim_end_matches("/.")),
        ("GITHUB_STEP_SUMMARY", page.as_str()),
    ];
    project.with_env(&args, &env)
}

const STALE: &str = "FROM busybox\nMAINTAINER ann\nRUN echo 1\n";

#[test]
fn findings_are_notes_on_lines_and_the_page_has_a_chart() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    project.write("sub/Dockerfile", STALE);
    let ended = build(&project, &["-t", "example.com/a:1", "-o", "type=oci,dest=a.tar"]).ok();
    let note = "::warning file=sub/Dockerfile,line=2,endLine=2,title=MaintainerDeprecated::";
    assert!(ended.stderr.lines().any(|line| line.starts_with(note)), "{}", ended.stderr);
    let page = project.read("page.md");
    assert!(page.contains("| Image | `example.com/a:1` |"), "{page}");
    assert!(page.contains("| Digest | `sha256:"), "{page}");
    assert!(page.contains("```mermaid\ngantt") && page.contains("RUN echo 1 :"), "{page}");
    // Nobody asked outside of a job.
    let outside = project.kitwright(&["build", "sub", "--progress=plain"]);
    assert!(!outside.stderr.contains("::warning"), "{}", outside.stderr);
}

#[test]
fn a_step_that_fails_is_a_note_on_its_lines() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    project.write("sub/Dockerfile", "FROM busybox\nRUN echo fine\nRUN echo no && \\\n    exit 7\n");
    let ended = build(&project, &[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let note = ended.stderr.lines().find(|line| line.starts_with("::error "));
    let note = note.unwrap_or_else(|| panic!("no note in {}", ended.stderr));
    assert!(note.starts_with("::error file=sub/Dockerfile,line=3,endLine=4,"), "{note}");
    assert!(note.contains("exit code: 7"), "{note}");
    let page = project.read("page.md");
    assert!(page.contains("| Failed | `[2/3] RUN echo no"), "{page}");
    assert!(page.contains(":crit, "), "{page}");
}

#[test]
fn a_dockerfile_that_does_not_parse_is_a_note_too() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    project.write("sub/Dockerfile", "FROM busybox\n\nRUM echo\n");
    let ended = build(&project, &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let note = "::error file=sub/Dockerfile,line=3,endLine=3,";
    assert!(ended.stderr.lines().any(|line| line.starts_with(note)), "{}", ended.stderr);
}

#[test]
fn a_check_notes_its_findings() {
    let Some(project) = Project::new("FROM scratch\n") else { return };
    project.write("sub/Dockerfile", STALE);
    let ended = build(&project, &["--check"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("::warning file=sub/Dockerfile,line=2,"), "{}", ended.stderr);
}
