//! The program that works inside a cache mount: fills it, lists it, copies it out.
//!
//! It is compiled by `build.rs` on its own, without the standard library and without libc, so that a
//! few kilobytes run on an empty root file system. Arguments come from the crate's `cache::mounts::program`:
//!
//! | call | does |
//! |---|---|
//! | `seed FROM TO DATE` | copies `FROM` into the cache mount `TO` as far as that has nothing newer |
//! | `survey FROM OUT LEDGER NOW AGE SIZE` | writes `OUT/report`: what of `FROM` is worth keeping |
//! | `collect FROM OUT LEDGER NOW AGE SIZE` | the same, and copies all that to `OUT/mount` |
//!
//! It ends with 0, or with 1 and a line on stderr.
#![no_std]
#![no_main]

extern crate alloc;

mod bookkeeping;
mod copy;
mod hash;
mod ledger;
mod runtime;
mod sys;
mod tree;
mod units;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use copy::Copy;
use sys::{Failure, Outcome};

/// The arguments, without the program's name.
fn run(args: &[&[u8]]) -> Outcome<()> {
    match args {
        [b"seed", from, to, date] => seed(from, to, number(date)?),
        [b"survey", rest @ ..] => keep(rest, false),
        [b"collect", rest @ ..] => keep(rest, true),
        _ => Err(Failure::new(b"the arguments", 22)),
    }
}

/// Fills a cache mount.
///
/// An empty one becomes what was saved. One that has content newer than `date` stays as it is; an
/// older one receives the units that it has nothing of, and nothing in it is changed.
fn seed(from: &[u8], to: &[u8], date: i64) -> Outcome<()> {
    let present = tree::walk(to)?;
    if present.iter().any(|entry| entry.changed >= date) {
        return sys::write_all(1, b"kept 0 0\n");
    }
    let saved = tree::walk(from)?;
    let units = units::divide(&saved);
    let mut copy = Copy::new(from, to, Some(0));
    let empty = present.is_empty();
    let present: BTreeSet<&[u8]> = present.iter().map(|entry| &*entry.path).collect();
    for unit in units.iter().filter(|unit| !present.contains(unit.path(&saved))) {
        copy.unit(&saved, unit)?;
    }
    if empty {
        copy.root()?;
    }
    copy.finish(&saved)?;
    let mut line = Vec::from(if empty { &b"seeded "[..] } else { &b"added "[..] });
    ledger::decimal(&mut line, copy.files);
    line.push(b' ');
    ledger::decimal(&mut line, copy.bytes);
    line.push(b'\n');
    sys::write_all(1, &line)
}

/// Reports what of a cache mount is worth keeping, and copies that out if asked to.
fn keep(args: &[&[u8]], collect: bool) -> Outcome<()> {
    let [from, out, known, now, age, size] = args else {
        return Err(Failure::new(b"the arguments", 22));
    };
    let limits = units::Limits { now: number(now)?, age: number(age)?, size: number(size)? };
    let entries = tree::walk(from)?;
    let mut units = units::divide(&entries);
    let known = ledger::parse(&sys::read_file(known)?);
    for unit in &mut units {
        // What was brought here from elsewhere was changed here when it was brought.
        let before = known.get(&ledger::escaped(unit.path(&entries))).copied();
        unit.used = unit.used.max(before.unwrap_or(unit.changed)).min(limits.now);
    }
    let dropped = units::trim(&mut units, &limits);
    let report = ledger::report(from, &entries, &units, dropped)?;
    if collect {
        let mut place = Vec::from(*out);
        place.extend_from_slice(b"/mount");
        sys::make_directory(&place, 0o755)?;
        let mut copy = Copy::new(from, &place, None);
        for unit in &units {
            copy.unit(&entries, unit)?;
        }
        copy.root()?;
        copy.finish(&entries)?;
    }
    let mut place = Vec::from(*out);
    place.extend_from_slice(b"/report");
    sys::write_file(&place, &report)
}

fn number(text: &[u8]) -> Outcome<i64> {
    ledger::number(text).ok_or(Failure::new(text, 22))
}
