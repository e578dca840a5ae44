//! Named contexts, as `--build-context` gives them.
use std::path::PathBuf;

use super::{Source, SourceError, base_name, flag, is_remote};
use crate::oci::reference::ImageReference;

impl Source {
    /// Takes in one of them, which is written `NAME=SOURCE`.
    pub(super) fn named_context(&mut self, value: &str) -> Result<(), SourceError> {
        const FLAG: &str = "--build-context";
        let split =
            value.split_once('=').filter(|(name, source)| !name.is_empty() && !source.is_empty());
        let (name, place) =
            split.ok_or_else(|| flag(FLAG, value, "it is written `NAME=SOURCE`"))?;
        let name = context_name(name);
        let key = format!("context:{name}");
        if let Some(layout) = place.strip_prefix("oci-layout://") {
            let store = format!("kitwright-{}", self.layouts.len());
            let reference = self.layout_reference(&name, layout, &store)?;
            self.options.insert(key, reference);
        } else if is_remote(place)
            || place.starts_with("docker-image://")
            || place.starts_with("target:")
        {
            self.options.insert(key, place.to_owned());
        } else {
            self.named_directory(&name, place)?;
        }
        Ok(())
    }

    fn named_directory(&mut self, name: &str, place: &str) -> Result<(), SourceError> {
        let path = PathBuf::from(place);
        let failed = |source| SourceError::NamedContext {
            name: name.to_owned(),
            value: place.to_owned(),
            source,
        };
        if !fs_err::metadata(&path).map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::NotADirectory.into()));
        }
        // The main context and the Dockerfile are offered under these names.
        let local = match name {
            "context" | "dockerfile" => format!("_{name}"),
            _ => name.to_owned(),
        };
        self.options.insert(format!("context:{name}"), format!("local:{local}"));
        self.options.insert(format!("sharedkey:localdir:{name}"), base_name(&path));
        self.directories.insert(local, path);
        Ok(())
    }
}

/// A context's name as it is compared: that of an image in its familiar form.
fn context_name(name: &str) -> String {
    let name = name.to_lowercase();
    match ImageReference::parse(&name) {
        Ok(reference) => reference.familiar().trim_end_matches(":latest").to_owned(),
        Err(_) => name,
    }
}
