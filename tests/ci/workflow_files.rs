//! What must hold for every workflow and action file, checked without any tool.
use std::path::{Path, PathBuf};

fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders =
        [".github/workflows", ".github/actions/kitwright", "docs/adopt/.github/workflows"];
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "yml") {
                let text = std::fs::read_to_string(&path).expect("a file");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() >= 8, "{} files", found.len());
    found
}

/// The lines of every `run:`, one-line or block.
fn shell(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut block = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if block.is_some_and(|at| indent > at || line.trim().is_empty()) {
            lines.push(line);
            continue;
        }
        block = None;
        let key = line.trim_start().trim_start_matches("- ");
        let Some(rest) = key.strip_prefix("run:") else { continue };
        lines.push(rest);
        if rest.trim_start().starts_with(['|', '>']) {
            block = Some(line.len() - key.len());
        }
    }
    lines
}

#[test]
fn no_expression_gets_into_a_shell() {
    for (path, text) in files() {
        for line in shell(&text) {
            assert!(!line.contains("${{"), "{}: {line}", path.display());
        }
    }
    assert_eq!(
        shell("- run: |\n    a\n    b\n  env: x\n- run: c\n"),
        [" |", "    a", "    b", " c"]
    );
}

#[test]
fn every_shell_line_is_one_command_of_a_tool() {
    for (path, text) in files() {
        for line in shell(&text) {
            let command = line.split_whitespace().next().unwrap_or("");
            assert!(
                matches!(command, "kitwright" | "make" | "sh"),
                "{}: logic in YAML: {line}",
                path.display()
            );
            assert!(!line.contains([';', '|', '&']), "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_action_of_others_is_pinned_to_a_commit_with_its_version() {
    for (path, text) in files() {
        for line in text.lines().filter(|line| line.contains("uses:")) {
            let name = line.split_once("uses:").expect("a name").1.trim();
            if name.starts_with("./") {
                continue;
            }
            let (action, version) = name.split_once(" # v").unwrap_or((name, ""));
            let commit = action.split_once('@').expect("a commit").1;
            // Ours is pinned by who copies the file.
            let own = action.starts_with("kitwright/") && commit == "COMMIT";
            let pinned = commit.len() == 40
                && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !version.is_empty();
            assert!(own || pinned, "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_workflow_starts_without_any_permission() {
    for (path, text) in files().into_iter().filter(|(path, _)| !path.ends_with("action.yml")) {
        assert!(text.contains("\npermissions: {}\n"), "{}", path.display());
        let checkouts = text.matches("uses: actions/checkout@").count();
        let kept = text.matches("persist-credentials: false").count();
        assert_eq!(checkouts, kept, "{}: credentials are left behind", path.display());
    }
}

/// Every input that the action declares must be one that `kitwright ci build` knows.
#[test]
fn the_actions_inputs_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(".github/actions/kitwright/action.yml")).unwrap();
    let inputs = text.split("\noutputs:").next().unwrap().split("\ninputs:\n").nth(1).unwrap();
    let names = inputs.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.map(|line| line.trim().trim_end_matches(':')).collect();
    // docker/build-push-action v7 has these; ours may have more.
    let theirs = "add-hosts allow annotations attests build-args build-contexts builder cache-from \
                  cache-to call cgroup-parent context file labels load network no-cache \
                  no-cache-filters outputs platforms provenance pull push sbom secrets secret-envs \
                  secret-files shm-size ssh tags target ulimit github-token";
    for name in theirs.split_whitespace() {
        assert!(names.contains(&name), "the action lacks `{name}`");
    }
    let empty: serde_json::Map<String, serde_json::Value> =
        names.iter().map(|name| ((*name).to_owned(), "".into())).collect();
    let inputs = serde_json::Value::Object(empty).to_string();
    let parsed = kitwright::ci::action::Arguments::parse(&inputs, &std::env::temp_dir(), "");
    assert_eq!(parsed.expect("known inputs").arguments, ["--", "."]);
    for name in kitwright::ci::action::inputs() {
        assert!(names.contains(&name), "the action does not declare `{name}`");
    }
}

/// The workflows that others copy are ours, but for where the action comes from.
#[test]
fn the_workflows_to_copy_are_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["build-ci-image", "check-generate", "regenerate-on-comment"] {
        let file = format!(".github/workflows/{name}.yml");
        let ours = std::fs::read_to_string(root.join(&file)).expect("our file");
        let copy = std::fs::read_to_string(root.join("docs/adopt").join(&file)).expect("a copy");
        let action = "kitwright/kitwright/.github/actions/kitwright@COMMIT";
        assert_eq!(ours.replace("./.github/actions/kitwright", action), copy, "{file}");
    }
}
