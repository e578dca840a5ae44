//! Checks `buildkit-rs-proto` against the crate of that name as published (0.1.0).
//!
//! The published crate reads the contract of an older BuildKit with an older prost, and knows nothing
//! of ours: a witness that a field we write is the field others read. Each value below is written
//! down once and compiled twice, against our types and against the published ones; what one side
//! encodes, the other must decode to its own copy of that value, in both directions. Fields that the
//! published crate does not know yet are checked to be skipped without harm.
#![cfg(test)]
#![allow(clippy::needless_update, reason = "needed on the side that knows more fields")]

use std::iter::FromIterator;

mod gateway;
mod ops;

/// Declares a test that both crates read each other's encoding of `$value` as the same value.
macro_rules! agree {
    ($name:ident: $type:path = $value:expr) => {
        #[test]
        fn $name() {
            mod ours {
                #[allow(unused_imports)]
                use crate::{bytes, map};
                #[allow(unused_imports)]
                use buildkit_rs_proto::*;
                pub(super) fn value() -> $type {
                    $value
                }
            }
            mod theirs {
                #[allow(unused_imports)]
                use crate::{bytes, map};
                #[allow(unused_imports)]
                use published::*;
                pub(super) fn value() -> $type {
                    $value
                }
            }
            let (ours, theirs) = (ours::value(), theirs::value());
            let encoded = prost::Message::encode_to_vec(&ours);
            assert!(!encoded.is_empty(), "an empty message is no evidence");
            assert_eq!(crate::read_by_published(&encoded, &theirs), theirs);
            let encoded = prost_011::Message::encode_to_vec(&theirs);
            assert_eq!(crate::read_by_ours(&encoded, &ours), ours);
        }
    };
}
use agree;

fn read_by_published<M: prost_011::Message + Default>(encoded: &[u8], _like: &M) -> M {
    M::decode(encoded).expect("the published crate reads what ours writes")
}

fn read_by_ours<M: prost::Message + Default>(encoded: &[u8], _like: &M) -> M {
    M::decode(encoded).expect("ours reads what the published crate writes")
}

/// A map of either crate: theirs are hash maps, ours are ordered.
fn map<K, V, M: FromIterator<(String, V)>>(entries: impl IntoIterator<Item = (K, V)>) -> M
where
    K: Into<String>,
{
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

/// Bytes of either crate: theirs are vectors, ours are shared.
fn bytes<B: From<Vec<u8>>>(text: &str) -> B {
    B::from(text.as_bytes().to_vec())
}
