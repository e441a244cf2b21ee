//! What is dropped: messages that are done, dead, delivered or given up, after a time in which they can be read again; and what is in
//! quarantine for as long, or has expired there. When the storage is nearly full, what is done goes before its time, the oldest first.
//!
//! A message that comes once more after that is refused all the same, twice over: it is older than any sender tries
//! ([`MAX_AGE_MICROS`](crate::limits::MAX_AGE_MICROS)), and its place in the thread is behind where the thread begins now.
//!
//! What was handed over stays for longer, with the handoff, for the one who has its keys.
//!
//! Where a thread begins is forgotten a year after the last of a sender's messages in it was dropped: whoever writes there then is
//! read, and what came before is a gap. The sender, who forgets later, counts anew when all its readers have forgotten.

use murmuration_data::{CID_BYTES, Cid};
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::Tid;

use crate::CommsError;
use crate::comms::{Comms, Memory, int, uint};
use crate::handoff::HANDOFF;
use crate::inbox::cid;
use crate::limits::{
    DROP_PAUSE_MICROS, FORGET_MICROS, FORGET_OWN_MICROS, HANDED_MICROS, MAX_STORED_BYTES, OPEN_TASK_MICROS,
    RETENTION_MICROS, ROOM_SECONDS, TIGHT_PAUSE_MICROS, TIGHT_STORED_BYTES,
};
use crate::outbox::id;
use crate::receipt::unpack;

/// Reads what is old, and one.
const OLD_RECEIVED: &str = "SELECT ord, thread, sender, seq, cid FROM inbox WHERE ord < ?1 AND at < ?1 AND state >= 2 \
     AND (task IS NULL OR (task >= 4 AND task_at < ?1) OR task_at < ?2) \
     AND NOT EXISTS (SELECT 1 FROM held_thread WHERE held_thread.thread = inbox.thread AND until > ?4) ORDER BY ord LIMIT ?3 + 0";
/// Reads what has an old name.
const OLD_SENT: &str = "SELECT id, thread, '', seq, cid, deliveries FROM sent WHERE id < ?4 AND at < ?1 AND due IS NULL \
     AND (task IS NULL OR (task >= 4 AND task_at < ?1) OR task_at < ?2) AND (type <> ?5 OR id < ?6) \
     AND NOT EXISTS (SELECT 1 FROM held_thread WHERE held_thread.thread = sent.thread AND until > ?7) ORDER BY id LIMIT ?3 + 0";
/// Writes 3 rows: the message, its name and its place; of a request, one more.
pub(crate) const DROP_RECEIVED: &str = "DELETE FROM inbox WHERE ord = ?1";
/// Writes 2 rows: the message and its place; of a request, one more.
const DROP_SENT: &str = "DELETE FROM sent WHERE id = ?1";
/// Writes 1 row.
const BEGIN: &str = "INSERT INTO dropped (thread, sender, seq, cid, at) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (thread, sender) DO UPDATE SET seq = excluded.seq, cid = excluded.cid, at = excluded.at \
     WHERE excluded.seq > seq";
/// Reads where each thread begins. Those of which something is left stay.
const FORGOTTEN: &str = "SELECT thread, sender FROM dropped WHERE at < CASE sender WHEN '' THEN ?2 ELSE ?1 END \
     AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.thread = dropped.thread AND inbox.sender = dropped.sender) \
     AND NOT (sender = '' AND EXISTS (SELECT 1 FROM sent WHERE sent.thread = dropped.thread)) LIMIT ?3 + 0";
/// Reads all: they are few. Writes 1 row for each that is held no longer.
const LET_GO: &str = "DELETE FROM held_thread WHERE until <= ?1";
/// Writes 1 row.
const FORGET: &str = "DELETE FROM dropped WHERE thread = ?1 AND sender = ?2";
/// Writes 1 row.
const SET_DROPPED: &str = "INSERT INTO comms (id, inbox_floor, sent_floor, dropped_through) VALUES (1, 0, '', ?1) \
     ON CONFLICT (id) DO UPDATE SET dropped_through = excluded.dropped_through";
