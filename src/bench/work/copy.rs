//! A copy of a build context, which changes are made in.
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{WorkError, failed};
use crate::plan::pattern::{Matched, Patterns};

/// Copies what a client would send of a context, with hard links where the file system allows it.
pub(super) fn copy_context(from: &Path, to: &Path, ignored: &Patterns) -> Result<(), WorkError> {
    copy_folder(from, to, Path::new(""), ignored, &Matched::default())?;
    let ignore = from.join(".dockerignore");
    if ignore.is_file() {
        let copy = to.join(".dockerignore");
        fs_err::copy(&ignore, &copy).map_err(failed("write", &copy))?;
    }
    Ok(())
}

fn copy_folder(
    from: &Path,
    to: &Path,
    within: &Path,
    ignored: &Patterns,
    above: &Matched,
) -> Result<(), WorkError> {
    fs_err::create_dir_all(to).map_err(failed("make", to))?;
    let entries = fs_err::read_dir(from).map_err(failed("read", from))?;
    for entry in entries {
        let entry = entry.map_err(failed("read", from))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let relative = within.join(entry.file_name());
        let kind = entry.file_type().map_err(failed("read", &path))?;
        if kind.is_dir() {
            let (matched, below) = ignored.descend(relative.as_os_str().as_bytes(), above);
            if !matched || ignored.has_negations() {
                copy_folder(&path, &copy, &relative, ignored, &below)?;
            }
            continue;
        }
        if ignored.matches_below(relative.as_os_str().as_bytes(), above) {
            continue;
        }
        if kind.is_symlink() {
            let target = fs_err::read_link(&path).map_err(failed("read", &path))?;
            fs_err::os::unix::fs::symlink(target, &copy).map_err(failed("write", &copy))?;
        } else if kind.is_file() && fs_err::hard_link(&path, &copy).is_err() {
            fs_err::copy(&path, &copy).map_err(failed("write", &copy))?;
        }
    }
    Ok(())
}
