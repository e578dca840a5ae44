//! Slash-separated paths as Go's `path` package treats them: by text alone.

pub(super) use crate::plan::pattern::clean;

/// `base` and `path` joined and cleaned; empty when both are.
pub(crate) fn join(base: &str, path: &str) -> String {
    match (base.is_empty(), path.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(path),
        (false, true) => clean(base),
        (false, false) => clean(&format!("{base}/{path}")),
    }
}

/// The last part of `path`: `.` for nothing, `/` for slashes alone.
pub(crate) fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (path.is_empty(), trimmed.is_empty()) {
        (true, _) => ".",
        (false, true) => "/",
        (false, false) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

/// `path` seen from the directory `parent`, which is absolute: joined if relative, else as written.
pub(super) fn normalize(parent: &str, path: &str, keep_slash: bool) -> String {
    let mut normal = match path {
        "" => parent.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => join(parent, relative),
    };
    if keep_slash {
        keep_trailing_slash(path, &mut normal);
    }
    normal
}

/// Ends `normal` as `path` ends, if that is a slash, or a slash and a dot.
pub(super) fn keep_trailing_slash(path: &str, normal: &mut String) {
    if path.ends_with('/') && !normal.ends_with('/') {
        normal.push('/');
    } else if path.ends_with("/.") {
        if normal != "/" {
            normal.push('/');
        }
        normal.push('.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_as_go_does() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("a/./b/../c", "a/c"),
            ("../a/../..", "../.."),
            ("/../a", "/a"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!(join("/", ""), "/");
        assert_eq!(join("/a", "../b"), "/b");
        assert_eq!(join("", ""), "");
    }

    #[test]
    fn the_base_is_the_last_part() {
        for (path, expected) in [("", "."), ("/", "/"), ("a/", "a"), ("/a/b", "b"), ("a", "a")] {
            assert_eq!(base(path), expected, "{path}");
        }
    }

    #[test]
    fn trailing_slashes_are_kept_on_request() {
        for (path, expected) in
            [("a/", "/w/a/"), ("./", "/w/"), ("/x/.", "/x/./."), ("b/.", "/w/b/."), ("/", "/")]
        {
            assert_eq!(normalize("/w", path, true), expected, "{path}");
        }
        assert_eq!(normalize("/w", "../a/", false), "/a");
    }
}
