//! The environment of a state: variables in the order of their last assignment.
use std::sync::{Arc, OnceLock};

use super::wire;

/// An immutable list of variables that is cheap to copy and shared by all states that agree.
///
/// A variable that is set again moves to the end, as in BuildKit: the order lies inside the digested
/// bytes of every command.
#[derive(Debug, Clone, Default)]
pub struct EnvList(Arc<Variables>);

#[derive(Debug, Default)]
struct Variables {
    entries: Vec<(Arc<str>, Arc<str>)>,
    /// The encoded form, made when the first command needs it.
    encoded: OnceLock<Arc<[u8]>>,
}

impl Clone for Variables {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), encoded: OnceLock::new() }
    }
}

impl EnvList {
    /// Sets `key`, moving it to the end of the list.
    pub fn set(&mut self, key: &str, value: &str) {
        if self.0.entries.last().is_some_and(|(k, v)| &**k == key && &**v == value) {
            return;
        }
        let variables = self.edit();
        let key = match variables.entries.iter().position(|(k, _)| &**k == key) {
            Some(at) => variables.entries.remove(at).0,
            None => key.into(),
        };
        variables.entries.push((key, value.into()));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            self.edit().entries.retain(|(k, _)| &**k != key);
        }
    }

    fn edit(&mut self) -> &mut Variables {
        let variables = Arc::make_mut(&mut self.0);
        variables.encoded = OnceLock::new();
        variables
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.entries.iter().find(|(k, _)| &**k == key).map(|(_, value)| &**value)
    }

    /// All variables in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0.entries.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The names of all variables in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Whether there is no variable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// The variables as they stand inside the bytes of an exec op.
    #[must_use]
    pub(super) fn encoded(&self) -> &Arc<[u8]> {
        self.0.encoded.get_or_init(|| {
            let mut out = Vec::new();
            for (key, value) in &self.0.entries {
                wire::put_variable(&mut out, key, value);
            }
            out.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EnvList;

    #[test]
    fn a_variable_set_again_moves_to_the_end_and_copies_stay_as_they_were() {
        let mut env = EnvList::default();
        for (key, value) in [("A", "1"), ("B", "2")] {
            env.set(key, value);
        }
        let before = env.clone();
        env.set("A", "3");
        assert_eq!(env.iter().collect::<Vec<_>>(), [("B", "2"), ("A", "3")]);
        assert_eq!(before.iter().collect::<Vec<_>>(), [("A", "1"), ("B", "2")]);
        assert_eq!(&**env.encoded(), b"\x12\x03B=2\x12\x03A=3");
    }
}
