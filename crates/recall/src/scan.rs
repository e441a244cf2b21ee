//! Vectors in one row, and the scan over them.

use murmuration_embedding::{MAX_DIMS, Vector, dot, inverse_length};

use crate::entry::Embedded;

/// The vectors of one model, row after row.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    /// The model's number.
    pub(crate) by: u16,
    dims: usize,
    coordinates: Vec<i8>,
    /// One over each vector's length.
    lengths: Vec<f32>,
}

impl Vectors {
    /// With room for so many.
    pub(crate) fn new(by: u16, dims: usize, expected: usize) -> Self {
        let coordinates = Vec::with_capacity(expected * dims);
        Self { by, dims, coordinates, lengths: Vec::with_capacity(expected) }
    }

    /// Whether vectors of this kind belong here.
    pub(crate) fn holds(&self, by: u16, dims: usize) -> bool {
        self.by == by && self.dims == dims
    }

    /// Adds a vector of these dimensions; gives its place, or `None` where it has no direction.
    pub(crate) fn push(&mut self, coordinates: impl Iterator<Item = i8>) -> Option<usize> {
        let start = self.coordinates.len();
        self.coordinates.extend(coordinates);
        let length = inverse_length(self.coordinates.get(start..).unwrap_or_default());
        if length == 0.0 {
            self.coordinates.truncate(start);
            return None;
        }
        self.lengths.push(length);
        Some(self.lengths.len() - 1)
    }

    /// The vector at a place.
    pub(crate) fn embedded(&self, place: usize) -> Option<Embedded> {
        let row = self.coordinates.get(place * self.dims..(place + 1) * self.dims)?;
        let bytes: Vec<u8> = row.iter().map(|coordinate| coordinate.cast_unsigned()).collect();
        Some(Embedded { by: self.by, vector: Vector::from_bytes(&bytes).ok()? })
    }

    /// Bytes that the vectors take.
    pub(crate) fn bytes(&self) -> usize {
        self.coordinates.len() + self.lengths.len() * size_of::<f32>()
    }

    /// The cosines between a vector and all of these, in their order.
    pub(crate) fn cosines(&self, query: &Vector) -> Vec<f32> {
        let length = query.inverse_length();
        let rows = self.coordinates.chunks_exact(self.dims.clamp(1, MAX_DIMS));
        rows.zip(&self.lengths)
            .map(|(row, inverse)| to_f32(dot(query.coordinates(), row)) * length * inverse)
            .collect()
    }
}

#[expect(
    clippy::as_conversions,
    reason = "there is no other way from i32 to f32; a product stays below 2^25"
)]
fn to_f32(product: i32) -> f32 {
    product as f32
}