/// Reads 1 row.
const BEGINNING: &str = "SELECT seq, cid FROM dropped WHERE thread = ?1 AND sender = ?2";
/// Reads 2 rows.
const OLDEST: &str =
    "SELECT (SELECT at FROM inbox ORDER BY ord LIMIT 1), (SELECT id FROM sent ORDER BY id LIMIT 1)";
/// Reads where each thread begins.
const OLDEST_BEGINNING: &str = "SELECT min(CASE sender WHEN '' THEN at + ?2 ELSE at + ?1 END) FROM dropped";

impl Comms {
    /// Drops what is old, at most `limit` messages of each side and of quarantine, and says whether that is all.
    ///
    /// Writes 4 rows for each that has come and 3 for each that was sent, index entries included, one for each receipt that has come
    /// late, one for the run, and one for each thread that is forgotten or held no longer.
    ///
    /// # Errors
    /// The storage's.
    pub fn drop_old(&self, now: u64, limit: u32) -> Result<bool, CommsError> {
        self.change(|memory| {
            self.store.query(LET_GO, &[int(now)])?;
            let (received, sent) = self.old(now, limit)?;
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let quarantined = self.old_quarantined(now, limit)?;
            let all = received.len() < most && sent.len() < most && quarantined.len() < most;
            for message in &quarantined {
                self.drop_quarantined(memory, message)?;
            }
            let mut through = memory.dropped_through;
            for mut row in received {
                let ord = row.int(0)?;
                through = through.max(uint(ord));
                self.begin_behind(&mut row, now)?;
                self.drop_handed(ord)?;
                self.store.query(DROP_RECEIVED, &[Param::Int(ord)])?;
            }
            for mut row in sent {
                let id = id(&mut row)?;
                for receipt in unpack(&row.blob(5)?)? {
                    through = through.max(receipt.at);
                    self.forget_late(id, &receipt)?;
                }
                self.begin_behind(&mut row, now)?;
                self.store.query(DROP_SENT, &[Param::Text(&id.to_string())])?;
            }
            if through > memory.dropped_through {
                memory.dropped_through = through;
                self.store.query(SET_DROPPED, &[int(through)])?;
            }
            let all = self.forget_beginnings(now, limit)? && all;
            memory.next_drop = Some(if all { self.oldest(now)? } else { Some(now) });
            Ok(all)
        })
    }

