//! After a rotation of the agent's keys: the data keys of its messages, kept under those of the latest epoch.
//!
//! A message lies in a signed parcel and is not changed. So that the secrets of earlier epochs can go, its data key is kept
//! beside it. Messages are gone through in the order in which they came, and sent ones in that of their names, some a run. What
//! is behind the point that a run has reached needs nothing older than the epoch: what comes later sealed to an epoch that has ended,
//! having been on its way, has its data key kept when it comes ([`Comms::receive`](crate::Comms::receive)), and what is sent is
//! sealed under the latest epoch.

use murmuration_envelope::KeptKey;
use murmuration_platform::{Param, Row, Store, StoreError};

use crate::Parcel;
use crate::comms::uint;
use crate::inbox::{MAX_PAGE_BYTES, corrupt, kept};

/// Reads 1 row.
const SELECT: &str = "SELECT epoch, inbox_at, sent_at, done FROM rewrap WHERE id = 1";
/// Writes 1 row.
const STORE: &str = "INSERT INTO rewrap (id, epoch, inbox_at, sent_at, done) VALUES (1, ?1, ?2, ?3, ?4) \
     ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, inbox_at = excluded.inbox_at, \
     sent_at = excluded.sent_at, done = excluded.done";
/// Reads the rows that are left, without their parcels.
const COUNT: &str =
    "SELECT (SELECT count(*) FROM inbox WHERE ord > ?1) + (SELECT count(*) FROM sent WHERE id > ?2)";
/// Reads the rows that it answers with.
const INBOX: &str = "SELECT ord, parcel, kept FROM inbox WHERE ord > ?1 ORDER BY ord LIMIT ?2 + 0";
/// Reads the rows that it answers with.
const SENT: &str = "SELECT id, parcel, kept FROM sent WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
/// Writes 1 row.
const KEEP_RECEIVED: &str = "UPDATE inbox SET kept = ?2 WHERE ord = ?1";
/// Writes 1 row.
const KEEP_SENT: &str = "UPDATE sent SET kept = ?2 WHERE id = ?1";

/// Keeps the data key of a message under the keys of the latest epoch, given how it is kept by now. `None` where nothing is to be
/// done: it is under them already, it is not sealed, or no key opens it.
pub type Keep<'a> = dyn FnMut(&Parcel, Option<&KeptKey>) -> Option<KeptKey> + 'a;

/// How many messages are to be gone through until all are under the keys of an epoch. Writes nothing.
///
/// # Errors
/// The storage's.
pub fn left_to_keep(store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
    let at = Progress::read(store, epoch)?;
    if at.done {
        return Ok(0);
    }
    let mut rows = store.query(COUNT, &[Param::Int(at.inbox), Param::Text(&at.sent)])?;
    rows.pop().ok_or_else(corrupt)?.int(0).map(uint)
}

/// Goes through at most `limit` messages, and says through how many. Runs in a transaction.
///
/// Writes a row for each message that `keep` keeps, and one for the run.
///
/// # Errors
/// The storage's. Nothing of the run holds then.
pub fn keep_some(store: &dyn Store, epoch: u32, limit: u32, keep: &mut Keep<'_>) -> Result<u32, StoreError> {
    let mut at = Progress::read(store, epoch)?;
    if at.done || limit == 0 {
        return Ok(0);
    }
    let mut room = limit;
    keep_received(store, &mut at, &mut room, keep)?;
    keep_sent(store, &mut at, &mut room, keep)?;
    // Both have come to their ends, for nothing else happens meanwhile.
    at.done = room > 0;
    at.store(store)?;
    Ok(limit - room)
}

fn keep_received(
    store: &dyn Store,
    at: &mut Progress,
    room: &mut u32,
    keep: &mut Keep<'_>,
) -> Result<(), StoreError> {
    while *room > 0 {
        let page = [Param::Int(at.inbox), Param::Int((*room).into())];
        let rows = store.query_within(INBOX, &page, MAX_PAGE_BYTES)?;
        if rows.is_empty() {
            return Ok(());
        }
        for mut row in rows {
            (at.inbox, *room) = (row.int(0)?, room.saturating_sub(1));
            if let Some(kept) = kept_anew(&mut row, keep)? {
                store.query(KEEP_RECEIVED, &[Param::Int(at.inbox), Param::Blob(&kept.to_bytes())])?;
            }
        }
    }
    Ok(())
}

fn keep_sent(
    store: &dyn Store,
    at: &mut Progress,
    room: &mut u32,
    keep: &mut Keep<'_>,
) -> Result<(), StoreError> {
    while *room > 0 {
        let page = [Param::Text(&at.sent), Param::Int((*room).into())];
        let rows = store.query_within(SENT, &page, MAX_PAGE_BYTES)?;
        if rows.is_empty() {
            return Ok(());
        }
        for mut row in rows {
            (at.sent, *room) = (row.text(0)?, room.saturating_sub(1));
            if let Some(kept) = kept_anew(&mut row, keep)? {
                store.query(KEEP_SENT, &[Param::Text(&at.sent), Param::Blob(&kept.to_bytes())])?;
            }
        }
    }
    Ok(())
}

/// What `keep` makes of a row: its parcel, and how its data key is kept.
fn kept_anew(row: &mut Row, keep: &mut Keep<'_>) -> Result<Option<KeptKey>, StoreError> {
    let parcel = Parcel::from_cbor(&row.blob(1)?).map_err(|_| corrupt())?;
    Ok(keep(&parcel, kept(row, 2)?.as_ref()))
}

/// How far the messages are under the keys of an epoch.
struct Progress {
    epoch: u32,
    inbox: i64,
    sent: String,
    done: bool,
}

impl Progress {
    fn read(store: &dyn Store, epoch: u32) -> Result<Self, StoreError> {
        let begin = Self { epoch, inbox: 0, sent: String::new(), done: false };
        let Some(mut row) = store.query(SELECT, &[])?.pop() else { return Ok(begin) };
        if row.int(0)? != i64::from(epoch) {
            return Ok(begin);
        }
        Ok(Self { epoch, inbox: row.int(1)?, sent: row.text(2)?, done: row.int(3)? == 1 })
    }

    fn store(&self, store: &dyn Store) -> Result<(), StoreError> {
        let row = [
            Param::Int(self.epoch.into()),
            Param::Int(self.inbox),
            Param::Text(&self.sent),
            Param::Int(self.done.into()),
        ];
        store.query(STORE, &row).map(drop)
    }
}
