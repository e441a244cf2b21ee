//! Drafts and frames: encode once, splice the sequence number in.
//!
//! A draft is four bytes, the big-endian offset of the splice, and then the whole frame without the value of `seq`. The
//! offset counts from the frame's first byte. What stands before it always ends with the key `seq`, which is how a
//! damaged draft is told.

use murmuration_data::cbor::Writer;

use crate::{FirehoseError, Seq};

/// Bytes of the offset in front of a draft.
const OFFSET_BYTES: usize = 4;
/// The key `seq`, as DAG-CBOR.
const SEQ_KEY: [u8; 4] = *b"\x63seq";

/// Finishes a draft under a sequence number: one copy, nothing decoded.
///
/// # Errors
/// [`FirehoseError::Draft`] when the bytes are not a draft.
pub fn frame(draft: &[u8], seq: Seq) -> Result<Vec<u8>, FirehoseError> {
    let (head, tail) = split(draft).ok_or(FirehoseError::Draft)?;
    let mut number = Writer::new();
    number.uint(seq.get());
    let number = number.into_bytes();
    let mut frame = Vec::with_capacity(head.len() + number.len() + tail.len());
    frame.extend_from_slice(head);
    frame.extend_from_slice(&number);
    frame.extend_from_slice(tail);
    Ok(frame)
}

/// Whether [`frame`] will take these bytes. A sequencer asks before it gives numbers away.
#[must_use]
pub fn draft_is_sound(draft: &[u8]) -> bool {
    split(draft).is_some()
}

/// An `#info` frame, which has no sequence number and is never stored.
#[must_use]
pub fn info_frame(name: &str, message: &str) -> Vec<u8> {
    let mut cbor = Writer::new();
    write_header(&mut cbor, "#info");
    cbor.map(2);
    cbor.text("name");
    cbor.text(name);
    cbor.text("message");
    cbor.text(message);
    cbor.into_bytes()
}

/// An error frame; the stream is closed right after it.
#[must_use]
pub fn error_frame(error: &str, message: &str) -> Vec<u8> {
    let mut cbor = Writer::new();
    cbor.map(1);
    cbor.text("op");
    cbor.int(-1);
    cbor.map(2);
    cbor.text("error");
    cbor.text(error);
    cbor.text("message");
    cbor.text(message);
    cbor.into_bytes()
}

/// Writes a frame up to its sequence number, then what follows it.
pub(crate) struct DraftWriter {
    head: Writer,
    tail: Writer,
}

impl DraftWriter {
    /// Begins a frame whose payload has `fields` fields, `seq` included.
    pub(crate) fn begin(tag: &str, fields: usize) -> Self {
        let mut head = Writer::new();
        write_header(&mut head, tag);
        head.map(fields);
        Self { head, tail: Writer::new() }
    }

    /// The part before `seq`.
    pub(crate) fn head(&mut self) -> &mut Writer {
        &mut self.head
    }

    /// Writes the key `seq`, and gives the part after its value.
    pub(crate) fn seq(&mut self) -> &mut Writer {
        self.head.text("seq");
        &mut self.tail
    }

    /// The draft.
    pub(crate) fn finish(self) -> Result<Vec<u8>, FirehoseError> {
        let (head, tail) = (self.head.into_bytes(), self.tail.into_bytes());
        let offset = u32::try_from(head.len()).map_err(|_| FirehoseError::Draft)?;
        let mut draft = Vec::with_capacity(OFFSET_BYTES + head.len() + tail.len());
        draft.extend_from_slice(&offset.to_be_bytes());
        draft.extend_from_slice(&head);
        draft.extend_from_slice(&tail);
        Ok(draft)
    }
}

fn write_header(cbor: &mut Writer, tag: &str) {
    cbor.map(2);
    cbor.text("t");
    cbor.text(tag);
    cbor.text("op");
    cbor.uint(1);
}

/// What stands in a draft before its sequence number.
pub(crate) fn head(draft: &[u8]) -> Option<&[u8]> {
    split(draft).map(|(head, _)| head)
}

fn split(draft: &[u8]) -> Option<(&[u8], &[u8])> {
    let (offset, frame) = draft.split_first_chunk::<OFFSET_BYTES>()?;
    let offset = usize::try_from(u32::from_be_bytes(*offset)).ok()?;
    let (head, tail) = frame.split_at_checked(offset)?;
    (head.ends_with(&SEQ_KEY) && !tail.is_empty()).then_some((head, tail))
}
