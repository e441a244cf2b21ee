//! A vector as it is kept: whole numbers of eight bits.

use crate::{EmbeddingError, dot};

/// The most dimensions a vector may have: the largest models in use (`text-embedding-3-large` shortened, `bge-m3`, `e5`)
/// give 1,536 or fewer. A thousand memories of so many take 1.5 MB of an object's memory.
pub const MAX_DIMS: usize = 1_536;

/// A direction: turned, and then each coordinate as eight bits of the largest one.
///
/// Two vectors are compared by the cosine of their angle, so a vector's length says nothing and is not kept, and all of them may
/// be turned alike. Models put much into few coordinates, and eight bits of the largest leave little to the others; turned, all
/// are about as large. What eight bits cost then is in `docs/benchmarks.md`, and a scan reads a quarter of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector(Box<[i8]>);

impl Vector {
    /// The vector of coordinates from any model.
    ///
    /// # Errors
    /// [`EmbeddingError::Vector`] when there are none or more than [`MAX_DIMS`], when one is not finite, or when all are 0.
    pub fn from_f32(coordinates: &[f32]) -> Result<Self, EmbeddingError> {
        if coordinates.is_empty() || coordinates.len() > MAX_DIMS {
            return Err(EmbeddingError::Vector("from 1 to 1536 dimensions"));
        }
        if !coordinates.iter().all(|coordinate| coordinate.is_finite()) {
            return Err(EmbeddingError::Vector("a coordinate is not finite"));
        }
        let largest = coordinates.iter().fold(0.0_f32, |largest, coordinate| largest.max(coordinate.abs()));
        if largest <= f32::MIN_POSITIVE {
            return Err(EmbeddingError::Vector("all coordinates are zero"));
        }
        // Divided first: 127 / largest overflows for the smallest of numbers, and a sum of the largest does.
        let mut turned: Vec<f32> = coordinates.iter().map(|coordinate| coordinate / largest).collect();
        turn(&mut turned);
        let largest = turned.iter().fold(0.0_f32, |largest, coordinate| largest.max(coordinate.abs()));
        Ok(Self(turned.iter().map(|coordinate| eight_bits(coordinate / largest * 127.0)).collect()))
    }

    /// Reads [`Self::as_bytes`].
    ///
    /// # Errors
    /// [`EmbeddingError::Vector`] as [`Self::from_f32`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EmbeddingError> {
        if bytes.is_empty() || bytes.len() > MAX_DIMS {
            return Err(EmbeddingError::Vector("from 1 to 1536 dimensions"));
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(EmbeddingError::Vector("all coordinates are zero"));
        }
        Ok(Self(bytes.iter().map(|byte| byte.cast_signed()).collect()))
    }

    /// A byte a dimension, two's complement.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(|coordinate| coordinate.cast_unsigned()).collect()
    }

    /// The coordinates.
    #[must_use]
    pub fn coordinates(&self) -> &[i8] {
        &self.0
    }

    /// How many coordinates it has.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.0.len()
    }

    /// One over its length: what a dot product is multiplied by.
    #[must_use]
    pub fn inverse_length(&self) -> f32 {
        inverse_length(&self.0)
    }

    /// The cosine of the angle to another vector; 0 where their dimensions differ.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.dims() != other.dims() {
            return 0.0;
        }
        to_f32(dot(&self.0, &other.0)) * self.inverse_length() * other.inverse_length()
    }
}

/// Turns a direction as all others of as many dimensions are turned, which changes no angle between them: some signs, and then
/// the Walsh-Hadamard transform of as many coordinates at a time as it takes. Lengths grow alike.
fn turn(coordinates: &mut [f32]) {
    let block = 1 << coordinates.len().trailing_zeros();
    if block < LEAST_BLOCK {
        return;
    }
    for block in coordinates.chunks_exact_mut(block) {
        for (place, coordinate) in (0_u32..).zip(block.iter_mut()) {
            if place.wrapping_mul(SIGNS) >> 31 == 1 {
                *coordinate = -*coordinate;
            }
        }
        let mut half = 1;
        while half < block.len() {
            for both in block.chunks_exact_mut(2 * half) {
                let (low, high) = both.split_at_mut(half);
                for (low, high) in low.iter_mut().zip(high) {
                    (*low, *high) = (*low + *high, *low - *high);
                }
            }
            half *= 2;
        }
    }
}

/// One over the length of a row of coordinates; 0 where all of them are.
#[must_use]
pub fn inverse_length(coordinates: &[i8]) -> f32 {
    let square = dot(coordinates, coordinates);
    if square == 0 { 0.0 } else { 1.0 / to_f32(square).sqrt() }
}

