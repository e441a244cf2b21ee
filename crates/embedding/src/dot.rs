//! The product of two vectors of eight bits: what a scan does for each memory.

/// The sum of the products of two rows of coordinates; what one has more than the other does not count.
///
/// It cannot overflow: [`MAX_DIMS`](crate::MAX_DIMS) products of at most 128 x 128 stay below 2^25.
#[inline]
#[must_use]
pub fn dot(one: &[i8], other: &[i8]) -> i32 {
    let shorter = one.len().min(other.len());
    let (one, other) = (one.get(..shorter).unwrap_or_default(), other.get(..shorter).unwrap_or_default());
    let (ones, one_rest) = one.as_chunks::<LANES>();
    let (others, other_rest) = other.as_chunks::<LANES>();
    let rest = one_rest.iter().zip(other_rest).map(|(one, other)| i32::from(*one) * i32::from(*other));
    in_lanes(ones, others) + rest.sum::<i32>()
}

/// In a register: sixteen products of sixteen bits, added in pairs to four sums of 32. The compiler does not find that way by
/// itself, which takes five times as long without.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn in_lanes(ones: &[[i8; LANES]], others: &[[i8; LANES]]) -> i32 {
    use core::arch::wasm32::{
        i16x8_extmul_high_i8x16, i16x8_extmul_low_i8x16, i32x4_add, i32x4_extadd_pairwise_i16x8,
        i32x4_extract_lane, i32x4_splat, u64x2, v128,
    };

    #[inline]
    fn load(lanes: &[i8; LANES]) -> v128 {
        let all = u128::from_le_bytes(lanes.map(i8::cast_unsigned));
        #[expect(clippy::as_conversions, reason = "one half and the other")]
        u64x2(all as u64, (all >> 64) as u64)
    }

    let mut sums = i32x4_splat(0);
    for (one, other) in ones.iter().zip(others) {
        let (one, other) = (load(one), load(other));
        let (low, high) = (i16x8_extmul_low_i8x16(one, other), i16x8_extmul_high_i8x16(one, other));
        sums = i32x4_add(sums, i32x4_extadd_pairwise_i16x8(low));
        sums = i32x4_add(sums, i32x4_extadd_pairwise_i16x8(high));
    }
    let both = i32x4_extract_lane::<0>(sums) + i32x4_extract_lane::<1>(sums);
    both + i32x4_extract_lane::<2>(sums) + i32x4_extract_lane::<3>(sums)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
fn in_lanes(ones: &[[i8; LANES]], others: &[[i8; LANES]]) -> i32 {
    let product = |(one, other): (&i8, &i8)| i32::from(*one) * i32::from(*other);
    ones.iter().zip(others).map(|(one, other)| one.iter().zip(other).map(product).sum::<i32>()).sum()
}

/// Coordinates multiplied in one step: a register of 128 bits.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_DIMS;

    #[test]
    #[expect(clippy::as_conversions, reason = "small numbers")]
    fn the_product_in_lanes_is_the_plain_product() {
        for length in [1, 15, 16, 17, 31, 32, 33, 384, 1536] {
            let one: Vec<i8> = (0..length).map(|n| (n * 7 % 255 - 127) as i8).collect();
            let other: Vec<i8> = (0..length).map(|n| (n * 11 % 255 - 127) as i8).collect();
            let plain: i32 = one.iter().zip(&other).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            assert_eq!(dot(&one, &other), plain);
            assert_eq!(dot(&one, &[&other[..], &[1; 20]].concat()), plain);
        }
        assert_eq!(dot(&[-128; MAX_DIMS], &[-128; MAX_DIMS]), 128 * 128 * 1536);
    }
}
