//! A permutation of numbers with random keys.

use std::hash::{BuildHasher, RandomState};

/// Four rounds are enough against an observer of a few ids. A connection can afford twice as many.
const ROUNDS: u8 = 8;

/// A bijection on numbers of `2 * half` bits that depends on random keys: a Feistel network with a
/// keyed hash as its round function.
#[derive(Debug)]
pub(super) struct Permutation {
    keys: RandomState,
    /// The bits of one half of a number.
    half: u32,
}

impl Permutation {
    pub(super) fn new(half: u32) -> Self {
        Self { keys: RandomState::new(), half }
    }

    /// Returns the image of a number, of which only the lower `2 * half` bits count.
    pub(super) fn apply(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half & mask, number & mask);
        for round in 0..ROUNDS {
            let mixed = self.keys.hash_one((round, right)) & mask;
            (left, right) = (right, left ^ mixed);
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_has_an_image_of_its_own() {
        for half in [1, 4, 8] {
            let permutation = Permutation::new(half);
            let images: HashSet<_> = (0..1 << (2 * half)).map(|n| permutation.apply(n)).collect();
            assert_eq!(images.len(), 1 << (2 * half));
            assert!(images.iter().all(|image| image >> (2 * half) == 0));
        }
    }

    #[test]
    fn two_permutations_have_different_images() {
        let (one, other) = (Permutation::new(22), Permutation::new(22));
        assert!((0..1_000).filter(|n| one.apply(*n) == other.apply(*n)).count() < 5);
    }

    /// The images of an affine map, even after a xor with their own upper half, have few different
    /// distances between neighbours.
    #[test]
    fn the_images_of_neighbours_differ_at_random() {
        let permutation = Permutation::new(22);
        let images: Vec<_> = (0..10_000).map(|n| permutation.apply(n)).collect();
        let differences: HashSet<_> =
            images.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) & ((1 << 44) - 1)).collect();
        assert!(differences.len() > 9_990, "{}", differences.len());
        // Each of the 44 bits changes about every second time.
        for bit in 0..44 {
            let flips =
                images.windows(2).filter(|pair| (pair[0] ^ pair[1]) >> bit & 1 == 1).count();
            assert!((4_500..5_500).contains(&flips), "bit {bit} flips {flips} times");
        }
        // The second differences of an affine map are zero.
        let second = images.windows(3).filter(|three| three[1] ^ three[0] == three[2] ^ three[1]);
        assert!(second.count() < 5);
    }
}
