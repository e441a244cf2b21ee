//! Handoffs: the messages that one names, and their keys where they are kept.
//!
//! A handoff brings the data keys of messages that are not here, each sealed to a key of the one who takes over. So that such a key can
//! go when its epoch has ended, the data keys are kept under the agent's own key as soon as the handoff comes: a row for it,
//! beside the message that it is.

use murmuration_data::Ipld;
use murmuration_data::cbor::{Reader, Writer};
use murmuration_envelope::{Binding, KeptKey, SharedKey};
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::{AtIdentifier, AtUri, Did, Nsid, RecordKey, Tid};

use crate::comms::{Comms, int, uint};
use crate::inbox::{corrupt, kept};
use crate::limits::HANDED_MICROS;
use crate::{CommsError, Parcel};

/// The type of a handoff.
pub const HANDOFF: &str = "agent.comms.handoff";

/// Writes 1 row.
const PUT: &str = "INSERT INTO handed_key (giver, id, epoch, keys) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (giver, id) DO UPDATE SET epoch = excluded.epoch, keys = excluded.keys";
/// Reads 1 row.
const SELECT: &str = "SELECT keys FROM handed_key WHERE giver = ?1 AND id = ?2";
/// Reads all: they are few.
const COUNT: &str = "SELECT count(*) FROM handed_key WHERE epoch < ?1";
/// Reads all: they are few.
const OLD: &str = "SELECT giver, handed_key.id, keys, parcel, kept FROM handed_key \
     LEFT JOIN inbox ON sender = giver AND inbox.id = handed_key.id WHERE epoch < ?1 LIMIT ?2 + 0";
/// Writes 1 row.
const HOLD: &str = "INSERT INTO held_thread (thread, until) VALUES (?1, ?2) \
     ON CONFLICT (thread) DO UPDATE SET until = max(until, excluded.until)";
/// Writes 1 row where the message is a handoff.
const DROP: &str =
    "DELETE FROM handed_key WHERE (giver, id) IN (SELECT sender, id FROM inbox WHERE ord = ?1)";

/// A message that a handoff names.
#[derive(Clone, Debug, PartialEq)]
pub struct Handed {
    /// Who has written it.
    pub author: Did,
    /// Its type.
    pub kind: Nsid,
    /// Its id.
    pub id: Tid,
    /// The CID of its parcel.
    pub cid: String,
    /// The epoch of its author in which it was sealed, where the handoff says so.
    pub epoch: Option<u32>,
    /// Its data key, sealed to the one who takes over.
    pub key: Option<SharedKey>,
}

