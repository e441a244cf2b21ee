//! What an agent's object and the relay's say to each other.
//!
//! A push is the agent's own drafts, in order; an ack says how far they are in the log. Both are private to the host and
//! change together with it, so they are plain bytes after a version. Integers are big-endian.
//!
//! ```text
//! push  1  flags:u8 (1: first attempt)  did:u16+bytes  count:u32  { ord:u64  made_at:u64  draft:u32+bytes }*
//! purge 1  did:u16+bytes  before:u64
//! told  1  did:u16+bytes  count:u32  { collection:u32+bytes }*
//! ack   1  through:u64  first:u64 (0: none)  sequenced:u32  duplicates:u32
//! ```

use murmuration_firehose::{Seq, Touched, draft_is_sound, touched};
use murmuration_syntax::{Did, Nsid};

use crate::RelayError;
use crate::limits::{MAX_PUSH_BYTES, MAX_PUSH_ITEMS, MAX_TOLD_COLLECTIONS};

const VERSION: u8 = 1;
const FLAG_FRESH: u8 = 1;
/// 2^53 - 1: what survives the trip through a JavaScript number.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Events of one account, for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Push<'a> {
    /// Whose events they are.
    pub did: Did,
    /// True only if none of the items can have been pushed before: the object that made them is still running, and this
    /// is its first attempt. A relay that has forgotten the account then need not look for them in its log.
    pub fresh: bool,
    /// The events, `ord` strictly rising.
    pub items: Vec<Item<'a>>,
}

/// One event of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item<'a> {
    /// The account's own count of its events: later ones have higher numbers. Below 2^53.
    pub ord: u64,
    /// When the agent made it, in milliseconds since the Unix epoch, by its own clock.
    pub made_at: u64,
    /// The finished event without its sequence number.
    pub draft: &'a [u8],
}

/// What an account said before its event `before` is to go: the event that tells of its deletion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Purge {
    /// Whose events.
    pub did: Did,
    /// The account's own number of the first event that stays.
    pub before: u64,
}

/// How far an account's events are in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// The highest `ord` that is in the log. Everything up to it need not be kept for the relay's sake.
    pub through: u64,
    /// The sequence number of the first event that this push added; those after it follow without a gap.
    pub first: Option<Seq>,
    /// How many events were added.
    pub sequenced: u32,
    /// How many were in the log already.
    pub duplicates: u32,
}

impl<'a> Push<'a> {
    /// Writes the push.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, RelayError> {
        self.check()?;
        let payload: usize = self.items.iter().map(|item| item.draft.len() + 20).sum();
        let mut out = Vec::with_capacity(payload + self.did.as_str().len() + 8);
        out.push(VERSION);
        out.push(if self.fresh { FLAG_FRESH } else { 0 });
        put_did(&mut out, &self.did)?;
        out.extend_from_slice(&length(self.items.len())?);
        for item in &self.items {
            out.extend_from_slice(&item.ord.to_be_bytes());
            out.extend_from_slice(&item.made_at.to_be_bytes());
            out.extend_from_slice(&length(item.draft.len())?);
            out.extend_from_slice(item.draft);
        }
        Ok(out)
    }

    /// Reads a push; the drafts stay where they are.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed or over a limit.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RelayError> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return Err(RelayError::Push("version"));
        }
        let fresh = match input.u8()? {
            0 => false,
            FLAG_FRESH => true,
            _ => return Err(RelayError::Push("flags")),
        };
        let did = input.did()?;
        let count = input.length()?;
        if count > MAX_PUSH_ITEMS {
            return Err(RelayError::Push("too many items"));
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let (ord, made_at, size) = (input.u64()?, input.u64()?, input.length()?);
            items.push(Item { ord, made_at, draft: input.take(size)? });
        }
        if !input.0.is_empty() {
            return Err(RelayError::Push("trailing bytes"));
        }
        let push = Self { did, fresh, items };
        push.check()?;
        Ok(push)
    }

    /// Whether one of the events says that the repository has become another one.
    #[must_use]
    pub fn brings_another_repository(&self) -> bool {
        self.items.iter().any(|item| matches!(touched(item.draft), Ok(Touched::All)))
    }

    /// Whether the push keeps its promises: drafts that are drafts, within the limits, `ord` strictly rising.
    pub(crate) fn check(&self) -> Result<(), RelayError> {
        let mut last = None;
        let mut bytes = 0;
        for item in &self.items {
            if item.ord > MAX_INTEGER || last.is_some_and(|last| item.ord <= last) {
                return Err(RelayError::Push("ord"));
            }
            if !draft_is_sound(item.draft) || item.draft.len() > murmuration_firehose::MAX_DRAFT_BYTES {
                return Err(RelayError::Push("draft"));
            }
            last = Some(item.ord);
            bytes += item.draft.len();
        }
        if self.items.is_empty() || self.items.len() > MAX_PUSH_ITEMS || bytes > MAX_PUSH_BYTES {
            return Err(RelayError::Push("size"));
        }
        Ok(())
    }
}

