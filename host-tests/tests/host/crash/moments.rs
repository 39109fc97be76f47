//! Moments that nobody has chosen, and that can be had again.

use std::{
    env,
    hash::{BuildHasher, RandomState},
};

/// Pseudo-random numbers (SplitMix64).
pub(super) struct Moments(u64);

impl Moments {
    /// By the seed in this environment variable, or by any; printed, so that a run that failed can be repeated.
    pub(super) fn seeded(variable: &str) -> Self {
        let any = || RandomState::new().hash_one(variable);
        let seed = env::var(variable).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(any);
        println!("the moments of this run: {variable}={seed}");
        Self(seed)
    }

    pub(super) fn up_to(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap_or_default()
    }
}
