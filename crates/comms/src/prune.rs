//! What is dropped: messages that are done, dead, delivered or given up, after a time in which they can be read again.
//!
//! A message that comes once more after that is refused all the same, twice over: it is older than any sender tries
//! ([`MAX_AGE_MICROS`](crate::limits::MAX_AGE_MICROS)), and its place in the thread is behind where the thread begins now.

use murmuration_data::{CID_BYTES, Cid};
use murmuration_platform::Param;
use murmuration_syntax::Tid;

use crate::CommsError;
use crate::comms::{Comms, int, uint};
use crate::inbox::cid;
use crate::limits::{DROP_PAUSE_MICROS, OPEN_TASK_MICROS, RETENTION_MICROS};

/// Reads what is old, and one.
const OLD_RECEIVED: &str = "SELECT ord, thread, sender, seq, cid FROM inbox WHERE ord < ?1 AND at < ?1 AND state >= 2 \
     AND (task IS NULL OR (task >= 4 AND task_at < ?1) OR task_at < ?2) ORDER BY ord LIMIT ?3 + 0";
/// Reads what has an old name.
const OLD_SENT: &str = "SELECT id, thread, '', seq, cid FROM sent WHERE id < ?4 AND at < ?1 AND due IS NULL \
     AND (task IS NULL OR (task >= 4 AND task_at < ?1) OR task_at < ?2) ORDER BY id LIMIT ?3 + 0";
/// Writes 3 rows: the message, its name and its place; of a request, one more.
const DROP_RECEIVED: &str = "DELETE FROM inbox WHERE ord = ?1";
/// Writes 2 rows: the message and its place; of a request, one more.
const DROP_SENT: &str = "DELETE FROM sent WHERE id = ?1";
/// Writes 1 row.
const BEGIN: &str = "INSERT INTO dropped (thread, sender, seq, cid) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (thread, sender) DO UPDATE SET seq = excluded.seq, cid = excluded.cid WHERE excluded.seq > seq";
/// Reads 1 row.
const BEGINNING: &str = "SELECT seq, cid FROM dropped WHERE thread = ?1 AND sender = ?2";
/// Reads 2 rows.
const OLDEST: &str =
    "SELECT (SELECT at FROM inbox ORDER BY ord LIMIT 1), (SELECT id FROM sent ORDER BY id LIMIT 1)";

impl Comms {
    /// Drops what is old, at most `limit` messages of each side, and says whether that is all.
    ///
    /// Writes 4 rows for each that has come and 3 for each that was sent, index entries included.
    ///
    /// # Errors
    /// The storage's.
    pub fn drop_old(&self, now: u64, limit: u32) -> Result<bool, CommsError> {
        let (old, open) = (now.saturating_sub(RETENTION_MICROS), now.saturating_sub(OPEN_TASK_MICROS));
        let name = Tid::from_parts(old, 0).to_string();
        self.change(|memory| {
            let room = || Param::Int(limit.into());
            let received = self.store.query(OLD_RECEIVED, &[int(old), int(open), room()])?;
            let sent = self.store.query(OLD_SENT, &[int(old), int(open), room(), Param::Text(&name)])?;
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let all = received.len() < most && sent.len() < most;
            for mut row in received {
                let ord = row.int(0)?;
                self.begin_behind(&mut row)?;
                self.store.query(DROP_RECEIVED, &[Param::Int(ord)])?;
            }
            for mut row in sent {
                let id = row.text(0)?;
                self.begin_behind(&mut row)?;
                self.store.query(DROP_SENT, &[Param::Text(&id)])?;
            }
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
        let next = self.oldest(now)?;
        memory.next_drop = Some(next);
        Ok(next)
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

    fn begin_behind(&self, row: &mut murmuration_platform::Row) -> Result<(), CommsError> {
        let (thread, sender, seq, cid) = (row.text(1)?, row.text(2)?, row.int(3)?, row.blob(4)?);
        debug_assert_eq!(cid.len(), CID_BYTES);
        let place = [Param::Text(&thread), Param::Text(&sender), Param::Int(seq), Param::Blob(&cid)];
        Ok(self.store.query(BEGIN, &place).map(drop)?)
    }

    /// When the oldest message is old. One that stays, because it is a task that is not done, is looked at now and then.
    fn oldest(&self, now: u64) -> Result<Option<u64>, CommsError> {
        let mut row = crate::comms::one(&*self.store, OLDEST)?;
        let received = row.opt_int(0)?.map(uint);
        let sent = row.opt_text(1)?.and_then(|id| Tid::parse(&id).ok()).map(Tid::micros);
        let oldest = received.into_iter().chain(sent).min();
        Ok(oldest.map(|at| at.saturating_add(RETENTION_MICROS).max(now.saturating_add(DROP_PAUSE_MICROS))))
    }
}