/// What an account holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// The account.
    pub did: Did,
    /// The collections that it has records of.
    pub collections: Vec<Nsid>,
}

impl Told {
    /// Writes it.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, RelayError> {
        if self.collections.len() > MAX_TOLD_COLLECTIONS {
            return Err(RelayError::Push("too many collections"));
        }
        let mut out = vec![VERSION];
        put_did(&mut out, &self.did)?;
        out.extend_from_slice(&length(self.collections.len())?);
        for collection in &self.collections {
            out.extend_from_slice(&length(collection.as_str().len())?);
            out.extend_from_slice(collection.as_str().as_bytes());
        }
        Ok(out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed or over a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return Err(RelayError::Push("version"));
        }
        let (did, count) = (input.did()?, input.length()?);
        if count > MAX_TOLD_COLLECTIONS {
            return Err(RelayError::Push("too many collections"));
        }
        let mut collections = Vec::with_capacity(count);
        for _ in 0..count {
            let length = input.length()?;
            let text =
                std::str::from_utf8(input.take(length)?).map_err(|_| RelayError::Push("collection"))?;
            collections.push(Nsid::parse(text).map_err(|_| RelayError::Push("collection"))?);
        }
        if input.0.is_empty() {
            Ok(Self { did, collections })
        } else {
            Err(RelayError::Push("trailing bytes"))
        }
    }
}

impl Purge {
    /// Writes it.
    ///
    /// # Errors
    /// [`RelayError::Push`] when the DID is too long.
    pub fn encode(&self) -> Result<Vec<u8>, RelayError> {
        let mut out = vec![VERSION];
        put_did(&mut out, &self.did)?;
        out.extend_from_slice(&self.before.to_be_bytes());
        Ok(out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return Err(RelayError::Push("version"));
        }
        let purge = Self { did: input.did()?, before: input.u64()? };
        if input.0.is_empty() && purge.before <= MAX_INTEGER {
            Ok(purge)
        } else {
            Err(RelayError::Push("purge"))
        }
    }
}

impl Ack {
    /// Writes the ack.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.through.to_be_bytes());
        out.extend_from_slice(&self.first.map_or(0, Seq::get).to_be_bytes());
        out.extend_from_slice(&self.sequenced.to_be_bytes());
        out.extend_from_slice(&self.duplicates.to_be_bytes());
        out
    }

    /// Reads an ack.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return Err(RelayError::Push("version"));
        }
        let ack = Self {
            through: input.u64()?,
            first: Seq::new(input.u64()?),
            sequenced: input.u32()?,
            duplicates: input.u32()?,
        };
        if input.0.is_empty() { Ok(ack) } else { Err(RelayError::Push("trailing bytes")) }
    }
}

/// Big-endian integers and byte strings, taken off the front.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], RelayError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(RelayError::Push("truncated"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RelayError> {
        let (front, rest) = self.0.split_first_chunk().ok_or(RelayError::Push("truncated"))?;
        self.0 = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RelayError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, RelayError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, RelayError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RelayError> {
        self.array().map(u64::from_be_bytes)
    }

    fn did(&mut self) -> Result<Did, RelayError> {
        let length = self.u16()?;
        let text =
            std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| RelayError::Push("did"))?;
        Did::parse(text).map_err(|_| RelayError::Push("did"))
    }

    pub(crate) fn length(&mut self) -> Result<usize, RelayError> {
        usize::try_from(self.u32()?).map_err(|_| RelayError::Push("length"))
    }
}

fn put_did(out: &mut Vec<u8>, did: &Did) -> Result<(), RelayError> {
    let did = did.as_str().as_bytes();
    out.extend_from_slice(&u16::try_from(did.len()).map_err(|_| RelayError::Push("did"))?.to_be_bytes());
    out.extend_from_slice(did);
    Ok(())
}

pub(crate) fn length(count: usize) -> Result<[u8; 4], RelayError> {
    u32::try_from(count).map(u32::to_be_bytes).map_err(|_| RelayError::Push("length"))
}
