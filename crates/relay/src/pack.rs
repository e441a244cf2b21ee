//! The body of a row: the frames of one push, each after its length.

use murmuration_firehose::Seq;
use murmuration_platform::StoreError;

use crate::RelayError;
use crate::wire::{Input, length};

/// Bytes in front of each frame.
const LENGTH_BYTES: usize = 4;

/// A row that is being filled.
#[derive(Debug)]
pub(crate) struct Pack {
    /// The first event's number.
    pub(crate) first: Seq,
    /// The last event's number.
    pub(crate) last: Seq,
    /// The last event's place in its account's own count.
    pub(crate) ord: u64,
    /// The frames.
    pub(crate) body: Vec<u8>,
}

impl Pack {
    /// A row of one frame.
    pub(crate) fn new(seq: Seq, ord: u64, frame: &[u8]) -> Result<Self, RelayError> {
        let mut pack =
            Self { first: seq, last: seq, ord, body: Vec::with_capacity(LENGTH_BYTES + frame.len()) };
        pack.put(frame)?;
        Ok(pack)
    }

    /// Whether another frame fits into `limit` bytes.
    pub(crate) fn has_room(&self, frame: &[u8], limit: usize) -> bool {
        self.body.len() + LENGTH_BYTES + frame.len() <= limit
    }

    /// Adds the frame of the next event.
    pub(crate) fn push(&mut self, seq: Seq, ord: u64, frame: &[u8]) -> Result<(), RelayError> {
        self.last = seq;
        self.ord = ord;
        self.put(frame)
    }

    fn put(&mut self, frame: &[u8]) -> Result<(), RelayError> {
        self.body.extend_from_slice(&length(frame.len())?);
        self.body.extend_from_slice(frame);
        Ok(())
    }
}

/// The frames of a stored row, with their numbers.
pub(crate) fn unpack(first: u64, body: &[u8]) -> Result<Vec<(Seq, &[u8])>, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("the log's row {first}"));
    let mut input = Input(body);
    let mut frames = Vec::new();
    let mut number = first;
    while !input.0.is_empty() {
        let size = input.length().map_err(|_| corrupt())?;
        let frame = input.take(size).map_err(|_| corrupt())?;
        frames.push((Seq::new(number).ok_or_else(corrupt)?, frame));
        number += 1;
    }
    Ok(frames)
}
