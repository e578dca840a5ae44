//! The files that contexts leave out, as their ignore files say.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Source, SourceError};
use crate::plan::dockerfile::ignore;

impl Source {
    /// Where the ignore file lies that bears the Dockerfile's name.
    pub(super) fn ignore_file_beside(&self) -> Option<PathBuf> {
        let mut name = self.dockerfile.path.as_ref()?.as_os_str().to_owned();
        name.push(".dockerignore");
        Some(PathBuf::from(name))
    }

    /// The patterns of files that the main context leaves out: from the file beside the Dockerfile
    /// that bears its name, else from the one in the context.
    pub(in crate::cli) fn ignored_patterns(&self) -> Result<Vec<String>, SourceError> {
        let beside = self.ignore_file_beside();
        let inside = self.context.as_ref().map(|context| context.join(".dockerignore"));
        for path in beside.into_iter().chain(inside) {
            if let Some(patterns) = patterns_of(path)? {
                return Ok(patterns);
            }
        }
        Ok(Vec::new())
    }

    /// The patterns of files that named contexts leave out, by the context's name.
    pub(in crate::cli) fn named_ignored_patterns(
        &self,
    ) -> Result<BTreeMap<String, Vec<String>>, SourceError> {
        let mut patterns = BTreeMap::new();
        for (name, path) in self.directories.iter().filter(|(name, _)| *name != "context") {
            if let Some(found) = patterns_of(path.join(".dockerignore"))? {
                patterns.insert(name.trim_start_matches('_').to_owned(), found);
            }
        }
        Ok(patterns)
    }
}

/// Reads an ignore file, if there is one.
fn patterns_of(path: PathBuf) -> Result<Option<Vec<String>>, SourceError> {
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SourceError::IgnoreFile { path, source }),
    };
    match ignore::parse(&text) {
        Ok(patterns) => Ok(Some(patterns)),
        Err(source) => Err(SourceError::IgnorePattern { path, source }),
    }
}
