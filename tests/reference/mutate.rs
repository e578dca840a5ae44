//! Changes texts at random, the same way in every run.

/// A generator of numbers that are random enough (splitmix64).
pub struct Random(u64);

impl Random {
    /// `KITWRIGHT_FUZZ_SEED` moves the sequence elsewhere.
    pub fn new(seed: u64) -> Self {
        let moved = std::env::var("KITWRIGHT_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
        Self(seed ^ moved.unwrap_or(0_u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// How many inputs a differential test makes up: `KITWRIGHT_FUZZ_ROUNDS`, or `usual`.
pub fn rounds(usual: usize) -> usize {
    std::env::var("KITWRIGHT_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Returns `text` with a few pieces removed, doubled, swapped or replaced by pieces of `dictionary`.
pub fn mutate(random: &mut Random, text: &str, dictionary: &[&str]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(chars.len() + 1);
        let end = (at + random.below(4)).min(chars.len());
        match random.below(5) {
            0 => drop(chars.drain(at..end)),
            1 => {
                let piece: Vec<char> = chars[at..end].to_vec();
                chars.splice(at..at, piece);
            }
            2 => {
                let piece: Vec<char> = chars.drain(at..end).collect();
                let to = random.below(chars.len() + 1);
                chars.splice(to..to, piece);
            }
            _ => {
                let piece: Vec<char> = random.pick(dictionary).chars().collect();
                let replaced = if random.below(2) == 0 { at } else { end };
                chars.splice(at..replaced, piece);
            }
        }
    }
    chars.into_iter().collect()
}
