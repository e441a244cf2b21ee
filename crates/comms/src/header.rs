//! The header of a parcel: what the hosts on its way read, and the sender has signed.

use data_encoding::BASE32_NOPAD;
use murmuration_data::{Cid, Ipld};
use murmuration_syntax::{Did, Nsid, Tid, datetime};
use sha2::{Digest, Sha256};

use crate::CommsError;
use crate::fields::{self, Fields, map, moment, string};
use crate::limits::{MAX_THREAD_BYTES, MAX_TO};

/// What is said of a message outside of its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// The sender's name for it: no other message of the sender has it.
    pub id: Tid,
    /// The type of the record in the body.
    pub kind: Nsid,
    /// Who sent it.
    pub from: Did,
    /// Whom it is for: in order, each once.
    pub to: Vec<Did>,
    /// The thread that it is part of.
    pub thread: String,
    /// Its place among what the sender has sent in this thread, from 1.
    pub seq: u32,
    /// The parcel that the sender has sent before it in this thread; of the first, none.
    pub prev: Option<Cid>,
    /// When it was made, in microseconds since the Unix epoch, whole milliseconds.
    pub created_at: u64,
    /// When it ends to mean anything.
    pub expires_at: Option<u64>,
    /// From 1, the lowest, to 5.
    pub priority: u8,
}

impl Header {
    /// Reads a header from the data model.
    pub(crate) fn read(value: Ipld) -> Result<Self, CommsError> {
        let mut fields = Fields::of(value)?;
        let to = match fields.take("to")? {
            Ipld::List(items) => items,
            _ => return Err(CommsError::Form("to is no list")),
        };
        let to = to.into_iter().map(|item| match item {
            Ipld::String(text) => fields::did(&text),
            _ => Err(CommsError::Form("a recipient is no string")),
        });
        let header = Self {
            to: to.collect::<Result<_, _>>()?,
            id: Tid::parse(&fields.text("id")?).map_err(|_| CommsError::Form("the id is no TID"))?,
            kind: Nsid::parse(&fields.text("type")?).map_err(|_| CommsError::Form("the type is no NSID"))?,
            from: fields::did(&fields.text("from")?)?,
            thread: fields.text("thread")?,
            seq: fields.number("seq")?,
            prev: fields.link("prev")?,
            created_at: fields.moment("createdAt")?.ok_or(CommsError::Form("createdAt is missing"))?,
            expires_at: fields.moment("expiresAt")?,
            priority: u8::try_from(fields.number("priority")?).unwrap_or(u8::MAX),
        };
        fields.end()?;
        header.check()?;
        Ok(header)
    }

    /// The value of the data model.
    pub(crate) fn write(&self) -> Ipld {
        let mut fields = map([
            ("id", string(self.id.to_string())),
            ("type", string(self.kind.as_str())),
            ("from", string(self.from.as_str())),
            ("to", Ipld::List(self.to.iter().map(|did| string(did.as_str())).collect())),
            ("thread", string(self.thread.as_str())),
            ("seq", Ipld::Integer(self.seq.into())),
            ("createdAt", moment(self.created_at)),
            ("priority", Ipld::Integer(self.priority.into())),
        ]);
        fields.extend(self.prev.map(|cid| ("prev".to_owned(), Ipld::Link(cid))));
        fields.extend(self.expires_at.map(|at| ("expiresAt".to_owned(), moment(at))));
        Ipld::Map(fields)
    }

    /// Whether it can be one.
    pub(crate) fn check(&self) -> Result<(), CommsError> {
        let wrong = |rule| Err(CommsError::Form(rule));
        if !(1..=MAX_TO).contains(&self.to.len()) || !self.to.is_sorted_by(|left, right| left < right) {
            return wrong("the recipients are not 1 to 64, in order, each once");
        }
        if !(1..=MAX_THREAD_BYTES).contains(&self.thread.len()) {
            return wrong("the thread's name is not of 1 to 64 bytes");
        }
        if self.seq == 0 || (self.seq == 1) != self.prev.is_none() {
            return wrong("the first of a thread, and it alone, has none before it");
        }
        if !(1..=5).contains(&self.priority) {
            return wrong("the priority is not from 1 to 5");
        }
        let sayable = |at: u64| at.is_multiple_of(1000) && datetime::from_micros(at).is_ok();
        if !sayable(self.created_at) || !self.expires_at.is_none_or(sayable) {
            return wrong("a time is not in whole milliseconds");
        }
        Ok(())
    }
}

/// The thread of messages that name none: one for the agents who write each other, whoever of them writes.
#[must_use]
pub fn default_thread(from: &Did, to: &[Did]) -> String {
    let mut members: Vec<&str> = to.iter().chain([from]).map(Did::as_str).collect();
    members.sort_unstable();
    members.dedup();
    let digest = Sha256::digest(members.join(" "));
    let mut name = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    name.truncate(DEFAULT_THREAD_CHARS);
    name
}

/// Characters of a default thread's name: 130 bits of a hash.
const DEFAULT_THREAD_CHARS: usize = 26;
