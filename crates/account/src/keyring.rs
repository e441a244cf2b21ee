//! The agent's keys: their secrets in rows of their own, sealed, and what it publishes of them in its repository.
//!
//! An account has none until [`Account::start_epoch`] is called for the first time. The secrets and the record that
//! publishes them are written in one transaction, so neither is ever without the other. A secret that does not open is an
//! error; it is never replaced by a new one.

use std::rc::Rc;

use murmuration_data::cbor;
use murmuration_keyring::{COLLECTION, EpochSecrets, PublishedKeys, RKEY, Ring};
use murmuration_keys::seal;
use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_syntax::{Did, RepoPath};

use crate::account::{Account, Open};
use crate::{AccountError, Value, Write, WriteRequest, record};

/// Reads a row for each epoch that is still needed: one, and one more for each rotation that is not over.
const SELECT: &str = "SELECT epoch, secrets FROM key_epoch ORDER BY epoch";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO key_epoch (epoch, started_at, secrets) VALUES (?1, ?2, ?3)";

impl Account {
    /// Begins an epoch of keys, the agent's first or the next: makes the secrets, seals and stores them, and commits the
    /// record that publishes them, in one turn. 3 rows: the secrets, the record, the turn; and the share of a checkpoint.
    ///
    /// # Errors
    /// [`AccountError::ForeignKeys`] when the repository publishes keys that are not kept here; [`AccountError::Key`] when
    /// those that are kept here do not open. Nothing is changed then.
    pub fn start_epoch(&self, entropy: &dyn Entropy, now: u64) -> Result<Rc<Ring>, AccountError> {
        self.change(|open| {
            let did = open.profile.did.clone();
            let held = self.held(open)?;
            let shown = published(&*self.store, &did)?;
            let (ring, published) = match (held, shown) {
                (None, None) => Ring::begin(&did, entropy, now)?,
                (Some(ring), Some(shown)) if ring.check(&shown).is_ok() => {
                    ring.advance(&shown, entropy, now)?
                }
                _ => return Err(AccountError::ForeignKeys),
            };
            self.insert(ring.current(), &did, entropy, now)?;
            let write = Write::Put { path: path()?, value: value(&published)?, swap: None };
            let request = WriteRequest { writes: vec![write], ..WriteRequest::default() };
            let (_, draft) = open.commit(&*self.store, &request, now)?;
            open.end_turn(&draft.into_iter().collect::<Vec<_>>(), now)?;
            let ring = Rc::new(ring);
            open.ring = Some(Rc::clone(&ring));
            Ok(ring)
        })
    }

    /// The agent's keys, to seal and open with: all epochs that something may still be sealed to.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if none are kept here; [`AccountError::Key`] if they do not open.
    pub fn ring(&self) -> Result<Rc<Ring>, AccountError> {
        self.read(|open| self.held(open)?.ok_or(AccountError::NoKeys))
    }

    /// What the repository publishes of the agent's keys, wherever their secrets are.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if it publishes none; [`AccountError::Keyring`] if that record is not what it must be.
    pub fn published_keys(&self) -> Result<PublishedKeys, AccountError> {
        self.read(|open| published(&*self.store, &open.profile.did)?.ok_or(AccountError::NoKeys))
    }

    /// The ring, from memory or from storage; `None` if no keys are kept here.
    fn held(&self, open: &mut Open) -> Result<Option<Rc<Ring>>, AccountError> {
        if open.ring.is_none() {
            let did = &open.profile.did;
            let mut epochs = Vec::new();
            for mut row in self.store.query(SELECT, &[])? {
                let number = u32::try_from(row.int(0)?)
                    .map_err(|_| StoreError::Corrupt("an epoch of keys has no number".into()))?;
                let secrets = seal::open(&self.kek, &secrets_name(did, number), &row.blob(1)?)?;
                epochs.push(EpochSecrets::from_bytes(number, &secrets)?);
            }
            if !epochs.is_empty() {
                open.ring = Some(Rc::new(Ring::new(did.clone(), epochs)?));
            }
        }
        Ok(open.ring.clone())
    }

    fn insert(
        &self,
        secrets: &EpochSecrets,
        did: &Did,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(), AccountError> {
        let mut nonce = [0; seal::NONCE_BYTES];
        entropy.fill(&mut nonce);
        let number = secrets.number();
        let sealed = seal::seal(&self.kek, nonce, &secrets_name(did, number), &secrets.to_bytes());
        // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let params = [Param::Int(number.into()), Param::Int(now), Param::Blob(&sealed)];
        Ok(self.store.query(INSERT, &params).map(drop)?)
    }
}

/// What the repository publishes of the keys of `did`, if it does.
fn published(store: &dyn Store, did: &Did) -> Result<Option<PublishedKeys>, AccountError> {
    let Some(stored) = record::one(store, &path()?.to_string())? else { return Ok(None) };
    Ok(Some(PublishedKeys::from_ipld(did, cbor::decode(&stored.value)?)?))
}

fn value(published: &PublishedKeys) -> Result<Value, AccountError> {
    Ok(Value::new(cbor::encode(&published.to_ipld())?, Vec::new(), None))
}

fn path() -> Result<RepoPath, AccountError> {
    RepoPath::parse(&format!("{COLLECTION}/{RKEY}"))
        .map_err(|error| AccountError::InvalidWrite(error.to_string()))
}

/// What the sealed secrets of an epoch are bound to: whose they are, and what for.
fn secrets_name(did: &Did, epoch: u32) -> Vec<u8> {
    format!("{did} epoch {epoch}").into_bytes()
}
