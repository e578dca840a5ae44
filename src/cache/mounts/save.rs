//! Saves an engine's cache mounts after a build.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::artifact::{self, Artifact, Content};
use super::program::{self, Limits};
use super::run::Deadline;
use super::{CacheMount, Engine, MountError};
use crate::engine::solve::{Export, ExportTarget};
use crate::fault::chain;
use crate::oci::reference::ImageReference;

/// The file of a result that tells what is in the mount.
const REPORT: &str = "/report";
/// Uses that are not older than this need not be written down again, in seconds.
const USE_GRAIN: i64 = 86_400;
/// What an engine says of content that is not what its digest says.
const DAMAGED: [&str; 3] =
    ["unexpected commit digest", "unexpected commit size", "failed size validation"];

/// What became of a mount in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was pushed: what it holds, and the bytes of the layer.
    Pushed(Content, u64),
    /// The registry has all of it.
    Unchanged,
    /// There is nothing in it.
    Empty,
}

/// Pushes what of `mount` is worth keeping, unless that is what the registry has (`known`).
///
/// It is given up after `limit`.
///
/// # Errors
///
/// [`MountError`]; the registry then has what it had.
pub async fn save(
    engine: &Engine,
    root: &ImageReference,
    mount: &CacheMount,
    known: Option<&Artifact>,
    limits: Limits,
    limit: Duration,
) -> Result<Outcome, MountError> {
    let deadline = Deadline::within(limit);
    let now = Timestamp::now().as_second();
    let ledger = known.map_or("", |known| &known.ledger);
    let survey = program::survey(mount, ledger, now, limits);
    let (_, report) = engine.read(survey, REPORT, None, deadline).await?;
    let content = parse(&report)?;
    if content.files == 0 {
        return Ok(Outcome::Empty);
    }
    let reference = artifact::reference(root, mount);
    if let Some(known) = known.filter(|known| known.fingerprint == content.fingerprint) {
        if is_worth_noting(&known.ledger, &content.ledger) {
            let touch = artifact::touch(&engine.registry, &reference, known, mount, &content);
            deadline.answer(touch).await?;
        }
        return Ok(Outcome::Unchanged);
    }
    let collect = program::collect(mount, ledger, now, limits);
    let (result, report) = engine.read(collect, REPORT, Some(export(root)), deadline).await?;
    // Others may have worked with the mount since it was looked through.
    let content = parse(&report)?;
    let pushed = result.image_digest().and_then(|digest| digest.parse().ok());
    let pushed = pushed.ok_or_else(|| MountError::Report("no image".to_owned()))?;
    if content.files == 0 {
        return Ok(Outcome::Empty);
    }
    let publish = artifact::publish(&engine.registry, &reference, pushed, mount, &content);
    let size = deadline.answer(publish).await?;
    Ok(Outcome::Pushed(content, size))
}

/// Whether what the registry has of a mount, which could not be restored for `error`, is lost for good.
///
/// Anything else could be a moment's trouble, and what the build has made instead could be less than what
/// is kept. So the registry is asked again, by the client this time, within `limit`.
pub async fn is_lost(
    engine: &Engine,
    root: &ImageReference,
    kept: &Artifact,
    error: &MountError,
    limit: Duration,
) -> bool {
    let said = chain(error);
    let reread = DAMAGED.iter().any(|words| said.contains(words));
    let asking = artifact::is_lost(&engine.registry, root, kept, reread);
    Deadline::within(limit).answer(asking).await.unwrap_or(false)
}

fn parse(report: &[u8]) -> Result<Content, MountError> {
    let report = String::from_utf8_lossy(report);
    Content::parse(&report).ok_or_else(|| MountError::Report(report.into_owned()))
}

/// The engine pushes the layer itself. It gets its tag only when it is complete.
fn export(root: &ImageReference) -> Export {
    let attributes = [
        ("name", root.name_only().name()),
        ("push", "true".to_owned()),
        ("push-by-digest", "true".to_owned()),
        ("oci-mediatypes", "true".to_owned()),
        ("compression", "zstd".to_owned()),
    ];
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value));
    Export {
        kind: "image".to_owned(),
        attributes: BTreeMap::from(attributes),
        target: ExportTarget::Engine,
    }
}

/// Whether a part was used that would otherwise look unused for longer than it was.
fn is_worth_noting(known: &str, now: &str) -> bool {
    fn uses(ledger: &str) -> impl Iterator<Item = (&str, i64)> {
        let line = |line: &'_ str| -> Option<(i64, usize)> {
            let (date, _) = line.split_once(' ')?;
            Some((date.parse().ok()?, date.len() + 1))
        };
        ledger.lines().filter_map(move |text| line(text).map(|(date, at)| (&text[at..], date)))
    }
    let before: BTreeMap<&str, i64> = uses(known).collect();
    uses(now).any(|(path, date)| before.get(path).is_none_or(|before| date - before > USE_GRAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_day() {
        let day = USE_GRAIN;
        assert!(!is_worth_noting("100 a\n", "150 a\n"));
        assert!(is_worth_noting("100 a\n", &format!("{} a\n", 101 + day)));
        assert!(is_worth_noting("100 a\n", "100 b c\n"));
    }
}
