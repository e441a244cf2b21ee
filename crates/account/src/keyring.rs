//! The agent's keys: their secrets in rows of their own, sealed, and what it publishes of them in its repository.
//!
//! An account has none until [`Account::start_epoch`] is called for the first time. The secrets and the record that
//! publishes them are written in one transaction, so neither is ever without the other. A secret that does not open is an
//! error; it is never replaced by a new one.

use std::rc::Rc;

use murmuration_data::cbor;
use murmuration_keyring::{COLLECTION, EpochSecrets, KeyringError, PublishedKeys, RKEY, Ring};
use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_syntax::{Did, RepoPath};

use crate::account::{Account, Open};
use crate::{AccountError, Value, Write, WriteRequest, record};

/// Reads a row for each epoch that is still needed: one, and one more for each rotation that is not over.
const SELECT: &str = "SELECT epoch, secrets FROM key_epoch ORDER BY epoch";
/// Reads 1 row.
const SELECT_ONE: &str = "SELECT epoch FROM key_epoch LIMIT 1";
/// Writes 1 row.
const INSERT: &str = "INSERT INTO key_epoch (epoch, started_at, secrets, named) VALUES (?1, ?2, ?3, ?4)";

impl Account {
    /// Begins an epoch of keys, the agent's first or the next: makes the secrets, seals and stores them, and commits the
    /// record that publishes them, in one turn. 3 rows: the secrets, the record, the turn; and the share of a checkpoint.
    ///
    /// # Errors
    /// [`AccountError::ForeignKeys`] when the repository publishes keys that are not kept here; [`AccountError::Key`] when
    /// those that are kept here do not open. Nothing is changed then.
    pub fn start_epoch(&self, entropy: &dyn Entropy, now: u64) -> Result<Rc<Ring>, AccountError> {
        self.change(|open| self.begin_epoch(open, None, true, entropy, now))
    }

    /// The agent's keys, to seal and open with: all epochs that something may still be sealed to.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if none are kept here; [`AccountError::Key`] if they do not open.
    pub fn ring(&self) -> Result<Rc<Ring>, AccountError> {
        self.read(|open| self.held(open)?.ok_or(AccountError::NoKeys))
    }

