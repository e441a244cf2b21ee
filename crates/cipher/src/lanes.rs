//! Four words of 32 bits, one of each of four blocks: a vector register in Wasm, an array elsewhere.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use vector::Lanes;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use array::Lanes;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vector {
    use core::arch::wasm32::{
        i8x16_shuffle, i32x4_shuffle, u32x4, u32x4_add, u32x4_shl, u32x4_shr, u32x4_splat,
        u64x2_extract_lane, v128, v128_or, v128_xor,
    };

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes(v128);

    impl Lanes {
        pub(crate) const COUNT: Self = Self(u32x4(0, 1, 2, 3));

        #[inline(always)]
        pub(crate) fn splat(word: u32) -> Self {
            Self(u32x4_splat(word))
        }

        #[inline(always)]
        pub(crate) fn add(self, other: Self) -> Self {
            Self(u32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        /// Whole bytes are moved, which takes one instruction.
        #[inline(always)]
        pub(crate) fn rotate<const BY: u32>(self) -> Self {
            let Self(words) = self;
            Self(match BY {
                16 => i8x16_shuffle::<2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13>(words, words),
                8 => i8x16_shuffle::<3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14>(words, words),
                _ => v128_or(u32x4_shl(words, BY), u32x4_shr(words, 32 - BY)),
            })
        }

        /// Four words in a row of each block, in bytes.
        #[inline(always)]
        pub(crate) fn across([a, b, c, d]: [Self; 4]) -> [[u8; 16]; 4] {
            let (low, high) = (i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0), i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0));
            let (low_2, high_2) =
                (i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0), i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0));
            [
                bytes(u64x2_extract_lane::<0>(low), u64x2_extract_lane::<0>(high)),
                bytes(u64x2_extract_lane::<1>(low), u64x2_extract_lane::<1>(high)),
                bytes(u64x2_extract_lane::<0>(low_2), u64x2_extract_lane::<0>(high_2)),
                bytes(u64x2_extract_lane::<1>(low_2), u64x2_extract_lane::<1>(high_2)),
            ]
        }
    }

    #[inline(always)]
    fn bytes(low: u64, high: u64) -> [u8; 16] {
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod array {
    #[derive(Clone, Copy)]
    pub(crate) struct Lanes([u32; 4]);

    impl Lanes {
        pub(crate) const COUNT: Self = Self([0, 1, 2, 3]);

        #[inline(always)]
        pub(crate) fn splat(word: u32) -> Self {
            Self([word; 4])
        }

        #[inline(always)]
        pub(crate) fn add(self, other: Self) -> Self {
            self.with(other, u32::wrapping_add)
        }

        #[inline(always)]
        pub(crate) fn xor(self, other: Self) -> Self {
            self.with(other, |one, other| one ^ other)
        }

        #[inline(always)]
        pub(crate) fn rotate<const BY: u32>(self) -> Self {
            Self(self.0.map(|word| word.rotate_left(BY)))
        }

        /// Four words in a row of each block, in bytes.
        #[inline(always)]
        pub(crate) fn across(words: [Self; 4]) -> [[u8; 16]; 4] {
            let [a, b, c, d] = words.map(|Self(lanes)| lanes);
            let mut blocks = [[0; 16]; 4];
            for ((((block, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
                    *bytes = word.to_le_bytes();
                }
            }
            blocks
        }

        #[inline(always)]
        fn with(self, other: Self, each: fn(u32, u32) -> u32) -> Self {
            let mut words = self.0;
            for (word, other) in words.iter_mut().zip(other.0) {
                *word = each(*word, other);
            }
            Self(words)
        }
    }
}
