//! Threads: what was said on both sides, in order, and what has not come.

use std::collections::BTreeSet;

use murmuration_envelope::KeptKey;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::comms::{Comms, uint};
use crate::inbox::{MAX_PAGE_BYTES, corrupt, item, kept};
use crate::limits::{MAX_GAPS, MAX_TO};
use crate::receipt::unpack;
use crate::{CommsError, Item};

/// Reads the whole thread; answers with what is behind a moment and a name.
const LIST: &str = "SELECT at, sender || ' ' || id AS name, ord, state, at, attempts, leased, due, reason, parcel, kept \
     FROM inbox WHERE thread = ?1 AND (at, sender || ' ' || id) > (?2, ?3) \
     UNION ALL SELECT at, ' ' || id, 0, 2, at, 0, 0, 0, NULL, parcel, kept \
     FROM sent WHERE thread = ?1 AND (at, ' ' || id) > (?2, ?3) \
     ORDER BY 1, 2 LIMIT ?4 + 0";
/// Reads the thread's entries of one index.
const PLACES: &str = "SELECT sender, seq FROM inbox WHERE thread = ?1 ORDER BY sender, seq";
/// Reads 2 rows.
const EXISTS: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM inbox WHERE thread = ?1) OR EXISTS (SELECT 1 FROM sent WHERE thread = ?1)";
/// Reads 2 rows: the first thread behind a name.
const NEXT: &str = "SELECT min(name) FROM (SELECT min(thread) AS name FROM inbox WHERE thread > ?1 \
     UNION ALL SELECT min(thread) FROM sent WHERE thread > ?1)";
/// Reads the thread.
const SUMMARY: &str = "SELECT sender, max(at), sum(state = 0) FROM inbox WHERE thread = ?1 GROUP BY sender";
/// Reads 1 row.
const LAST_SENT: &str = "SELECT at, deliveries FROM sent WHERE thread = ?1 ORDER BY seq DESC LIMIT 1";
/// Reads a few rows.
const LATELY_SENT: &str = "SELECT deliveries FROM sent WHERE thread = ?1 ORDER BY seq DESC LIMIT 16";

/// Reads 1 row.
const OF_INBOX: &str = "SELECT parcel, kept FROM inbox WHERE sender = ?1 AND id = ?2 AND state <> 1";
/// Reads 1 row.
const OF_SENT: &str = "SELECT parcel, kept FROM sent WHERE id = ?1";

/// A page of a thread.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ThreadPage {
    /// What was said, the first first.
    pub items: Vec<Item>,
    /// What of the thread has not come.
    pub gaps: Vec<Gap>,
    /// Where the next page begins, if this is not the last.
    pub next: Option<String>,
}

/// A message as it lies here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Original {
    /// The parcel, in DAG-CBOR.
    pub parcel: Vec<u8>,
    /// Its data key, where that is kept.
    pub kept: Option<KeptKey>,
}

/// Messages of a sender that have not come, though later ones have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// Whose.
    pub sender: Did,
    /// The first that is missing.
    pub from: u32,
    /// The last.
    pub to: u32,
}

/// What is to be said of a thread.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// Those that the agent talks to in it.
    pub members: Vec<Did>,
    /// When something was said last, in microseconds since the Unix epoch.
    pub last_at: u64,
    /// Messages that wait to be dealt with.
    pub pending: u64,
}

impl Comms {
    /// A page of a thread, behind `after`, which an earlier page gave. What the agent has sent itself is done.
    ///
    /// # Errors
    /// [`CommsError::NoSuchThread`]; otherwise the storage's.
    pub fn thread(
        &self,
        name: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
    ) -> Result<ThreadPage, CommsError> {
        if self.store.query(EXISTS, &[Param::Text(name)])?.is_empty() {
            return Err(CommsError::NoSuchThread);
        }
        let after = after.and_then(|after| after.split_once('.'));
        let after = after.and_then(|(at, name)| Some((at.parse::<i64>().ok()?, name)));
        let (at, behind) = after.unwrap_or((-1, ""));
        let params = [Param::Text(name), Param::Int(at), Param::Text(behind), Param::Int(limit.into())];
        let mut page = ThreadPage { gaps: self.gaps(name)?, ..ThreadPage::default() };
        for mut row in self.store.query_within(LIST, &params, MAX_PAGE_BYTES)? {
            page.next = Some(format!("{}.{}", row.int(0)?, row.text(1)?));
            page.items.push(item(&mut row, 2, now)?);
        }
        Ok(page)
    }

