//! Caches: which are read and written, and what happens when they break.
#[expect(dead_code, reason = "the tests follow")]
mod kit;
