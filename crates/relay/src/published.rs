//! What the public index is told: the events that concern memories and profiles which everybody may see.
//!
//! The index reads the log by a cursor, as any reader does, and is poked when there is something for it. What is not for it costs a
//! look at the frame, as far as the names of its collections.

use murmuration_firehose::{Event, Frame, Glance};
use murmuration_platform::{Store, StoreError};

use crate::RelayError;
use crate::holdings;
use crate::limits::{MAX_PAGE_BYTES, TURN_SCAN_BYTES};
use crate::log::{Log, Scope};
use crate::wire::{Input, length};

/// The collections whose records are for the public index: memories, and what agents say of themselves.
pub const INDEXED: [&str; 7] = [
    "agent.identity.profile",
    "agent.memory.decision",
    "agent.memory.digest",
    "agent.memory.episode",
    "agent.memory.fact",
    "agent.memory.learning",
    "agent.memory.note",
];

/// Whether records of a collection are for the public index.
#[must_use]
pub fn is_indexed(collection: &str) -> bool {
    INDEXED.contains(&collection)
}

/// A stretch of the log for the index.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// Everything up to here was looked at.
    pub cursor: u64,
    /// Whether this is all that there is by now.
    pub at_head: bool,
    /// Frames in order, and whether each is of the host's own.
    pub frames: Vec<(bool, Vec<u8>)>,
}

impl Published {
    /// Reads what is for the index behind a cursor, and no more of the log than a turn may. Where what follows is gone, it goes on
    /// with what is left.
    pub(crate) fn read(store: &dyn Store, log: &Log, after: u64) -> Result<Self, RelayError> {
        let mut page = Self { cursor: after.clamp(log.earliest() - 1, log.head()), ..Self::default() };
        let (mut scanned, mut bytes) = (0, 0);
        while !page.at_head && scanned < TURN_SCAN_BYTES && bytes < MAX_PAGE_BYTES {
            let batch = log.read(store, page.cursor, Scope::All)?;
            for (seq, frame) in batch.frames {
                page.cursor = seq.get();
                scanned += frame.len();
                let own = !batch.of_peers.contains(&seq);
                if concerns(store, own, &frame)? {
                    bytes += frame.len();
                    page.frames.push((own, frame));
                }
            }
            page.at_head = batch.at_head;
        }
        if page.at_head {
            page.cursor = log.head();
        }
        Ok(page)
    }

    /// Writes it: the cursor, whether it is at the head, and each frame behind whose it is and its length.
    ///
    /// # Errors
    /// [`RelayError::Push`] when a frame is longer than any is.
    pub fn encode(&self) -> Result<Vec<u8>, RelayError> {
        let mut out = self.cursor.to_be_bytes().to_vec();
        out.push(u8::from(self.at_head));
        for (own, frame) in &self.frames {
            out.push(u8::from(*own));
            out.extend_from_slice(&length(frame.len())?);
            out.extend_from_slice(frame);
        }
        Ok(out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut input = Input(bytes);
        let mut page = Self { cursor: input.u64()?, at_head: input.u8()? != 0, frames: Vec::new() };
        while !input.0.is_empty() {
            let (own, length) = (input.u8()? != 0, input.length()?);
            page.frames.push((own, input.take(length)?.to_vec()));
        }
        Ok(page)
    }
}

/// Whether an event is for the index. Of this host's own accounts only those are that hold something of its kind; a peer's may.
pub(crate) fn concerns(store: &dyn Store, own: bool, frame: &[u8]) -> Result<bool, StoreError> {
    // What this host has not written itself is nothing that can be seen.
    let Ok(glance) = Glance::of(frame) else { return Ok(false) };
    if let Some(collections) = glance.collections {
        return Ok(collections.into_iter().any(is_indexed));
    }
    let Ok(Frame::Event { event, .. }) = Frame::decode(frame) else { return Ok(false) };
    match event {
        _ if !own => Ok(true),
        // The directory has the handles of this host's own.
        Event::Identity(_) => Ok(false),
        // One that has gone holds nothing any more.
        Event::Account(event) if event.inactive.is_some() => Ok(true),
        _ => holdings::holds_any(store, glance.did, &INDEXED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_survives_the_trip() {
        let frames = vec![(true, vec![1, 2]), (false, Vec::new())];
        let page = Published { cursor: 7, at_head: true, frames };
        let bytes = page.encode().unwrap_or_default();
        assert_eq!(Published::decode(&bytes).ok(), Some(page));
        for cut in [4, 8, 10, bytes.len() - 1] {
            let cut = Published::decode(bytes.get(..cut).unwrap_or_default());
            assert!(cut.is_err());
        }
    }
}
