//! What is kept or dropped as a whole.
//!
//! Tools trust a folder that they have once filled: of a Go module's folder no file may be missing.
//! So nothing is dropped from the middle of one. A unit is a file that lies directly in the mount, or
//! the highest folder below it that itself holds a file with content or is named `NAME@VERSION`; what
//! lies further down belongs to it.
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::tree::Entry;

/// A part of the entries.
pub struct Unit {
    /// Its first entry, whose path is the unit's.
    pub first: usize,
    /// The entry behind its last.
    pub end: usize,
    /// When any of its files was last read, in seconds since 1970.
    pub used: i64,
    /// When any of its files last changed here, in seconds since 1970.
    pub changed: i64,
    /// Bytes of its files.
    pub size: i64,
}

impl Unit {
    pub fn path<'e>(&self, entries: &'e [Entry]) -> &'e [u8] {
        &entries[self.first].path
    }
}

/// What may be kept.
pub struct Limits {
    /// The present, in seconds since 1970.
    pub now: i64,
    /// Seconds since the last use; 0 for any.
    pub age: i64,
    /// Bytes of all units; 0 for any.
    pub size: i64,
}

/// What was not kept.
#[derive(Clone, Copy, Default)]
pub struct Dropped {
    pub units: u64,
    pub bytes: i64,
}

/// Divides entries into units. Folders that hold nothing but folders belong to none.
pub fn divide(entries: &[Entry]) -> Vec<Unit> {
    let holders = holders(entries);
    let mut units = Vec::new();
    let mut at = 0;
    while at < entries.len() {
        let entry = &entries[at];
        let whole = entry.is_directory()
            && (holders.contains(&at) || entry.name().iter().skip(1).any(|byte| *byte == b'@'));
        if entry.is_directory() && !whole {
            at += 1;
            continue;
        }
        let end = if whole { end_of(entries, at) } else { at + 1 };
        let part = &entries[at..end];
        let files = part.iter().filter(|entry| !entry.is_directory());
        let used = files.clone().map(|entry| entry.status.accessed.seconds).max().unwrap_or(0);
        let changed = files.clone().map(|entry| entry.changed).max().unwrap_or(0);
        let size = files.map(|entry| entry.status.size as i64).sum();
        units.push(Unit { first: at, end, used, changed, size });
        at = end;
    }
    units
}

/// The folders that directly hold a file with content.
fn holders(entries: &[Entry]) -> BTreeSet<usize> {
    let mut holders = BTreeSet::new();
    // The folders above the current entry.
    let mut above: Vec<usize> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        above.truncate(entry.depth());
        if entry.is_directory() {
            above.push(at);
        } else if entry.is_regular() && entry.status.size > 0 {
            holders.extend(above.last());
        }
    }
    holders
}

/// The entry behind the last one below the folder `at`.
fn end_of(entries: &[Entry], at: usize) -> usize {
    let depth = entries[at].depth();
    let below = entries[at + 1..].iter().take_while(|entry| entry.depth() > depth).count();
    at + 1 + below
}

/// Drops what has not been used for too long, and then what was used least recently until the rest
/// is small enough.
pub fn trim(units: &mut Vec<Unit>, limits: &Limits) -> Dropped {
    let mut dropped = Dropped::default();
    let mut drop = |unit: &Unit| {
        dropped.units += 1;
        dropped.bytes += unit.size;
    };
    if limits.age > 0 {
        units.retain(|unit| {
            let kept = unit.used >= limits.now - limits.age;
            if !kept {
                drop(unit);
            }
            kept
        });
    }
    if limits.size > 0 {
        let mut by_use: Vec<(i64, usize)> = units.iter().map(|u| (u.used, u.first)).collect();
        by_use.sort_unstable();
        let mut total: i64 = units.iter().map(|unit| unit.size).sum();
        let mut gone = BTreeSet::new();
        for (_, first) in by_use {
            if total <= limits.size {
                break;
            }
            if let Some(unit) = units.iter().find(|unit| unit.first == first) {
                total -= unit.size;
                drop(unit);
                gone.insert(first);
            }
        }
        units.retain(|unit| !gone.contains(&unit.first));
    }
    dropped
}
