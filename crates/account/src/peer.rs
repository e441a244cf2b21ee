//! The keys of agents of other hosts, as this agent has seen them.
//!
//! What another host shows is proven by its signed repository, and still the host could show keys of its own making, or old ones.
//! So each agent keeps the latest epoch that it has seen of whom it writes to. What is shown next must go on from that, by the
//! proofs in it; and while the other host is away, a message is sealed to what is kept, and waits in the outbox.

use murmuration_data::cbor;
use murmuration_envelope::Recipient;
use murmuration_keyring::{KeyringError, PublishedKeys};
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;

use crate::{Account, AccountError};

/// Reads 1 row.
const SELECT: &str = "SELECT keys, proven_at FROM peer WHERE did = ?1";
/// Writes 1 row.
const STORE: &str = "INSERT INTO peer (did, keys, proven_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (did) DO UPDATE SET keys = excluded.keys, proven_at = excluded.proven_at";

/// What another host shows of an agent's keys.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A record that its repository was proven to hold.
    Keys(&'a PublishedKeys),
    /// Its repository was proven to hold none.
    Nothing,
    /// Nothing that is proven: the host is away, or does not say.
    Unknown,
}

impl Account {
    /// An agent of another host, to be sealed to. `believe` says that what is shown counts although it does not go on from what
    /// was seen before: then it is what later keys must go on from.
    ///
    /// Writes 1 row when the agent is met for the first time or its keys are others, and once in [`PROVEN_AGAIN_MICROS`].
    ///
    /// # Errors
    /// [`AccountError::PeerChanged`] when the keys do not go on from those that were seen; [`AccountError::PeerHasNoKeys`] when it
    /// publishes none that are valid; [`AccountError::PeerUnknown`] when nothing is shown, and nothing that is not too old was seen.
    pub fn peer(
        &self,
        did: &Did,
        shown: Shown<'_>,
        believe: bool,
        now: u64,
    ) -> Result<Recipient, AccountError> {
        // The tables are brought up to date with the account's.
        self.read(|_| Ok(()))?;
        let seen = self.seen(did)?;
        let changed = |error| AccountError::PeerChanged(did.clone(), error);
        let keys = match (shown, seen) {
            (Shown::Keys(keys), seen) => {
                let judged = seen.as_ref().map_or(Ok(()), |(seen, _)| keys.goes_on_from(&seen.seen()));
                if !believe {
                    judged.map_err(changed)?;
                }
                let latest = keys.without_past();
                let known = seen.is_some_and(|(seen, at)| {
                    seen.seen() == latest.seen() && now.saturating_sub(at) < PROVEN_AGAIN_MICROS
                });
                if !known {
                    self.note(did, &latest, now)?;
                }
                // Those of it that are valid now, not only the latest: it may begin later.
                keys.clone()
            }
            (Shown::Nothing, Some((seen, _))) if !believe => {
                return Err(changed(KeyringError::RolledBack(seen.current().number())));
            }
            (Shown::Nothing, _) => return Err(AccountError::PeerHasNoKeys(did.clone())),
            (Shown::Unknown, Some((seen, at))) if now.saturating_sub(at) <= UNPROVEN_MICROS => seen,
            (Shown::Unknown, _) => return Err(AccountError::PeerUnknown(did.clone())),
        };
        keys.recipient(now).map_err(|_| AccountError::PeerHasNoKeys(did.clone()))
    }

    fn seen(&self, did: &Did) -> Result<Option<(PublishedKeys, u64)>, AccountError> {
        let Some(mut row) = self.store.query(SELECT, &[Param::Text(did.as_str())])?.pop() else {
            return Ok(None);
        };
        let keys = PublishedKeys::from_ipld(did, cbor::decode(&row.blob(0)?)?)?;
        let at = u64::try_from(row.int(1)?).map_err(|_| StoreError::Corrupt("a time is negative".into()))?;
        Ok(Some((keys, at)))
    }

    fn note(&self, did: &Did, keys: &PublishedKeys, now: u64) -> Result<(), AccountError> {
        let keys = cbor::encode(&keys.to_ipld())?;
        // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let row = [Param::Text(did.as_str()), Param::Blob(&keys), Param::Int(now)];
        Ok(self.store.query(STORE, &row).map(drop)?)
    }
}

/// Microseconds after which a proof is noted again: four rows a day for an agent that is written to all day.
const PROVEN_AGAIN_MICROS: u64 = 6 * 60 * 60 * 1_000_000;

/// Microseconds for which keys are sealed to that nobody proves any more. An agent drops the secrets of an epoch 14 days after it
/// ended, which may have been right after the proof, and a message may wait for three days in the outbox.
pub const UNPROVEN_MICROS: u64 = 10 * 24 * 60 * 60 * 1_000_000;
