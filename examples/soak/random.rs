//! Seeded randomness, with which the same seed leads to the same choices.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A SplitMix64 generator.
pub(crate) struct Random(u64);

impl Random {
    /// Creates the generator of one client.
    pub(crate) fn new(seed: u64, client: usize) -> Self {
        let mut random = Self(seed);
        let start = random.next() ^ client as u64;
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.between(1..=count) == 1
    }
}
