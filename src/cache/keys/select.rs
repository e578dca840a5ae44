//! Which parts of its inputs an op reads, in BuildKit's order.
use std::collections::{BTreeMap, BTreeSet};

use super::Selector;
use crate::plan::dockerfile::path;

/// What the actions of a file op read of each input.
#[derive(Default)]
pub(super) struct Selectors {
    read: BTreeMap<usize, Vec<Selector>>,
    changed: BTreeSet<usize>,
}

impl Selectors {
    /// Notes that `selector` of an input is read.
    pub(super) fn read(&mut self, input: usize, selector: Selector) {
        self.read.entry(input).or_default().push(selector);
    }

    /// Notes that an input is built upon: all of it counts, by its key.
    pub(super) fn changed(&mut self, input: i64) {
        if let Ok(input) = usize::try_from(input) {
            self.changed.insert(input);
        }
    }

    /// The inputs that are only read.
    pub(super) fn unchanged(self) -> impl Iterator<Item = (usize, Vec<Selector>)> {
        let changed = self.changed;
        self.read.into_iter().filter(move |(input, _)| !changed.contains(input))
    }
}

/// A path as BuildKit takes it: absolute and cleaned.
pub(super) fn absolute(text: &str) -> String {
    path::join("/", text)
}

/// Leaves out what another path contains, and sorts the rest.
pub(super) fn deduplicate_paths(paths: &[String]) -> Vec<String> {
    if paths.len() <= 1 {
        return paths.to_vec();
    }
    let all: BTreeSet<&String> = paths.iter().collect();
    let below = |path: &str, above: &str| {
        let above = if above.ends_with('/') { above.to_owned() } else { format!("{above}/") };
        path.starts_with(&above)
    };
    let kept =
        all.iter().filter(|path| !all.iter().any(|other| other != *path && below(path, other)));
    kept.map(|path| (*path).clone()).collect()
}

/// The selectors whose content is digested, sorted by path.
pub(super) fn deduplicate(selectors: Vec<Selector>) -> Vec<Selector> {
    let (special, plain): (Vec<_>, Vec<_>) =
        selectors.into_iter().partition(Selector::has_wildcard_or_filters);
    let paths = |follow: bool| {
        let chosen = plain.iter().filter(|selector| selector.follow_links == follow);
        deduplicate_paths(&chosen.map(|selector| selector.path.clone()).collect::<Vec<_>>())
    };
    let unfollowed = paths(false);
    let unfollowed = unfollowed.iter().map(|path| Selector::plain(path));
    let followed = paths(true);
    let followed = followed.iter().map(|path| Selector::followed(path));
    let mut all: Vec<Selector> = unfollowed.chain(followed).chain(special).collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}
