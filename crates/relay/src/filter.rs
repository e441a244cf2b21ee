//! Which events a reader of `agent.relay.subscribeEvents` wants.
//!
//! A name is an NSID, or the beginning of one up to a dot and then a star: `agent.comms.*` is everything below
//! `agent.comms`, and neither `agent.comms` itself nor `agent.commsX.y`. There is no other pattern. The topic of a broadcast is a
//! name, too: it stands among those of collections, as if each topic were a collection within that of broadcasts.
//!
//! A filter is kept as 64 bits of the SHA-256 of each name, so that the largest fits what the platform keeps with a
//! sleeping socket, and costs no row. A name that somebody has made to hash like another's would show a reader an event
//! that it has not asked for: events are public, and each says whose it is.

use std::collections::BTreeSet;

use data_encoding::BASE64_NOPAD;
use murmuration_firehose::Glance;
use murmuration_syntax::{Did, Nsid};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::limits::{
    MAX_EVENT_BYTES, MAX_PREFIX_SEGMENTS, MAX_TOPIC_BYTES, MAX_WANTED_COLLECTIONS, MAX_WANTED_DIDS,
    MAX_WANTED_TOPICS,
};
use crate::topic::{BROADCAST, topics};

/// What a reader of events wants. The default is everything, without the records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// And topics. Sorted; empty for all.
    collections: Vec<u64>,
    /// Sorted; empty for all.
    dids: Vec<u64>,
    records: bool,
    max_bytes: usize,
}

/// Why a filter is none.
#[derive(Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum FilterError {
    /// More names than a filter may have.
    #[error("at most {limit} {what} can be wanted")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Neither an NSID nor the beginning of one.
    #[error("{0:?} is neither an NSID nor the beginning of one before \".*\"")]
    Collection(String),
    /// Too long for a topic, or empty.
    #[error("a topic has 1 to {MAX_TOPIC_BYTES} bytes")]
    Topic,
    /// Not a DID.
    #[error("{0:?} is not a DID")]
    Did(String),
}

impl Default for Filter {
    fn default() -> Self {
        Self { collections: Vec::new(), dids: Vec::new(), records: false, max_bytes: MAX_EVENT_BYTES }
    }
}

impl Filter {
    /// Reads what is wanted; no collections are all, and so are no DIDs.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse(collections: &[&str], dids: &[&str]) -> Result<Self, FilterError> {
        if collections.len() > MAX_WANTED_COLLECTIONS {
            return Err(FilterError::TooMany { what: "collections", limit: MAX_WANTED_COLLECTIONS });
        }
        if dids.len() > MAX_WANTED_DIDS {
            return Err(FilterError::TooMany { what: "DIDs", limit: MAX_WANTED_DIDS });
        }
        let mut filter = Self::default();
        for name in collections {
            if !is_pattern(name) {
                return Err(FilterError::Collection((*name).to_owned()));
            }
            filter.collections.push(key(name));
        }
        for did in dids {
            Did::parse(did).map_err(|_| FilterError::Did((*did).to_owned()))?;
            filter.dids.push(key(did));
        }
        for keys in [&mut filter.collections, &mut filter.dids] {
            keys.sort_unstable();
            keys.dedup();
        }
        Ok(filter)
    }

    /// The same, and the commits that write broadcasts of these topics: of no others, if no collection is wanted.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn with_topics(mut self, topics: &[&str]) -> Result<Self, FilterError> {
        if topics.len() > MAX_WANTED_TOPICS {
            return Err(FilterError::TooMany { what: "topics", limit: MAX_WANTED_TOPICS });
        }
        for topic in topics {
            if !(1..=MAX_TOPIC_BYTES).contains(&topic.len()) {
                return Err(FilterError::Topic);
            }
            self.collections.push(topic_key(topic));
        }
        self.collections.sort_unstable();
        self.collections.dedup();
        Ok(self)
    }

    /// The same, with the records that were written.
    #[must_use]
    pub fn with_records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    /// The same, without messages of more bytes; 0 for as many as there may be.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.max_bytes = if bytes == 0 { MAX_EVENT_BYTES } else { bytes.min(MAX_EVENT_BYTES) };
        self
    }

    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, sight: &Sight) -> bool {
        (self.dids.is_empty() || self.dids.binary_search(&sight.did).is_ok()) && self.wants_of(sight)
    }

    /// Whether an event is wanted, if its account is. Only of commits is the collection asked.
    pub(crate) fn wants_of(&self, sight: &Sight) -> bool {
        let wanted = |key: &u64| self.collections.binary_search(key).is_ok();
        self.collections.is_empty()
            || sight.collections.as_ref().is_none_or(|collections| collections.iter().any(wanted))
    }

    /// The collections that are wanted, as a [`Sight`] has them.
    pub(crate) fn collections(&self) -> &[u64] {
        &self.collections
    }

    /// The accounts that are wanted, as a [`Sight`] has them.
    pub(crate) fn dids(&self) -> &[u64] {
        &self.dids
    }

    /// How many names the filter has.
    pub(crate) fn names(&self) -> usize {
        self.collections.len() + self.dids.len()
    }

    /// Whether the records are wanted, too.
    pub(crate) const fn records(&self) -> bool {
        self.records
    }

    /// Bytes of the largest message that is wanted.
    pub(crate) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Writes the filter, to be kept with a socket.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.names() * KEY_BYTES);
        bytes.push(u8::from(self.records));
        for number in [self.max_bytes, self.collections.len()] {
            bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        }
        for key in self.collections.iter().chain(&self.dids) {
            bytes.extend_from_slice(&key.to_be_bytes());
        }
        BASE64_NOPAD.encode(&bytes)
    }

    /// Reads what [`Filter::encode`] has written.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64_NOPAD.decode(text.as_bytes()).ok()?;
        let (head, keys) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [records, m0, m1, m2, m3, c0, c1, c2, c3] = *head;
        let collections = usize::try_from(u32::from_be_bytes([c0, c1, c2, c3])).ok()?;
        let (keys, rest) = keys.as_chunks::<KEY_BYTES>();
        let (collections, dids) = keys.split_at_checked(collections)?;
        let keys = |keys: &[[u8; KEY_BYTES]]| keys.iter().copied().map(u64::from_be_bytes).collect();
        rest.is_empty().then_some(Self {
            collections: keys(collections),
            dids: keys(dids),
            records: records == 1,
            max_bytes: usize::try_from(u32::from_be_bytes([m0, m1, m2, m3])).ok()?,
        })
    }
}

