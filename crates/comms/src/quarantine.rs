//! Quarantine: messages of strangers, until the agent allows their senders, or their time is over.
//!
//! Nothing of them has any effect: they are not handed out, and what they say is not noted. They go by themselves when they expire and
//! after a month, sooner where others need their place (`inbox.rs`), and they are dead when the agent blocks their sender.

use std::collections::BTreeMap;

use murmuration_platform::{Param, StoreError};
use murmuration_syntax::{Did, Nsid, Tid};

use crate::comms::{Comms, Memory, int, uint};
use crate::inbox::corrupt;
use crate::lease::GIVE_UP;
use crate::limits::RETENTION_MICROS;
use crate::open::{Waiting, open_columns};
use crate::outbox::id;
use crate::prune::DROP_RECEIVED;
use crate::{CommsError, Verdict};

/// Reads what is in quarantine, without the parcels.
const ALL: &str = "SELECT id, ord, sender, at, thread, type FROM inbox INDEXED BY inbox_quarantine WHERE state = 1 ORDER BY ord";
/// Reads what is in quarantine.
const OLD: &str = "SELECT id, ord, sender, at, thread, type FROM inbox INDEXED BY inbox_quarantine \
     WHERE state = 1 AND (at < ?1 OR expires_at <= ?2) ORDER BY ord LIMIT ?3 + 0";
/// Reads what is in quarantine.
const FIRST_END: &str = "SELECT min(expires_at) FROM inbox INDEXED BY inbox_quarantine WHERE state = 1";
/// Writes 2 rows: the message, and its entry in the index.
const RELEASE: &str =
    concat!("UPDATE inbox SET state = 0, due = ?2 WHERE ord = ?1 RETURNING ", open_columns!());

/// What the agent says by now of a sender whose messages are in quarantine ([`Comms::release`]): a verdict; none, if it is blocked.
pub type Judge<'a> = dyn Fn(&Did) -> Result<Option<Verdict>, CommsError> + 'a;

/// A message that was let out of quarantine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Released {
    /// Who has sent it.
    pub sender: Did,
    /// Its id.
    pub id: Tid,
    /// Its type.
    pub kind: Nsid,
    /// Its thread.
    pub thread: String,
}

/// A message in quarantine.
#[derive(Debug)]
pub(crate) struct Quarantined {
    ord: i64,
    pub(crate) sender: String,
    pub(crate) at: u64,
    id: Tid,
    thread: String,
    kind: String,
}

impl Comms {
    /// Lets out of quarantine what has come from those whom the agent allows by now, and answers with it: it has its effect from now
    /// on. What has come from those whom it blocks is dead.
    ///
    /// Reads nothing if nothing is in quarantine. Writes 2 rows for each message that leaves it.
    ///
    /// # Errors
    /// The storage's, and that of `judge`.
    pub fn release(&self, judge: &Judge<'_>, now: u64) -> Result<Vec<Released>, CommsError> {
        if !self.memory()?.any_in_quarantine() {
            return Ok(Vec::new());
        }
        self.change(|memory| {
            let mut released = Vec::new();
            let mut verdicts: BTreeMap<String, Option<Verdict>> = BTreeMap::new();
            for Quarantined { ord, sender, id, thread, kind, .. } in self.quarantined()? {
                let did = Did::parse(&sender).map_err(|_| corrupt())?;
                let verdict = match verdicts.get(&sender) {
                    Some(verdict) => *verdict,
                    None => judge(&did)?,
                };
                verdicts.insert(sender.clone(), verdict);
                match verdict {
                    Some(Verdict::Quarantine) => continue,
                    Some(Verdict::Accept) => {
                        let row = self.store.query(RELEASE, &[Param::Int(ord), int(now)])?.pop();
                        let (line, seq, message) = Waiting::read(&mut row.ok_or_else(corrupt)?)?;
                        memory.opens(line, seq, message);
                        self.list_behind_floor(memory, ord)?;
                        let kind = Nsid::parse(&kind).map_err(|_| corrupt())?;
                        released.push(Released { sender: did, id, kind, thread });
                    }
                    None => drop(self.store.query(GIVE_UP, &[Param::Int(ord), Param::Text(BLOCKED)])?),
                }
                memory.leave_quarantine(&sender);
            }
            Ok(released)
        })
    }

    /// What is in quarantine, in the order in which it came.
    pub(crate) fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.read_quarantined(ALL, &[])
    }

    /// What is in quarantine and is to be dropped, at most so much.
    pub(crate) fn old_quarantined(&self, now: u64, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        let old = now.saturating_sub(RETENTION_MICROS);
        self.read_quarantined(OLD, &[int(old), int(now), Param::Int(limit.into())])
    }

    /// When the first message in quarantine expires.
    pub(crate) fn first_end(&self) -> Result<Option<u64>, StoreError> {
        Ok(crate::comms::one(&*self.store, FIRST_END)?.opt_int(0)?.map(uint))
    }

    /// Drops a message in quarantine. It leaves nothing behind: nobody has read it, and what follows it in its thread has a gap before
    /// it. Writes 4 rows; of a request and of a handoff, one more.
    pub(crate) fn drop_quarantined(
        &self,
        memory: &mut Memory,
        message: &Quarantined,
    ) -> Result<(), StoreError> {
        self.drop_handed(message.ord)?;
        self.store.query(DROP_RECEIVED, &[Param::Int(message.ord)])?;
        memory.leave_quarantine(&message.sender);
        Ok(())
    }

    fn read_quarantined(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Quarantined>, StoreError> {
        let rows = self.store.query(sql, params)?.into_iter();
        rows.map(|mut row| {
            Ok(Quarantined {
                id: id(&mut row)?,
                ord: row.int(1)?,
                sender: row.text(2)?,
                at: uint(row.int(3)?),
                thread: row.text(4)?,
                kind: row.text(5)?,
            })
        })
        .collect()
    }
}

/// Why a message is dead whose sender was blocked while it was in quarantine.
const BLOCKED: &str = "its sender is blocked";