    /// Whether the agent's keys are kept here. Reads a row, and opens nothing.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn keeps_keys(&self) -> Result<bool, AccountError> {
        self.profile()?;
        self.keeps_any()
    }

    /// What the repository publishes of the agent's keys, wherever their secrets are.
    ///
    /// # Errors
    /// [`AccountError::NoKeys`] if it publishes none; [`AccountError::Keyring`] if that record is not what it must be.
    pub fn published_keys(&self) -> Result<PublishedKeys, AccountError> {
        self.read(|open| published(&*self.store, &open.profile.did)?.ok_or(AccountError::NoKeys))
    }

    /// Takes in the keys that the agent had on another host: those of the epochs that its repository publishes, the latest among them.
    /// Writes a row for each, and says which is the latest.
    ///
    /// # Errors
    /// [`AccountError::KeysHere`] when keys are kept here; [`AccountError::NoKeys`] when the repository publishes none;
    /// [`AccountError::ForeignKeys`] when it publishes others.
    pub fn import_keys(
        &self,
        epochs: Vec<EpochSecrets>,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<u32, AccountError> {
        self.change(|open| {
            let did = open.profile.did.clone();
            if self.held(open)?.is_some() {
                return Err(AccountError::KeysHere);
            }
            let shown = published(&*self.store, &did)?.ok_or(AccountError::NoKeys)?;
            let ring = Ring::new(did.clone(), epochs).map_err(|_| AccountError::ForeignKeys)?;
            ring.check(&shown).map_err(|_| AccountError::ForeignKeys)?;
            for secrets in ring.epochs() {
                self.insert(secrets, &did, true, entropy, now)?;
            }
            let latest = ring.current().number();
            open.ring = Some(Rc::new(ring));
            open.keys_touched = true;
            Ok(latest)
        })
    }

    pub(crate) fn begin_epoch(
        &self,
        open: &mut Open,
        reason: Option<&str>,
        named: bool,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<Rc<Ring>, AccountError> {
        let did = open.profile.did.clone();
        let held = self.held(open)?;
        let shown = published(&*self.store, &did)?;
        let (ring, published) = match (held, shown) {
            (None, None) => Ring::begin(&did, entropy, now)?,
            (Some(ring), Some(shown)) if ring.check(&shown).is_ok() => {
                ring.advance(&shown, reason, entropy, now)?
            }
            _ => return Err(AccountError::ForeignKeys),
        };
        self.insert(ring.current(), &did, named, entropy, now)?;
        let write = Write::Put { path: path()?, value: value(&published)?, swap: None };
        let request = WriteRequest { writes: vec![write], ..WriteRequest::default() };
        let (_, draft) = open.commit(&*self.store, &request, now)?;
        open.end_turn(&draft.into_iter().collect::<Vec<_>>(), now)?;
        let ring = Rc::new(ring);
        open.ring = Some(Rc::clone(&ring));
        open.keys_touched = true;
        Ok(ring)
    }

    /// The ring, from memory or from storage; `None` if no keys are kept here.
    pub(crate) fn held(&self, open: &mut Open) -> Result<Option<Rc<Ring>>, AccountError> {
        if open.ring.is_none() {
            let did = &open.profile.did;
            let mut epochs = Vec::new();
            for mut row in self.store.query(SELECT, &[])? {
                let number = u32::try_from(row.int(0)?)
                    .map_err(|_| StoreError::Corrupt("an epoch of keys has no number".into()))?;
                let secrets = self.keks.open(&secrets_name(did, number), &row.blob(1)?)?;
                epochs.push(EpochSecrets::from_bytes(number, &secrets)?);
            }
            if !epochs.is_empty() {
                open.ring = Some(Rc::new(Ring::new(did.clone(), epochs)?));
            }
        }
        Ok(open.ring.clone())
    }

    /// Refuses what an owner would write into the record of their agent's keys, and its readers would refuse: of keys that
    /// are kept here anything, of others what is no such record, or does not go on from the one before.
    pub(crate) fn judge_keys(&self, open: &Open, request: &WriteRequest) -> Result<(), AccountError> {
        let did = &open.profile.did;
        for write in &request.writes {
            let path = write.path();
            if path.collection.as_str() != COLLECTION || path.rkey.as_str() != RKEY {
                continue;
            }
            if self.keeps_any()? {
                let why = "The host keeps this agent's keys and publishes them: agent.identity.rotateKeys changes them";
                return Err(AccountError::InvalidWrite(why.to_owned()));
            }
            let Some(value) = write.value() else { continue };
            let refused = |error: KeyringError| AccountError::InvalidWrite(error.to_string());
            let new = PublishedKeys::from_ipld(did, cbor::decode(value.bytes())?).map_err(refused)?;
            match published(&*self.store, did) {
                Ok(Some(old)) => new.goes_on_from(&old.seen()).map_err(refused)?,
                // What came with an import may be anything.
                Ok(None) | Err(AccountError::Keyring(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn keeps_any(&self) -> Result<bool, AccountError> {
        Ok(!self.store.query(SELECT_ONE, &[])?.is_empty())
    }

    fn insert(
        &self,
        secrets: &EpochSecrets,
        did: &Did,
        named: bool,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(), AccountError> {
        let number = secrets.number();
        let sealed = self.seal(&secrets_name(did, number), &secrets.to_bytes(), entropy);
        // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255.
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let params =
            [Param::Int(number.into()), Param::Int(now), Param::Blob(&sealed), Param::Int(named.into())];
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
pub(crate) fn secrets_name(did: &Did, epoch: u32) -> Vec<u8> {
    format!("{did} epoch {epoch}").into_bytes()
}