/// What a filter sees of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sight {
    pub(crate) did: u64,
    /// Of each collection that a commit touches its name and every beginning that could be wanted, and of each broadcast its topic,
    /// each once; `None` for what is no commit.
    pub(crate) collections: Option<Vec<u64>>,
}

impl Sight {
    /// What is seen of a frame. What this host has not written itself is nothing that can be seen.
    #[must_use]
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        let glance = Glance::of(frame).ok()?;
        let mut sight = Self::of(&glance);
        if let Some(keys) = sight.collections.as_mut()
            && glance.collections.is_some_and(|collections| collections.contains(BROADCAST))
        {
            keys.extend(topics(frame).iter().map(|topic| topic_key(topic)));
            keys.sort_unstable();
            keys.dedup();
        }
        Some(sight)
    }

    /// What is seen of an event, but for topics.
    #[must_use]
    pub fn of(glance: &Glance<'_>) -> Self {
        let collections = glance.collections.as_ref().map(|collections| {
            let mut keys = BTreeSet::new();
            for collection in collections {
                keys.insert(key(collection));
                for (at, _) in collection.match_indices('.').take(MAX_PREFIX_SEGMENTS) {
                    // INVARIANT: the index is that of a dot, so the slice ends within the text and between two letters.
                    keys.insert(key(&format!("{}.*", &collection[..at])));
                }
            }
            keys.into_iter().collect()
        });
        Self { did: key(glance.did), collections }
    }
}

/// Whether this is an NSID, or the beginning of one before `.*`.
fn is_pattern(name: &str) -> bool {
    let Some(prefix) = name.strip_suffix(".*") else { return Nsid::parse(name).is_ok() };
    // What stands before the star must be such that an NSID could go on from there.
    prefix.split('.').count() <= MAX_PREFIX_SEGMENTS && Nsid::parse(&format!("{prefix}.a.a")).is_ok()
}

/// What stands for a topic: no collection has such a name.
fn topic_key(topic: &str) -> u64 {
    key(&format!("{BROADCAST}#{topic}"))
}

