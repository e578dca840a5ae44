//! Fills an engine's cache mounts before a build.
use std::time::Duration;

use super::artifact::{self, Artifact};
use super::run::Deadline;
use super::{CacheMount, Engine, MountError, program};
use crate::oci::reference::ImageReference;
use crate::oci::registry::Client;

/// How long a registry may take to tell what it has.
pub const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);

/// What a registry has of a mount.
#[derive(Debug)]
pub enum Saved {
    /// Nothing yet.
    Nothing,
    /// This.
    Artifact(Box<Artifact>),
    /// It is not known: the registry did not answer, or not in time.
    Unknown(MountError),
}

/// What became of a mount on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// It was empty and is filled: files and their bytes.
    Filled(u64, u64),
    /// It had older content and got what was missing.
    Added(u64, u64),
    /// What the engine has is newer.
    Kept,
}

/// Looks up what the repository of `root` has of `mount`.
pub async fn look_up(client: &Client, root: &ImageReference, mount: &CacheMount) -> Saved {
    let place = artifact::reference(root, mount);
    match tokio::time::timeout(LOOK_UP_LIMIT, artifact::look_up(client, &place)).await {
        Ok(Ok(None)) => Saved::Nothing,
        Ok(Ok(Some(found))) => Saved::Artifact(Box::new(found)),
        Ok(Err(error)) => Saved::Unknown(error.into()),
        Err(_) => Saved::Unknown(MountError::Late(LOOK_UP_LIMIT)),
    }
}

/// Fills `mount` on the engine, or gives up after `limit`.
///
/// # Errors
///
/// [`MountError`]; the mount then holds what it held, or a part of what was saved. Tools cope with
/// both: units of files are written in whole or, at the end, not at all.
pub async fn seed(
    engine: &Engine,
    root: &ImageReference,
    mount: &CacheMount,
    saved: &Artifact,
    limit: Duration,
) -> Result<Seeded, MountError> {
    let image = root.name_only().with_digest(saved.digest).to_string();
    let definition = program::seed(mount, &image, saved.created.as_second());
    let said = engine.solve(definition, Deadline::within(limit)).await?;
    let seeded = parse(&said).ok_or(MountError::Report(said))?;
    if seeded != Seeded::Kept {
        engine.settle(mount).await;
    }
    Ok(seeded)
}

fn parse(said: &str) -> Option<Seeded> {
    let mut words = said.split_whitespace();
    let verb = words.next()?;
    let mut number = || words.next()?.parse().ok();
    let (files, bytes) = (number()?, number()?);
    match verb {
        "seeded" => Some(Seeded::Filled(files, bytes)),
        "added" => Some(Seeded::Added(files, bytes)),
        "kept" => Some(Seeded::Kept),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_line_is_understood_and_others_are_not() {
        assert_eq!(parse("seeded 3 44\n"), Some(Seeded::Filled(3, 44)));
        assert_eq!(parse("kept 0 0\n"), Some(Seeded::Kept));
        for other in ["", "seeded", "seeded x y", "lost 1 2"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
