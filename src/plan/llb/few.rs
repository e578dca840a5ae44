//! Sets and maps of very few entries, in order.
//!
//! A vertex has one capability or two, and one text or two. A tree's first node has room for eleven, which in a graph
//! of ten thousand vertices was a third of the compiler's memory.
use serde::{Serialize, Serializer};

/// A sorted set of few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewSet<T>(Vec<T>);

/// A sorted map of few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewMap<K, V>(Vec<(K, V)>);

impl<T> Default for FewSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> FewSet<T> {
    /// Adds `entry`, unless it is there.
    pub fn insert(&mut self, entry: T) {
        if let Err(at) = self.0.binary_search(&entry) {
            self.0.reserve_exact(1);
            self.0.insert(at, entry);
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<K: Ord, V> FewMap<K, V> {
    /// Sets the value of `key`.
    pub fn insert(&mut self, key: K, value: V) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (key, value));
            }
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        let at = self.0.binary_search_by(|(known, _)| known.cmp(&key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<T: Ord> Extend<T> for FewSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.insert(entry));
    }
}

impl<T> IntoIterator for FewSet<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord, V> Extend<(K, V)> for FewMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
}

impl<K, V> IntoIterator for FewMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Serialize> Serialize for FewSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<K: Serialize, V: Serialize> Serialize for FewMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_each_is_there_once() {
        let mut set = FewSet::default();
        set.extend(["b", "a", "b", "c", "a"]);
        assert_eq!(serde_json::json!(set), serde_json::json!(["a", "b", "c"]));
        let mut map = FewMap::default();
        map.extend([("b", 1), ("a", 2), ("b", 3)]);
        assert_eq!(serde_json::json!(map), serde_json::json!({"a": 2, "b": 3}));
        assert_eq!((map.get("b"), map.get("c")), (Some(&3), None));
        assert!(!map.is_empty() && FewMap::<u8, u8>::default().is_empty());
    }
}
