//! A model as numbers, and the file it is packed into.

use crate::EmbeddingError;
use crate::model::{GROUP, MAGIC, MAX_NAME, MAX_PIECE};
use crate::vector::MAX_DIMS;

/// A model before it is packed: a row of coordinates for each piece.
///
/// What `model/make.py` does with the real one, in Rust, for small models and for tests. The file:
///
/// | bytes | what |
/// |---|---|
/// | 8 | `murmemb1` |
/// | 1, n | the name: its length and its text |
/// | 2 | dimensions, a multiple of 2 |
/// | 2 | pieces |
/// | 1 a piece | the piece's length |
/// | the sum | the pieces, sorted by their bytes |
/// | 4 a piece | the largest coordinate of its row over 7, as `f32` |
/// | 1 a group of 32 dimensions | that group's share of it, from 0 to 255 |
/// | 1 two dimensions | coordinates from -7 to 7, plus 8; the first in the lower half |
///
/// Numbers are stored with the lower byte first; pieces inside a word begin with `##`, as in BERT's vocabularies.
#[derive(Clone, Debug)]
pub struct ModelTable {
    /// What the model is called.
    pub name: String,
    /// Coordinates a row.
    pub dims: usize,
    /// The pieces and their rows, in any order.
    pub pieces: Vec<(String, Vec<f32>)>,
}

impl ModelTable {
    /// The file.
    ///
    /// # Errors
    /// [`EmbeddingError::Model`] when a name, a number of dimensions or a row is not of a form that the file can have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EmbeddingError> {
        let fault = EmbeddingError::Model;
        if self.dims == 0 || !self.dims.is_multiple_of(2) || self.dims > MAX_DIMS {
            return Err(fault("an even number of dimensions, 1536 at the most"));
        }
        let mut pieces: Vec<&(String, Vec<f32>)> = self.pieces.iter().collect();
        pieces.sort_by(|one, other| one.0.cmp(&other.0));
        let mut bytes = MAGIC.to_vec();
        bytes.push(short(self.name.len(), MAX_NAME)?);
        bytes.extend(self.name.as_bytes());
        bytes.extend(u16::try_from(self.dims).map_err(|_| fault("too many dimensions"))?.to_le_bytes());
        bytes.extend(u16::try_from(pieces.len()).map_err(|_| fault("too many pieces"))?.to_le_bytes());
        for (piece, row) in &pieces {
            if row.len() != self.dims || !row.iter().all(|coordinate| coordinate.is_finite()) {
                return Err(fault("a row that is not of finite numbers, one a dimension"));
            }
            bytes.push(short(piece.len(), MAX_PIECE)?);
        }
        bytes.extend(pieces.iter().flat_map(|(piece, _)| piece.bytes()));
        let scales: Vec<f32> = pieces.iter().map(|(_, row)| largest(row) / 7.0).collect();
        bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
        let (mut shares, mut halves) = (Vec::new(), Vec::new());
        for ((_, row), scale) in pieces.iter().zip(&scales) {
            for group in row.chunks(GROUP) {
                let share = if *scale > 0.0 {
                    (largest(group) / 7.0 / scale * 255.0).ceil().clamp(0.0, 255.0)
                } else {
                    0.0
                };
                shares.push(whole(share));
                let step = scale * share / 255.0;
                let nibble = |coordinate: &f32| {
                    if step > 0.0 { whole((coordinate / step).round().clamp(-7.0, 7.0) + 8.0) } else { 8 }
                };
                halves.extend(
                    group
                        .chunks(2)
                        .map(|pair| pair.first().map_or(8, nibble) | pair.get(1).map_or(8, nibble) << 4),
                );
            }
        }
        bytes.extend(shares);
        bytes.extend(halves);
        Ok(bytes)
    }
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0_f32, |largest, coordinate| largest.max(coordinate.abs()))
}

fn short(length: usize, limit: usize) -> Result<u8, EmbeddingError> {
    u8::try_from(length)
        .ok()
        .filter(|_| length <= limit)
        .ok_or(EmbeddingError::Model("a text that is too long"))
}

#[expect(clippy::as_conversions, reason = "already whole and within a byte; `as` saturates besides")]
fn whole(number: f32) -> u8 {
    number as u8
}
