//! A small corpus that is the same everywhere: seeds, seeds that were damaged, and noise.

use crate::Target;

/// Feeds a target its seeds and then `cases` inputs made from them.
pub fn run(target: &Target, cases: usize) {
    let seeds = (target.seeds)();
    for seed in &seeds {
        (target.run)(seed);
    }
    let mut random = Random(0x6d75_726d_7572_6174);
    for _ in 0..cases {
        (target.run)(&random.input(&seeds));
    }
}

/// SplitMix64: good enough to damage bytes, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 16] =
            [0, 1, 0x17, 0x18, 0x1b, 0x1f, 0x20, b'"', b'.', b':', 0x5f, 0x7f, 0x80, 0xa1, 0xd8, 0xff];
        if self.below(3) == 0 { TELLING[self.below(TELLING.len())] } else { self.next() as u8 }
    }

    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || self.below(8) == 0 {
            let length = self.below(64);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.damage(&mut bytes, seeds);
        }
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        match self.below(7) {
            _ if bytes.is_empty() => bytes.push(self.byte()),
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.byte(),
            2 => bytes.insert(at, self.byte()),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let until = at + self.below((bytes.len() - at).min(40));
                let piece = bytes[at..until].to_vec();
                let times = 1 + self.below(3);
                bytes.splice(at..at, piece.repeat(times));
            }
            _ => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