    /// When something is to be dropped, if anything is here. Reads nothing where that is known.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_drop(&self, now: u64) -> Result<Option<u64>, CommsError> {
        let mut memory = self.memory()?;
        if let Some(Some(known)) = memory.next_drop {
            return Ok(Some(known));
        }
        // An object that wakes when it is time must not put it off.
        let next = if self.is_overdue(now)? { Some(now) } else { self.oldest(now)? };
        memory.next_drop = Some(next);
        Ok(next)
    }

    /// Refuses a message when the storage of the object is full.
    pub(crate) fn check_storage(&self) -> Result<(), CommsError> {
        match self.store.size()? {
            MAX_STORED_BYTES.. => {
                Err(CommsError::Busy { reason: "the storage of the agent is full", seconds: ROOM_SECONDS })
            }
            _ => Ok(()),
        }
    }

    /// Has what is done dropped soon if the storage of the object is nearly full.
    pub(crate) fn drop_if_tight(&self, memory: &mut Memory, now: u64) -> Result<(), StoreError> {
        if self.is_tight()? {
            memory.drops(now.saturating_add(TIGHT_PAUSE_MICROS));
        }
        Ok(())
    }

    fn is_tight(&self) -> Result<bool, StoreError> {
        Ok(self.store.size()? >= TIGHT_STORED_BYTES)
    }

    /// The messages that have come and that were sent which are old, at most so many of each; while the storage is nearly full, also those
    /// that are not.
    fn old(&self, now: u64, limit: u32) -> Result<(Vec<Row>, Vec<Row>), StoreError> {
        let kept = if self.is_tight()? { 0 } else { RETENTION_MICROS };
        let (old, open) = (now.saturating_sub(kept), now.saturating_sub(OPEN_TASK_MICROS));
        let name = |at| Tid::from_parts(at, 0).to_string();
        let (name, handed) = (name(old), name(now.saturating_sub(HANDED_MICROS)));
        let room = || Param::Int(limit.into());
        let received = self.store.query(OLD_RECEIVED, &[int(old), int(open), room(), int(now)])?;
        let [name, kind, handed] = [&*name, HANDOFF, &*handed].map(Param::Text);
        let sent = [int(old), int(open), room(), name, kind, handed, int(now)];
        Ok((received, self.store.query(OLD_SENT, &sent)?))
    }

    /// Whether something is to be dropped or forgotten now.
    fn is_overdue(&self, now: u64) -> Result<bool, StoreError> {
        let (received, sent) = self.old(now, 1)?;
        let any = !received.is_empty() || !sent.is_empty() || !self.old_quarantined(now, 1)?.is_empty();
        Ok(any || !self.forgotten(now, 1)?.is_empty())
    }

    /// The threads whose beginning is to be forgotten, at most so many.
    fn forgotten(&self, now: u64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let (old, own) = (now.saturating_sub(FORGET_MICROS), now.saturating_sub(FORGET_OWN_MICROS));
        self.store.query(FORGOTTEN, &[int(old), int(own), Param::Int(limit.into())])
    }

    /// Where a thread of a sender begins: the last that was dropped of it.
    pub(crate) fn beginning(&self, thread: &str, sender: &str) -> Result<Option<(u32, Cid)>, CommsError> {
        let row = self.store.query(BEGINNING, &[Param::Text(thread), Param::Text(sender)])?.pop();
        row.map(|mut row| {
            let seq = u32::try_from(row.int(0)?).unwrap_or(u32::MAX);
            Ok((seq, cid(&row.blob(1)?)?))
        })
        .transpose()
    }

    /// Forgets where threads began of which nothing is left for long, and says whether that is all.
    fn forget_beginnings(&self, now: u64, limit: u32) -> Result<bool, CommsError> {
        let rows = self.forgotten(now, limit)?;
        let all = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        for mut row in rows {
            self.store.query(FORGET, &[Param::Text(&row.text(0)?), Param::Text(&row.text(1)?)])?;
        }
        Ok(all)
    }

    fn begin_behind(&self, row: &mut Row, now: u64) -> Result<(), CommsError> {
        let (thread, sender, seq, cid) = (row.text(1)?, row.text(2)?, row.int(3)?, row.blob(4)?);
        debug_assert_eq!(cid.len(), CID_BYTES);
        let place =
            [Param::Text(&thread), Param::Text(&sender), Param::Int(seq), Param::Blob(&cid), int(now)];
        Ok(self.store.query(BEGIN, &place).map(drop)?)
    }

    /// When the oldest message is old. One that stays, because it is a task that is not done, is looked at now and then.
    fn oldest(&self, now: u64) -> Result<Option<u64>, CommsError> {
        let mut row = crate::comms::one(&*self.store, OLDEST)?;
        let received = row.opt_int(0)?.map(uint);
        let sent = row.opt_text(1)?.and_then(|id| Tid::parse(&id).ok()).map(Tid::micros);
        let kept = received.into_iter().chain(sent).map(|at| at.saturating_add(RETENTION_MICROS));
        let row = self.store.query(OLDEST_BEGINNING, &[int(FORGET_MICROS), int(FORGET_OWN_MICROS)])?.pop();
        let begun = row.map(|mut row| row.opt_int(0)).transpose()?.flatten().map(uint);
        Ok(kept
            .chain(begun)
            .chain(self.first_end()?)
            .min()
            .map(|at| at.max(now.saturating_add(DROP_PAUSE_MICROS))))
    }
}
