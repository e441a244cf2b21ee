//! What a call has of the blob storage: bytes that were fetched for it, and bytes that it wants stored.
//!
//! A turn is synchronous and the blob storage is not. So a turn that wants bytes from there notes it here and fails with
//! [`MemoryError::Elsewhere`](crate::MemoryError::Elsewhere), and nothing is written; whoever has made the call brings them, or stores what the turn has
//! sealed, and makes the same call again, with the same time.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_data::Cid;
use murmuration_envelope::ApartKey;

/// The desk of one call.
#[derive(Debug, Default)]
pub struct Desk {
    /// Bytes by their names; `None` where there are none.
    brought: BTreeMap<String, Option<Vec<u8>>>,
    wanted: BTreeSet<String>,
    outgoing: Vec<Outgoing>,
    stored: Vec<Stored>,
}

/// A record that is sealed, and to be stored before a row names it.
#[derive(Debug)]
struct Outgoing {
    sealed: Vec<u8>,
    stored: Stored,
}

/// A record that lies in the blob storage, and that no row names yet.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) cid: Cid,
    pub(crate) key: ApartKey,
    pub(crate) bytes: u64,
}

impl Desk {
    /// Whether the call is to be made again once [`Self::wanted`] was brought and [`Self::outgoing`] stored.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.wanted.is_empty() || !self.outgoing.is_empty()
    }

    /// The names of bytes that are wanted.
    #[must_use]
    pub fn wanted(&self) -> Vec<String> {
        self.wanted.iter().cloned().collect()
    }

    /// Takes bytes that were wanted; `None` where there are none under that name.
    pub fn bring(&mut self, name: &str, bytes: Option<Vec<u8>>) {
        self.wanted.remove(name);
        self.brought.insert(name.to_owned(), bytes);
    }

    /// What is to be stored: names, and bytes.
    pub fn outgoing(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.outgoing.iter().map(|outgoing| (outgoing.stored.name.as_str(), outgoing.sealed.as_slice()))
    }

    /// Notes that all of [`Self::outgoing`] is stored.
    pub fn sent(&mut self) {
        self.stored.extend(self.outgoing.drain(..).map(|outgoing| outgoing.stored));
    }

    /// The names of all that was stored or is to be.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let outgoing = self.outgoing.iter().map(|outgoing| &outgoing.stored);
        outgoing.chain(&self.stored).map(|stored| stored.name.clone()).collect()
    }

    /// Bytes that were brought; otherwise notes that they are wanted. The inner `None`: there are none.
    pub(crate) fn take_up(&mut self, name: &str) -> Option<Option<&[u8]>> {
        if !self.brought.contains_key(name) {
            self.wanted.insert(name.to_owned());
        }
        self.brought.get(name).map(Option::as_deref)
    }

    /// What is stored of a record.
    pub(crate) fn stored_of(&self, cid: &Cid) -> Vec<Stored> {
        self.stored.iter().filter(|stored| stored.cid == *cid).cloned().collect()
    }

    /// Wants a record to be stored.
    pub(crate) fn send(&mut self, stored: Stored, sealed: Vec<u8>) {
        self.outgoing.push(Outgoing { sealed, stored });
    }
}