#[expect(clippy::as_conversions, reason = "there is no other way from i32 to f32; sums stay below 2^25")]
fn to_f32(sum: i32) -> f32 {
    sum as f32
}

#[expect(clippy::as_conversions, reason = "rounded and within -127..=127; `as` saturates besides")]
fn eight_bits(coordinate: f32) -> i8 {
    coordinate.round() as i8
}

/// Fewer coordinates are not turned: there is nothing to spread.
const LEAST_BLOCK: usize = 16;

/// The highest bit of a place's product with this is its sign: the golden ratio of 2^32, whose multiples fall evenly.
const SIGNS: u32 = 0x9e37_79b9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_survives_its_bytes() {
        let vector = Vector::from_f32(&[0.5, -1.0, 0.0]).unwrap();
        assert_eq!(vector.coordinates(), [64, -127, 0]);
        assert_eq!(Vector::from_bytes(&vector.to_bytes()).unwrap(), vector);
    }

    #[test]
    #[expect(clippy::as_conversions, reason = "small numbers")]
    fn the_cosine_is_that_of_the_numbers_it_was_made_from() {
        let one: Vec<f32> = (0..256).map(|n| ((n * 37 % 101) as f32 - 50.0) / 400.0).collect();
        let other: Vec<f32> = (0..256).map(|n| ((n * 53 % 97) as f32 - 40.0) / 9.0).collect();
        let product: f32 = one.iter().zip(&other).map(|(a, b)| a * b).sum();
        let length = |v: &[f32]| v.iter().map(|a| a * a).sum::<f32>().sqrt();
        let exact = product / length(&one) / length(&other);
        let kept = Vector::from_f32(&one).unwrap().cosine(&Vector::from_f32(&other).unwrap());
        assert!((kept - exact).abs() < 0.005, "{kept} {exact}");
    }

    #[test]
    fn turning_changes_no_angle_and_leaves_no_coordinate_alone() {
        for dims in [16, 48, 256, 384, 768, 1_024, 1_536] {
            let made = |seed: u32| -> Vec<f32> {
                let number = |n: u32| (n.wrapping_mul(seed).wrapping_add(seed) >> 8) % 1_000;
                (0..dims).map(|n| f32::from(u16::try_from(number(n)).unwrap()) / 500.0 - 1.0).collect()
            };
            let product =
                |one: &[f32], other: &[f32]| -> f32 { one.iter().zip(other).map(|(a, b)| a * b).sum() };
            let cosine = |one: &[f32], other: &[f32]| {
                product(one, other) / (product(one, one) * product(other, other)).sqrt()
            };
            let (one, other) = (made(0x85eb_ca6b), made(0xc2b2_ae35));
            let (mut turned, mut beside) = (one.clone(), other.clone());
            turn(&mut turned);
            turn(&mut beside);
            assert!((cosine(&one, &other) - cosine(&turned, &beside)).abs() < 1e-4, "{dims}");
            let mut alone = vec![0.0; one.len()];
            alone[0] = 1.0;
            turn(&mut alone);
            assert!(alone.iter().take(16).all(|coordinate| coordinate.abs() == 1.0), "{dims}");
        }
    }

    /// What eight bits of the largest coordinate would say nothing of.
    #[test]
    fn one_large_coordinate_does_not_hide_the_others() {
        let vector = |sign: f32| {
            let mut coordinates = vec![0.3; 256];
            coordinates.iter_mut().step_by(2).for_each(|coordinate| *coordinate *= sign);
            coordinates[0] = 100.0;
            Vector::from_f32(&coordinates).unwrap()
        };
        let (same, opposite) = (vector(1.0).cosine(&vector(1.0)), vector(1.0).cosine(&vector(-1.0)));
        assert!((same - 1.0).abs() < 1e-6);
        // 10,000 + 128 x .09 - 127 x .09 to 10,000 + 255 x .09.
        assert!((opposite - 0.9977).abs() < 4e-4, "{opposite}");
    }

    #[test]
    fn refuses_numbers_that_are_no_direction() {
        for coordinates in [&[][..], &[0.0; 4], &[f32::NAN, 1.0], &[f32::INFINITY], &[1.0; MAX_DIMS + 1]] {
            assert!(Vector::from_f32(coordinates).is_err());
        }
        assert!(Vector::from_bytes(&[0; 16]).is_err());
        // The smallest numbers there are still point somewhere.
        assert_eq!(Vector::from_f32(&[1e-37, -2e-37]).unwrap().coordinates(), [64, -127]);
    }

    #[test]
    fn vectors_of_different_models_are_not_alike() {
        let (short, long) = (Vector::from_f32(&[1.0]).unwrap(), Vector::from_f32(&[1.0, 0.0]).unwrap());
        assert_eq!(short.cosine(&long), 0.0);
    }
}
