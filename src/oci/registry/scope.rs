//! What a token allows: actions on repositories.
use std::collections::{BTreeMap, BTreeSet};

/// Reads.
pub(super) const PULL: &str = "pull";
/// Reads and writes.
pub(super) const PULL_PUSH: &str = "pull,push";
/// Removals.
pub(super) const DELETE: &str = "pull,delete";

/// A set of actions on repositories, such as `repository:library/ubuntu:pull,push`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Actions, divided by commas, on one repository.
    pub(super) fn on(repository: &str, actions: &str) -> Self {
        let mut scopes = Self::default();
        scopes.add(&format!("repository:{repository}"), actions);
        scopes
    }

    /// The same, and reading another repository.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.add(&format!("repository:{repository}"), PULL);
        self
    }

    /// Reads a challenge's `scope`: `type:name:actions`, divided by spaces.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_whitespace() {
            if let Some((resource, actions)) = scope.rsplit_once(':') {
                scopes.add(resource, actions);
            }
        }
        scopes
    }

    fn add(&mut self, resource: &str, actions: &str) {
        let entry = self.0.entry(resource.to_owned()).or_default();
        entry.extend(actions.split(',').filter(|a| !a.is_empty()).map(str::to_owned));
    }

    /// Adds all of `other`.
    pub(super) fn extend(&mut self, other: &Self) {
        for (resource, actions) in &other.0 {
            self.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
    }

    /// Whether every action of `wanted` is in here.
    pub(super) fn cover(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(resource, actions)| {
            self.0.get(resource).is_some_and(|own| own.is_superset(actions))
        })
    }

    /// The first repository that is named.
    pub(super) fn repository(&self) -> Option<String> {
        self.0.keys().find_map(|resource| resource.strip_prefix("repository:").map(str::to_owned))
    }

    /// One text a resource, as token servers want them.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let joined = |actions: &BTreeSet<String>| {
            actions.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        self.0.iter().map(move |(resource, actions)| format!("{resource}:{}", joined(actions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sets() {
        let mut scopes = Scopes::on("a/b", PULL_PUSH).and_pull("c");
        assert_eq!(
            scopes.texts().collect::<Vec<_>>(),
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
        assert!(scopes.cover(&Scopes::on("a/b", PULL)));
        assert!(!scopes.cover(&Scopes::on("c", PULL_PUSH)));
        assert!(scopes.cover(&Scopes::default()));
        scopes.extend(&Scopes::parse("repository:c:push registry:catalog:* repository:h:5/x:pull"));
        assert!(scopes.cover(&Scopes::on("c", PULL_PUSH)));
        assert!(scopes.cover(&Scopes::on("h:5/x", PULL)));
        assert!(scopes.texts().any(|text| text == "registry:catalog:*"));
    }
}
