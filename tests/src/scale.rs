//! How much a test does: little by itself, much under `cargo xtask soak`.

use std::env;

/// A number that `cargo xtask soak` may raise: of the environment variable `name`, else `short`.
///
/// # Panics
/// When the variable is not a number.
#[must_use]
pub fn scaled(name: &str, short: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => short,
    }
}

/// Numbers that are the same in every run with the same seed: the tests need variety, not secrecy.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice with a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}