    /// Threads behind a name, by their names.
    ///
    /// # Errors
    /// The storage's.
    pub fn threads(&self, after: &str, limit: usize) -> Result<Vec<Thread>, CommsError> {
        let mut threads: Vec<Thread> = Vec::new();
        while threads.len() < limit {
            let behind = threads.last().map_or(after, |last| &last.name);
            let next = self.store.query(NEXT, &[Param::Text(behind)])?.pop();
            let Some(name) = next.map(|mut row| row.opt_text(0)).transpose()?.flatten() else { break };
            threads.push(self.summary(name)?);
        }
        Ok(threads)
    }

    /// A message that came or was sent, by its author and id. What is in quarantine is not found.
    ///
    /// # Errors
    /// The storage's.
    pub fn parcel(&self, own: &Did, author: &Did, id: Tid) -> Result<Option<Original>, CommsError> {
        let id = id.to_string();
        let row = match own == author {
            true => self.store.query(OF_SENT, &[Param::Text(&id)])?.pop(),
            false => self.store.query(OF_INBOX, &[Param::Text(author.as_str()), Param::Text(&id)])?.pop(),
        };
        let original = row
            .map(|mut row| Ok::<_, StoreError>(Original { parcel: row.blob(0)?, kept: kept(&mut row, 1)? }));
        Ok(original.transpose()?)
    }

    /// Whether the agent has lately written to somebody in a thread.
    ///
    /// # Errors
    /// The storage's.
    pub fn has_written_to(&self, thread: &str, did: &Did) -> Result<bool, CommsError> {
        for mut row in self.store.query(LATELY_SENT, &[Param::Text(thread)])? {
            if unpack(&row.blob(0)?)?.iter().any(|receipt| receipt.to == *did) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn summary(&self, name: String) -> Result<Thread, CommsError> {
        let (mut members, mut last_at, mut pending) = (BTreeSet::new(), 0, 0);
        for mut row in self.store.query(SUMMARY, &[Param::Text(&name)])? {
            members.insert(sender(&mut row)?);
            last_at = uint(row.int(1)?).max(last_at);
            pending += uint(row.int(2)?);
        }
        if let Some(mut row) = self.store.query(LAST_SENT, &[Param::Text(&name)])?.pop() {
            last_at = uint(row.int(0)?).max(last_at);
            members.extend(unpack(&row.blob(1)?)?.into_iter().map(|receipt| receipt.to));
        }
        Ok(Thread { name, members: members.into_iter().take(MAX_TO).collect(), last_at, pending })
    }

    fn gaps(&self, thread: &str) -> Result<Vec<Gap>, CommsError> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut last: Option<(Did, u32)> = None;
        for mut row in self.store.query(PLACES, &[Param::Text(thread)])? {
            let sender = sender(&mut row)?;
            let seq = u32::try_from(row.int(1)?).map_err(|_| corrupt())?;
            let before = match last.filter(|(whose, _)| *whose == sender) {
                Some((_, seq)) => seq,
                None => self.beginning(thread, sender.as_str())?.map_or(0, |(seq, _)| seq),
            };
            if seq > before + 1 && gaps.len() < MAX_GAPS {
                gaps.push(Gap { sender: sender.clone(), from: before + 1, to: seq - 1 });
            }
            last = Some((sender, seq));
        }
        Ok(gaps)
    }
}

fn sender(row: &mut Row) -> Result<Did, StoreError> {
    Did::parse(&row.text(0)?).map_err(|_| corrupt())
}
