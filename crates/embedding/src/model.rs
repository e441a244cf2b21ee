//! The model: its file, checked once, and a text's vector out of it.

use data_encoding::HEXLOWER;
use murmuration_platform::{EmbedFuture, Embedder};
use sha2::{Digest, Sha256};

use crate::pieces::pieces_of;
use crate::read::Reader;
use crate::vector::MAX_DIMS;
use crate::{EmbeddingError, Vector};

/// A static embedding model, as read from its file (the file's form stands at [`crate::ModelTable`]).
///
/// Rows stay packed: a model costs as much memory as its file, and reading it is a check, not a conversion.
pub struct Model {
    id: String,
    dims: usize,
    file: Vec<u8>,
    /// Where each piece ends in the file; one before the first, too.
    ends: Vec<u32>,
    scales_at: usize,
    shares_at: usize,
    halves_at: usize,
}

impl Model {
    /// Reads a model's file, whole.
    ///
    /// # Errors
    /// [`EmbeddingError::Model`] for anything but a file of this version in which every part has the right length, the
    /// pieces are sorted text, and the numbers are finite.
    pub fn read(file: impl Into<Vec<u8>>) -> Result<Self, EmbeddingError> {
        let file = file.into();
        let fault = EmbeddingError::Model;
        let mut reader = Reader(&file);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(fault("it does not begin as one"));
        }
        let length = usize::from(reader.byte()?);
        let name = std::str::from_utf8(reader.take(length)?).map_err(|_| fault("its name is not text"))?;
        let dims = usize::from(reader.u16()?);
        if dims == 0 || !dims.is_multiple_of(2) || dims > MAX_DIMS {
            return Err(fault("an even number of dimensions, 1536 at the most"));
        }
        let count = usize::from(reader.u16()?);
        let lengths = reader.take(count)?;
        let mut end = file.len() - reader.0.len();
        let mut ends = Vec::with_capacity(count + 1);
        let mut previous: &[u8] = &[];
        ends.push(offset(end)?);
        for length in lengths {
            let piece = reader.take(usize::from(*length))?;
            if piece <= previous || std::str::from_utf8(piece).is_err() {
                return Err(fault("its pieces are not texts in order"));
            }
            previous = piece;
            end += piece.len();
            ends.push(offset(end)?);
        }
        let scales_at = end;
        for scale in reader.take(count * 4)?.as_chunks::<4>().0 {
            let scale = f32::from_le_bytes(*scale);
            if !scale.is_finite() || scale < 0.0 {
                return Err(fault("a scale is not a number"));
            }
        }
        let shares_at = scales_at + count * 4;
        reader.take(count * dims.div_ceil(GROUP))?;
        let halves_at = shares_at + count * dims.div_ceil(GROUP);
        reader.take(count * (dims / 2))?;
        if !reader.0.is_empty() {
            return Err(fault("there is something after its end"));
        }
        let hash = HEXLOWER.encode(Sha256::digest(&file).get(..ID_HASH_BYTES).unwrap_or_default());
        let id = format!("{name}:{hash}");
        Ok(Self { id, dims, ends, scales_at, shares_at, halves_at, file })
    }

    /// The model's name and hash: two models with one id give the same vectors. At most 128 bytes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Coordinates of its vectors.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The vector of a text, or `None` when the model knows no part of it.
    #[must_use]
    pub fn embed(&self, text: &str) -> Option<Vector> {
        Vector::from_f32(&self.coordinates(text)).ok()
    }

    /// The vector of a text before it is brought to eight bits, of length one; all 0 when the model knows no part of it.
    ///
    /// Of a text longer than [`MAX_TEXT_BYTES`] only so much is read.
    #[must_use]
    pub fn coordinates(&self, text: &str) -> Vec<f32> {
        let mut rows = pieces_of(clip(text), |piece| self.find(piece));
        rows.sort_unstable();
        let mut sum = vec![0.0_f32; self.dims];
        for same in rows.chunk_by(|one, other| one == other) {
            let Some(row) = same.first() else { continue };
            self.add(&mut sum, *row, times(same.len()).sqrt());
        }
        let length = sum.iter().map(|coordinate| coordinate * coordinate).sum::<f32>().sqrt();
        if length > 0.0 {
            sum.iter_mut().for_each(|coordinate| *coordinate /= length);
        }
        sum
    }

    /// The row of a piece.
    fn find(&self, piece: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.ends.len().saturating_sub(1));
        while low < high {
            let middle = low.midpoint(high);
            match self.piece(middle).cmp(piece) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn piece(&self, row: usize) -> &[u8] {
        let at = |place: usize| self.ends.get(place).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.file.get(at(row)..at(row + 1)).unwrap_or_default()
    }

    /// Adds a row, so many times.
    fn add(&self, sum: &mut [f32], row: usize, times: f32) {
        let (groups, pairs) = (self.dims.div_ceil(GROUP), self.dims / 2);
        let part = |at: usize, length: usize| {
            self.file.get(at + row * length..at + (row + 1) * length).unwrap_or_default()
        };
        let scale =
            part(self.scales_at, 4).first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes)) * times;
        let shares = part(self.shares_at, groups);
        let halves = part(self.halves_at, pairs);
        for ((sums, share), halves) in sum.chunks_mut(GROUP).zip(shares).zip(halves.chunks(GROUP / 2)) {
            let step = scale * f32::from(*share) / 255.0;
            for (pair, both) in sums.chunks_mut(2).zip(halves) {
                if let [low, high] = pair {
                    *low += step * (f32::from(both & 15) - 8.0);
                    *high += step * (f32::from(both >> 4) - 8.0);
                }
            }
        }
    }
}

impl Embedder for Model {
    fn id(&self) -> &str {
        self.id()
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a> {
        Box::pin(async move { Ok(texts.iter().map(|text| self.coordinates(text)).collect()) })
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Model({})", self.id)
    }
}

/// The text, or as much of it as is read, ending between two characters.
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

fn offset(end: usize) -> Result<u32, EmbeddingError> {
    u32::try_from(end).map_err(|_| EmbeddingError::Model("too large"))
}

#[expect(clippy::as_conversions, reason = "a count of words in a text of bounded length, far below 2^24")]
fn times(count: usize) -> f32 {
    count as f32
}

/// How a model's file begins.
pub(crate) const MAGIC: &[u8] = b"murmemb1";

/// Dimensions that share a scale: the measured size at which four bits cost nothing in recall.
pub(crate) const GROUP: usize = 32;

/// Bytes of a name, at most: with the hash it makes an id of 128.
pub(crate) const MAX_NAME: usize = 95;

/// Bytes of a piece, at most: its length is one byte. BERT's longest has 18 letters.
pub(crate) const MAX_PIECE: usize = 255;

/// Bytes of a text that are read, at most: some 10,000 words, beyond which the sum says no more than before.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Bytes of the hash in an id: 128 bits, so that nobody finds two files with one id.
const ID_HASH_BYTES: usize = 16;
