//! Text in and out: what was used when, and what is kept.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::tree::Entry;
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

/// What is kept: a line of numbers, then the ledger.
pub fn report(entries: &[Entry], units: &[Unit], dropped: Dropped) -> Vec<u8> {
    let mut hash = Hash::new();
    let (mut files, mut bytes) = (0, 0);
    for entry in units.iter().flat_map(|unit| &entries[unit.first..unit.end]) {
        // Locks and folders change without any content changing.
        if entry.is_directory() || entry.is_regular() && entry.status.size == 0 {
            continue;
        }
        files += 1;
        bytes += entry.status.size;
        hash.field(&entry.path);
        hash.field(&entry.status.size.to_le_bytes());
        hash.field(&entry.status.modified.seconds.to_le_bytes());
        hash.field(&entry.status.mode.to_le_bytes());
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
    text
}

/// Tells contents apart that nobody tries to make look alike: FNV-1a, twice.
struct Hash([u64; 2]);

impl Hash {
    const fn new() -> Self {
        Self([0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142])
    }

    fn field(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            for (half, prime) in self.0.iter_mut().zip([0x0100_0000_01b3, 0x9e37_79b9_7f4a_7c15]) {
                *half = (*half ^ u64::from(*byte)).wrapping_mul(prime);
            }
        }
    }

    fn hex(&self) -> Vec<u8> {
        let digit = |half: u64, at: u32| b"0123456789abcdef"[(half >> (60 - 4 * at) & 15) as usize];
        self.0.iter().flat_map(|half| (0..16).map(|at| digit(*half, at))).collect()
    }
}
