//! What a peer has said: a frame of its stream, sorted by what is to be done with it.

use murmuration_data::{Ipld, cbor};
use murmuration_firehose::{Event, FirehoseError, Frame};
use murmuration_syntax::Did;

/// A frame of a peer.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum Said {
    /// An event.
    Event(u64, Event),
    /// An event of an account that is not as the lexicon has it: whatever it was to say is lost.
    Broken(u64, Did),
    /// Nothing that matters.
    Nothing,
    /// The peer ends the stream, for the reason of this name.
    Ended(String),
    /// No frame. The stream is of no use from here on.
    Garbage,
}

impl Said {
    /// Reads a frame.
    pub(super) fn of(frame: &[u8]) -> Self {
        match Frame::decode(frame) {
            Ok(Frame::Event { seq, event }) => Self::Event(seq.get(), event),
            Ok(Frame::Error { error, .. }) => Self::Ended(name(error)),
            Err(FirehoseError::Field(_) | FirehoseError::TooLarge { .. }) => {
                broken(frame).unwrap_or(Self::Garbage)
            }
            Ok(_) | Err(FirehoseError::UnknownType(_)) => Self::Nothing,
            Err(_) => Self::Garbage,
        }
    }
}

/// Whose event this is that cannot be read, and its number.
fn broken(frame: &[u8]) -> Option<Said> {
    let (_, length) = cbor::decode_prefix(frame).ok()?;
    let Ipld::Map(fields) = cbor::decode(frame.get(length..)?).ok()? else { return None };
    let Ipld::Integer(seq) = fields.get("seq")? else { return None };
    let Ipld::String(did) = fields.get("repo").or_else(|| fields.get("did"))? else { return None };
    Some(Said::Broken(u64::try_from(*seq).ok()?, Did::parse(did).ok()?))
}

/// An error's name as it may be shown: a stranger has chosen it.
fn name(error: String) -> String {
    let is_name = !error.is_empty() && error.len() <= 64 && error.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_name { error } else { "an error without a name".to_owned() }
}
