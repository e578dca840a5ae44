//! Tells contents from each other.
use alloc::vec::Vec;

use crate::sys::{self, Outcome};

/// Tells contents apart that nobody tries to make look alike: two lanes of multiplied words.
///
/// It reads whole mounts after each build, so it has to be as fast as the memory that they come from.
pub struct Hash([u64; 2]);

const PRIMES: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

impl Hash {
    pub const fn new() -> Self {
        Self([0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142])
    }

    /// Takes bytes as one, so that the same ones divided otherwise count as others.
    pub fn field(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last));
    }

    /// Takes a file's content, without noting that it was read: that would count as use.
    pub fn file(&mut self, path: &[u8], buffer: &mut [u8]) -> Outcome<()> {
        let file = sys::open_unnoted(path)?;
        loop {
            let count = sys::fill(&file, buffer)?;
            self.field(&buffer[..count]);
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn word(&mut self, word: u64) {
        let [one, two] = &mut self.0;
        let product = u128::from(*one ^ word) * u128::from(PRIMES[0]);
        *one = product as u64 ^ (product >> 64) as u64;
        // This lane loses nothing where the other one comes to zero.
        *two = (two.rotate_left(23) ^ word).wrapping_mul(PRIMES[1]);
    }

    pub fn hex(&self) -> Vec<u8> {
        let digit = |half: u64, at: u32| b"0123456789abcdef"[(half >> (60 - 4 * at) & 15) as usize];
        self.0.iter().flat_map(|half| (0..16).map(|at| digit(*half, at))).collect()
    }
}
