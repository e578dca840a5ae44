//! What Git ignores in the working tree, as patterns of what the command is not shown.
use std::path::Path;
use std::process::{Command as Program, Stdio};

use super::RunError;

/// Asks Git which files of `directory` it ignores; nothing where there is no repository.
pub(super) fn ignored_by_git(directory: &Path) -> Result<Vec<String>, RunError> {
    let listed = Program::new("git")
        .args(["-C".as_ref(), directory.as_os_str()])
        .args(["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"])
        .stderr(Stdio::null())
        .output();
    let output = match listed {
        Ok(output) if output.status.success() => output,
        // No Git, or no repository: then nothing is ignored.
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::Git(error.to_string())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split('\0').filter(|path| !path.is_empty());
    Ok(paths.map(|path| escaped(path.trim_end_matches('/'))).collect())
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '!') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::pattern::Patterns;

    #[test]
    fn a_path_becomes_a_pattern_of_itself() {
        for path in ["a/b", "we[i]rd*?", "!not", "back\\slash"] {
            let patterns = Patterns::parse([escaped(path)]).unwrap();
            assert!(patterns.matches(path.as_bytes()), "{path}");
            assert!(!patterns.matches(b"other"), "{path}");
        }
    }

    #[test]
    fn git_names_what_it_ignores() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ignored_by_git(folder.path()).unwrap(), Vec::<String>::new());
        let git = |line: &[&str]| {
            let status = Program::new("git").arg("-C").arg(folder.path()).args(line).status();
            assert!(status.unwrap().success());
        };
        git(&["init", "-q"]);
        fs_err::write(folder.path().join(".gitignore"), "/target\n*.log\n").unwrap();
        fs_err::create_dir(folder.path().join("target")).unwrap();
        for file in ["target/x", "a.log", "kept"] {
            fs_err::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(ignored_by_git(folder.path()).unwrap(), ["a.log", "target"]);
    }
}
