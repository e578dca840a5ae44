//! Follow paths: files that a build names, together with what their symbolic links lead to.
//!
//! `COPY current/bin` of a context where `current` is a link needs both the link and its target.
//! The daemon sends such paths apart from the include patterns, and the client turns them into
//! patterns by reading the links. Links never lead out of the context: an absolute one starts at
//! its root, and `..` stops there.
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::plan::pattern::{clean, matches_name};

/// Returns include patterns for `paths` and whatever their links lead to.
///
/// `None` means that a path is the root itself, so everything is included.
pub(super) fn follow(root: &Path, paths: &[String]) -> io::Result<Option<Vec<String>>> {
    let mut links = Links { root, found: BTreeSet::new() };
    for path in paths {
        links.add(path)?;
    }
    Ok(without_nested(links.found))
}

/// Adds follow paths to include patterns, leaving out those that lie below another.
pub(super) fn merge(mut include: Vec<String>, followed: Vec<String>) -> Vec<String> {
    include.extend(followed);
    without_nested(include).unwrap_or_default()
}

/// Removes paths below the one before them; `None` when the root is among them.
fn without_nested(paths: impl IntoIterator<Item = String>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for path in paths {
        if path == "." {
            return None;
        }
        let below = |last: &String| {
            path.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        if !kept.last().is_some_and(below) {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Links<'a> {
    root: &'a Path,
    found: BTreeSet<String>,
}

impl Links<'_> {
    fn add(&mut self, path: &str) -> io::Result<()> {
        // Cleaned as an absolute path, so that `..` cannot leave the root.
        let path = clean(&format!("/{path}"));
        let mut rest = path.trim_start_matches('/');
        if rest.is_empty() {
            self.found.insert(".".to_owned());
            return Ok(());
        }
        let mut current = String::new();
        while !rest.is_empty() {
            let (element, after) = rest.split_once('/').unwrap_or((rest, ""));
            let directory = current.clone();
            if !current.is_empty() {
                current.push('/');
            }
            current.push_str(element);
            rest = after;
            let targets = self.targets(&directory, element)?;
            if targets.is_empty() {
                continue;
            }
            // A link that was followed before may be part of a circle.
            if self.found.insert(current.clone()) {
                for target in targets {
                    self.add(&format!("{target}/{rest}"))?;
                }
            }
            return Ok(());
        }
        self.found.insert(current);
        Ok(())
    }

    /// Where the links that `element` of `directory` names lead, from the root.
    fn targets(&self, directory: &str, element: &str) -> io::Result<Vec<String>> {
        if !has_wildcard(element) {
            return Ok(self.target(directory, OsStr::new(element))?.into_iter().collect());
        }
        let entries = match fs_err::read_dir(self.root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut targets = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if matches_name(element, name.as_bytes()) {
                targets.extend(self.target(directory, &name)?);
            }
        }
        Ok(targets)
    }

    fn target(&self, directory: &str, name: &OsStr) -> io::Result<Option<String>> {
        let path = self.root.join(directory).join(name);
        match fs_err::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                let link = fs_err::read_link(&path)?;
                let link = link.to_string_lossy();
                Ok(Some(match link.strip_prefix('/') {
                    Some(from_root) => clean(&format!("/{from_root}")),
                    None => clean(&format!("/{directory}/{link}")),
                }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn has_wildcard(element: &str) -> bool {
    let mut escaped = false;
    element.chars().any(|char| {
        let wild = !escaped && matches!(char, '*' | '?' | '[');
        escaped = char == '\\' && !escaped;
        wild
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn followed(paths: &[&str], make: impl Fn(&Path)) -> Option<Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        follow(root.path(), &paths).unwrap()
    }

    #[test]
    fn links_bring_their_targets() {
        let found = followed(&["current/bin", "plain"], |root| {
            fs_err::create_dir_all(root.join("v1/bin")).unwrap();
            symlink("v1", root.join("current")).unwrap();
        });
        assert_eq!(found.unwrap(), ["current", "plain", "v1/bin"]);
    }

    #[test]
    fn absolute_links_and_dots_stay_inside() {
        let found = followed(&["a", "b"], |root| {
            symlink("/etc/passwd", root.join("a")).unwrap();
            symlink("../../../x", root.join("b")).unwrap();
        });
        assert_eq!(found.unwrap(), ["a", "b", "etc/passwd", "x"]);
    }

    #[test]
    fn circles_end() {
        let found = followed(&["a"], |root| {
            symlink("b", root.join("a")).unwrap();
            symlink("a", root.join("b")).unwrap();
        });
        assert_eq!(found.unwrap(), ["a", "b"]);
    }

    #[test]
    fn wildcards_find_links() {
        let found = followed(&["l*"], |root| {
            symlink("t/1", root.join("l1")).unwrap();
            fs_err::write(root.join("l2"), "").unwrap();
        });
        assert_eq!(found.unwrap(), ["l*", "t/1"]);
    }

    #[test]
    fn the_root_includes_everything() {
        assert_eq!(followed(&["a", "."], |_| {}), None);
        assert_eq!(followed(&["l"], |root| symlink("..", root.join("l")).unwrap()), None);
    }

    #[test]
    fn nested_paths_are_left_out() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(merge(list(&["a"]), list(&["a/b", "ab"])), ["a", "ab"]);
    }
}