/// 64 bits that stand for a name.
fn key(name: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// Bytes of a name that is kept.
const KEY_BYTES: usize = 8;
/// Bytes before the names: a flag and two numbers.
const HEAD_BYTES: usize = 9;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::ATTACHMENT_BYTES;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn sees(did: &str, collections: &[&str]) -> Sight {
        let collections = Some(collections.iter().copied().collect());
        Sight::of(&Glance { did, collections })
    }

    fn wants(pattern: &str, collection: &str) -> bool {
        Filter::parse(&[pattern], &[]).unwrap().wants(&sees(DID, &[collection]))
    }

    #[test]
    fn a_star_stands_behind_a_dot_and_for_whole_segments() {
        assert!(wants("agent.comms.message", "agent.comms.message"));
        assert!(wants("agent.comms.*", "agent.comms.message"));
        assert!(wants("agent.*", "agent.comms.message"));
        assert!(wants("agent.comms.*", "agent.comms.deep.down"));
        for (pattern, other) in [
            ("agent.comms.*", "agent.commsX.message"),
            ("agent.comms.*", "agent.comm.message"),
            ("agent.comms.message", "agent.comms.messages"),
            ("agent.comms.message", "agent.comms.Message"),
            ("agent.comms.message.*", "agent.comms.message"),
            ("comms.agent.*", "agent.comms.message"),
        ] {
            assert!(!wants(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn what_is_neither_an_nsid_nor_the_beginning_of_one_is_refused() {
        let long = format!("{}*", "a.".repeat(MAX_PREFIX_SEGMENTS + 1));
        for bad in [
            "",
            "*",
            ".*",
            "agent",
            "agent.comms",
            "agent.*.message",
            "agent.comms*",
            "agent.comms.",
            "agent..*",
            "*.comms.message",
            "agent.com*",
            "agent.comms.**",
            "agent.comms.*.*",
            "agent.-x.*",
            "ägent.comms.*",
            "agent.comms.mes sage",
            &long,
        ] {
            assert_eq!(Filter::parse(&[bad], &[]), Err(FilterError::Collection(bad.to_owned())), "{bad}");
        }
        for bad in ["", "did:plc", "alice.test", "did:PLC:x", "*"] {
            assert_eq!(Filter::parse(&[], &[bad]), Err(FilterError::Did(bad.to_owned())));
        }
    }

    #[test]
    fn only_so_many_names_are_taken() {
        let names: Vec<String> = (0..=MAX_WANTED_DIDS).map(|n| format!("did:web:a{n}.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(Filter::parse(&[], &names[1..]).is_ok());
        assert!(matches!(
            Filter::parse(&[], &names),
            Err(FilterError::TooMany { limit: MAX_WANTED_DIDS, .. })
        ));
        let names = vec!["a.b.c"; MAX_WANTED_COLLECTIONS + 1];
        assert!(matches!(Filter::parse(&names, &[]), Err(FilterError::TooMany { .. })));
        let topics = vec!["t"; MAX_WANTED_TOPICS + 1];
        assert!(Filter::default().with_topics(&topics[1..]).is_ok());
        assert!(matches!(Filter::default().with_topics(&topics), Err(FilterError::TooMany { .. })));
        for bad in ["", &"t".repeat(MAX_TOPIC_BYTES + 1)] {
            assert_eq!(Filter::default().with_topics(&[bad]), Err(FilterError::Topic));
        }
    }

    #[test]
    fn both_lists_must_agree_and_an_empty_one_agrees_to_all() {
        let filter = Filter::parse(&["a.b.c"], &[DID]).unwrap();
        assert!(filter.wants(&sees(DID, &["x.y.z", "a.b.c"])));
        assert!(!filter.wants(&sees(DID, &["x.y.z"])));
        assert!(!filter.wants(&sees("did:web:other.test", &["a.b.c"])));
        assert!(!filter.wants(&sees(DID, &[])), "a commit without operations");
        assert!(filter.wants(&Sight::of(&Glance { did: DID, collections: None })), "no commit");
        assert!(Filter::default().wants(&sees(DID, &[])));
    }

    #[test]
    fn the_largest_filter_survives_the_trip_and_fits_the_platform() {
        let names: Vec<String> = (0..MAX_WANTED_DIDS).map(|n| format!("did:web:a{n}.test")).collect();
        let collections: Vec<String> = (0..MAX_WANTED_COLLECTIONS).map(|n| format!("a.b.c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let collections: Vec<&str> = collections.iter().map(String::as_str).collect();
        let topics: Vec<String> =
            (0..MAX_WANTED_TOPICS).map(|n| format!("{n}{}", "t".repeat(MAX_TOPIC_BYTES - 3))).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let filter = Filter::parse(&collections, &names).unwrap().with_topics(&topics).unwrap();
        for filter in [filter.with_records(true).at_most(1000), Filter::default()] {
            let text = filter.encode();
            assert!(text.len() + 100 < ATTACHMENT_BYTES, "{}", text.len());
            assert_eq!(Filter::decode(&text), Some(filter));
            for bad in ["", "A", &text[1..], &text[..text.len() - 4]] {
                assert_ne!(Filter::decode(bad).map(|filter| filter.encode()).as_deref(), Some(text.as_str()));
            }
        }
    }
}