impl Handed {
    /// The messages that a handoff names, in its order.
    #[must_use]
    pub fn all(handoff: &Ipld) -> Vec<Self> {
        match handoff {
            Ipld::Map(fields) => match fields.get("messages") {
                Some(Ipld::List(messages)) => messages.iter().filter_map(Self::of).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Where it is bound to.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding {
            author: self.author.clone(),
            collection: self.kind.clone(),
            rkey: RecordKey::from(self.id),
            schema: self.kind.clone(),
        }
    }

    fn of(value: &Ipld) -> Option<Self> {
        let Ipld::Map(fields) = value else { return None };
        let (Ipld::String(subject), Ipld::String(cid)) = (fields.get("subject")?, fields.get("cid")?) else {
            return None;
        };
        let uri = AtUri::parse(subject).ok()?;
        let AtIdentifier::Did(author) = uri.authority().clone() else { return None };
        let epoch = match fields.get("epoch") {
            Some(Ipld::Integer(epoch)) => u32::try_from(*epoch).ok(),
            _ => None,
        };
        Some(Self {
            author,
            kind: uri.collection()?.clone(),
            id: Tid::parse(uri.rkey()?.as_str()).ok()?,
            cid: cid.clone(),
            epoch,
            key: fields.get("recipient").cloned().map(SharedKey::from_ipld).transpose().ok()?,
        })
    }
}

/// The data keys of the messages of a handoff, kept; `None` for those that are not.
pub type HandedKeys = Vec<Option<KeptKey>>;

/// Makes the kept keys of a handoff anew, given the handoff, its own data key where that is kept, and the keys as they are.
pub type KeepHanded<'a> = dyn FnMut(&Parcel, Option<&KeptKey>, HandedKeys) -> HandedKeys + 'a;

impl Comms {
    /// Keeps the keys that a handoff has brought, under the keys of an epoch. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn keep_handed(&self, giver: &Did, id: Tid, epoch: u32, keys: &HandedKeys) -> Result<(), CommsError> {
        Ok(put(&*self.store, giver.as_str(), &id.to_string(), epoch, keys)?)
    }

    /// The keys that are kept of a handoff, in its order.
    ///
    /// # Errors
    /// The storage's.
    pub fn handed_keys(&self, giver: &Did, id: Tid) -> Result<HandedKeys, CommsError> {
        let row =
            self.store.query(SELECT, &[Param::Text(giver.as_str()), Param::Text(&id.to_string())])?.pop();
        Ok(row.map(|mut row| keys(&mut row, 0)).transpose()?.unwrap_or_default())
    }

    /// Keeps what is in a thread that is handed over for [`HANDED_MICROS`]. Writes 1 row.
    ///
    /// # Errors
    /// The storage's.
    pub fn hold(&self, thread: &str, now: u64) -> Result<(), CommsError> {
        Ok(self
            .store
            .query(HOLD, &[Param::Text(thread), int(now.saturating_add(HANDED_MICROS))])
            .map(drop)?)
    }

    /// Forgets the keys of a handoff that is dropped.
    pub(crate) fn drop_handed(&self, ord: i64) -> Result<(), StoreError> {
        self.store.query(DROP, &[Param::Int(ord)]).map(drop)
    }
}

/// How many handoffs have keys that are under those of an earlier epoch. Writes nothing.
///
/// # Errors
/// The storage's.
pub fn handoffs_left(store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
    let mut rows = store.query(COUNT, &[Param::Int(epoch.into())])?;
    rows.pop().ok_or_else(corrupt)?.int(0).map(uint)
}

/// Brings the keys of at most `limit` handoffs under those of an epoch, and says of how many. Writes 1 row for each.
///
/// # Errors
/// The storage's.
pub fn keep_handoffs(
    store: &dyn Store,
    epoch: u32,
    limit: u32,
    keep: &mut KeepHanded<'_>,
) -> Result<u32, StoreError> {
    let rows = store.query(OLD, &[Param::Int(epoch.into()), Param::Int(limit.into())])?;
    let count = u32::try_from(rows.len()).unwrap_or(limit);
    for mut row in rows {
        let (giver, id, old) = (row.text(0)?, row.text(1)?, keys(&mut row, 2)?);
        let new = match row.opt_blob(3)? {
            Some(parcel) => {
                let parcel = Parcel::from_cbor(&parcel).map_err(|_| corrupt())?;
                keep(&parcel, kept(&mut row, 4)?.as_ref(), old)
            }
            None => old,
        };
        put(store, &giver, &id, epoch, &new)?;
    }
    Ok(count)
}

fn put(store: &dyn Store, giver: &str, id: &str, epoch: u32, keys: &HandedKeys) -> Result<(), StoreError> {
    let mut writer = Writer::new();
    writer.array(keys.len());
    for key in keys {
        writer.bytes(&key.as_ref().map(KeptKey::to_bytes).unwrap_or_default());
    }
    let row = [Param::Text(giver), Param::Text(id), Param::Int(epoch.into()), Param::Blob(writer.as_bytes())];
    store.query(PUT, &row).map(drop)
}

fn keys(row: &mut Row, column: usize) -> Result<HandedKeys, StoreError> {
    let bytes = row.blob(column)?;
    let mut reader = Reader::new(&bytes);
    let count = reader.array().map_err(|_| corrupt())?;
    let key = |_| match reader.bytes().map_err(|_| corrupt())? {
        [] => Ok(None),
        bytes => KeptKey::from_bytes(bytes).map(Some).map_err(|_| corrupt()),
    };
    (0..count).map(key).collect()
}
