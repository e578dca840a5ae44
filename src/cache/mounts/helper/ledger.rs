//! Text in and out: what was used when, and what is kept.
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::bookkeeping::{self, Counted};
use crate::hash::Hash;
use crate::sys::{self, Outcome};
use crate::tree::{self, Entry};
use crate::units::{Dropped, Unit};

/// Appends a number.
pub fn decimal(to: &mut Vec<u8>, mut number: u64) {
    let start = to.len();
    loop {
        to.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to[start..].reverse();
}

/// Reads a number.
pub fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_i64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

/// A path without the bytes that mean something in a line.
pub fn escaped(path: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(path.len());
    for byte in path {
        if matches!(byte, b'!'..=b'~') && *byte != b'%' {
            text.push(*byte);
        } else {
            text.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    text
}

/// Lines `SECONDS PATH`: when each unit was last used. Others are passed over.
pub fn parse(text: &[u8]) -> BTreeMap<Vec<u8>, i64> {
    let line = |line: &[u8]| {
        let gap = line.iter().position(|byte| *byte == b' ')?;
        Some((line[gap + 1..].into(), number(&line[..gap])?))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// What is kept of the mount at `root`: a line of numbers, then the ledger.
pub fn report(
    root: &[u8],
    entries: &[Entry],
    units: &[Unit],
    dropped: Dropped,
) -> Outcome<Vec<u8>> {
    let mut hash = Hash::new();
    let mut buffer = vec![0; 1 << 17];
    let (mut files, mut bytes) = (0, 0);
    for entry in units.iter().flat_map(|unit| &entries[unit.first..unit.end]) {
        // Locks and folders change without any content changing.
        if entry.is_directory() || entry.is_regular() && entry.status.size == 0 {
            continue;
        }
        files += 1;
        bytes += entry.status.size;
        let counted = bookkeeping::counted(&entry.path);
        if counted == Counted::Nothing {
            continue;
        }
        hash.field(&entry.path);
        hash.field(&entry.status.size.to_le_bytes());
        hash.field(&entry.status.mode.to_le_bytes());
        if counted == Counted::Content && entry.is_regular() {
            match hash.file(&tree::join(root, &entry.path), &mut buffer) {
                // Somebody else removes files meanwhile.
                Err(failure) if !failure.is(sys::ENOENT) => return Err(failure),
                _ => {}
            }
        }
    }
    let mut text = hash.hex();
    for number in [files, bytes, dropped.units, dropped.bytes as u64] {
        text.push(b' ');
        decimal(&mut text, number);
    }
    text.push(b'\n');
    for unit in units {
        decimal(&mut text, unit.used.max(0) as u64);
        text.push(b' ');
        text.extend(escaped(unit.path(entries)));
        text.push(b'\n');
    }
    Ok(text)
}
