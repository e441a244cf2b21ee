//! The record `agent.identity.keys/self`.

use std::collections::BTreeMap;

use murmuration_data::Ipld;
use murmuration_envelope::{EnvelopeError, Recipient};
use murmuration_syntax::{Did, datetime};

use crate::epoch::{check_did, moment};
use crate::{KeyringError, PublishedEpoch};

/// The keys that an agent publishes, oldest epoch first. What it holds is in order, and every proof in it is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedKeys {
    did: Did,
    epochs: Vec<PublishedEpoch>,
    updated_at: String,
}

/// The epoch of an agent that somebody saw last: what they keep to tell whether the next record is by the same agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    epoch: u32,
    digest: [u8; 32],
}

impl PublishedKeys {
    /// The record of an agent's first epoch.
    pub(crate) fn first(did: Did, epoch: PublishedEpoch, now: u64) -> Self {
        Self { did, epochs: vec![epoch], updated_at: moment(now) }
    }

    /// The record after one more epoch: the last one has ended, and the oldest goes if there are too many.
    pub(crate) fn followed_by(&self, next: PublishedEpoch, now: u64) -> Self {
        let mut epochs = self.epochs.clone();
        let last = epochs.pop().map(|last| last.ended(now));
        epochs.extend(last);
        epochs.push(next);
        let surplus = epochs.len().saturating_sub(MAX_PUBLISHED_EPOCHS);
        epochs.drain(..surplus);
        Self { did: self.did.clone(), epochs, updated_at: moment(now) }
    }

    /// Reads the keys that `did` publishes, and checks that each epoch follows the one before and is signed by it. The first
    /// that an agent ever has, number 1, is signed by itself. What is before the first that the record still holds, only
    /// who has seen it can tell: [`PublishedKeys::goes_on_from`].
    ///
    /// # Errors
    /// When it is none, epochs do not follow each other, or a proof is wrong.
    pub fn from_ipld(did: &Did, value: Ipld) -> Result<Self, KeyringError> {
        let Ipld::Map(mut fields) = value else { return Err(KeyringError::Form("record")) };
        let Some(Ipld::List(items)) = fields.remove("epochs") else {
            return Err(KeyringError::Form("epochs"));
        };
        let Some(Ipld::String(updated_at)) = fields.remove("updatedAt") else {
            return Err(KeyringError::Form("updatedAt"));
        };
        datetime::check(&updated_at).map_err(|_| KeyringError::Form("updatedAt"))?;
        check_did(did)?;
        if items.is_empty() || items.len() > MAX_PUBLISHED_EPOCHS {
            return Err(KeyringError::Form("epochs"));
        }
        let mut epochs: Vec<PublishedEpoch> = Vec::with_capacity(items.len());
        for item in items {
            let epoch = PublishedEpoch::read(did, item)?;
            match epochs.last() {
                None if epoch.number() == 1 => epoch.verify(did, epoch.signing_key())?,
                None => {}
                Some(before) => {
                    if before.number().checked_add(1) != Some(epoch.number()) {
                        return Err(KeyringError::Order(epoch.number()));
                    }
                    epoch.verify(did, before.signing_key())?;
                }
            }
            epochs.push(epoch);
        }
        Ok(Self { did: did.clone(), epochs, updated_at })
    }

    /// The record's value.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let epochs = self.epochs.iter().map(PublishedEpoch::to_ipld).collect();
        let fields = [
            ("$type", Ipld::String(COLLECTION.to_owned())),
            ("epochs", Ipld::List(epochs)),
            ("updatedAt", Ipld::String(self.updated_at.clone())),
        ];
        Ipld::Map(
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        )
    }

    /// The latest epoch alone: what a reader keeps to seal to while the agent's host is away, and to tell whether what it shows
    /// next is by the same agent.
    #[must_use]
    pub fn without_past(&self) -> Self {
        let (did, epochs) = (self.did.clone(), vec![self.current().clone()]);
        Self { did, epochs, updated_at: self.updated_at.clone() }
    }

    /// Whose keys they are.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The epochs, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[PublishedEpoch] {
        &self.epochs
    }

    /// The latest epoch.
    #[must_use]
    pub fn current(&self) -> &PublishedEpoch {
        #[expect(clippy::expect_used, reason = "the invariant beside it")]
        // INVARIANT: a record without epochs is not read, and none is made.
        self.epochs.last().expect("an epoch")
    }

    /// The agent, to be sealed to: by the strongest key that is valid at this time.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRecipientKey`] when none is.
    pub fn recipient(&self, now: u64) -> Result<Recipient, EnvelopeError> {
        let valid = self.epochs.iter().filter(|epoch| epoch.is_valid(now));
        let keys: Vec<_> = valid.flat_map(|epoch| epoch.encryption_keys().iter().cloned()).collect();
        Recipient::of(&keys)
    }

    /// What to keep of these keys.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let last = self.current();
        Seen { epoch: last.number(), digest: last.digest(&self.did) }
    }

    /// Checks that these keys are by the agent whose keys were seen before, and no older. The proofs from there on were
    /// checked when they were read.
    ///
    /// # Errors
    /// [`KeyringError::RolledBack`] when they end before the epoch that was seen; [`KeyringError::Discontinuity`] when
    /// that epoch is not among them, or was another.
    pub fn goes_on_from(&self, seen: &Seen) -> Result<(), KeyringError> {
        if self.current().number() < seen.epoch {
            return Err(KeyringError::RolledBack(seen.epoch));
        }
        let same = self.epochs.iter().find(|epoch| epoch.number() == seen.epoch);
        match same.is_some_and(|epoch| epoch.digest(&self.did) == seen.digest) {
            true => Ok(()),
            false => Err(KeyringError::Discontinuity(seen.epoch)),
        }
    }
}

impl Seen {
    /// The number of the epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SEEN_BYTES] {
        let mut bytes = [0; SEEN_BYTES];
        let (number, digest) = bytes.split_at_mut(4);
        number.copy_from_slice(&self.epoch.to_be_bytes());
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// Reads what [`Seen::to_bytes`] gives.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SEEN_BYTES]) -> Self {
        let [a, b, c, d, digest @ ..] = *bytes;
        Self { epoch: u32::from_be_bytes([a, b, c, d]), digest }
    }
}

/// The collection of the record.
pub const COLLECTION: &str = "agent.identity.keys";

/// Its record key.
pub const RKEY: &str = "self";

/// Epochs in a record at the most: 50 kB of keys, and with a rotation a month more than two years in which a reader may
/// look away (`agent.identity.keys`).
pub const MAX_PUBLISHED_EPOCHS: usize = 32;

/// Bytes of a [`Seen`].
pub const SEEN_BYTES: usize = 36;
