//! Forgetting the accounts of peers.
//!
//! What is kept of an account is what its next event is checked against. One that says nothing any more, one whose host is blocked,
//! and one that is not on its host's list any more have no next event. All rows are looked through, some a turn and all of them
//! once a day, rather than found by an index, which each event of each account would write.
//!
//! An account that speaks after it was forgotten is known anew: its next commit is believed by its signature, and what follows by
//! the chain.

use std::collections::BTreeMap;

use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::{Did, Rev};

use super::Peer;
use crate::limits::{PEER_FORGET_MS, PEER_SWEEP_ACCOUNTS, PEER_SWEEP_MS, PEER_UNWANTED_FORGET_MS};
use crate::partition::int;

/// Reads 1 row.
const SELECT: &str = "SELECT after, due_at FROM peer_sweep WHERE id = 1";
/// Writes 1 row.
const UPSERT: &str = "INSERT INTO peer_sweep (id, after, due_at) VALUES (1, ?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET after = excluded.after, due_at = excluded.due_at";
/// Reads as many rows as it answers.
const SELECT_ACCOUNTS: &str =
    "SELECT did, host, rev, seen_at FROM peer_account WHERE did > ?1 ORDER BY did LIMIT ?2";
/// Writes 1 row, and one more for an account that was out of step.
const DELETE: &str = "DELETE FROM peer_account WHERE did = ?1";

/// How far all accounts were looked through.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The last account that was looked at; empty at the beginning.
    after: String,
    /// When to go on, milliseconds.
    pub(super) due_at: u64,
}

/// What a turn has forgotten.
#[derive(Debug)]
pub(super) struct Forgotten {
    /// How many accounts of each peer.
    pub(super) of: BTreeMap<String, u64>,
    /// How far it has come.
    pub(super) sweep: Sweep,
    /// Whether there are more to be looked at.
    pub(super) more: bool,
}

impl Sweep {
    /// How far it was; one that has not begun is due at once.
    pub(super) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let Some(mut row) = store.query(SELECT, &[])?.pop() else {
            return Ok(Self { after: String::new(), due_at: 0 });
        };
        let due_at = u64::try_from(row.int(1)?);
        Ok(Self {
            after: row.text(0)?,
            due_at: due_at.map_err(|_| StoreError::Corrupt("the sweep of peers".into()))?,
        })
    }

    /// Looks at the next accounts, and forgets those of which nothing is to be expected. To be called within a transaction. Writes
    /// 1 row, and 1 for each account that is forgotten, or 2 if that was out of step.
    pub(super) fn run(
        &self,
        store: &dyn Store,
        peers: &BTreeMap<String, Peer>,
        now_ms: u64,
    ) -> Result<Forgotten, StoreError> {
        let limit = i64::try_from(PEER_SWEEP_ACCOUNTS).unwrap_or(i64::MAX);
        let rows = store.query(SELECT_ACCOUNTS, &[Param::Text(&self.after), Param::Int(limit)])?;
        let more = rows.len() >= PEER_SWEEP_ACCOUNTS;
        let (mut after, mut of) = (String::new(), BTreeMap::new());
        for mut row in rows {
            let (did, host, heard) = (row.text(0)?, row.text(1)?, heard(&mut row)?);
            let is_wanted = match (peers.get(&host), Did::parse(&did)) {
                (Some(peer), Ok(did)) => peer.admits(&did),
                _ => false,
            };
            let age = if is_wanted { PEER_FORGET_MS } else { PEER_UNWANTED_FORGET_MS };
            if now_ms.saturating_sub(heard) >= age {
                store.query(DELETE, &[Param::Text(&did)])?;
                *of.entry(host).or_insert(0) += 1;
            }
            after = did;
        }
        let due_at = if more { now_ms } else { now_ms + PEER_SWEEP_MS };
        let sweep = Self { after: if more { after } else { String::new() }, due_at };
        store.query(UPSERT, &[Param::Text(&sweep.after), Param::Int(int(sweep.due_at)?)])?;
        Ok(Forgotten { of, sweep, more })
    }
}

/// When an account was last heard of, milliseconds.
fn heard(row: &mut Row) -> Result<u64, StoreError> {
    let rev = row.opt_text(2)?.and_then(|rev| Rev::parse(&rev).ok()).map_or(0, |rev| rev.micros() / 1000);
    Ok(u64::try_from(row.int(3)?).unwrap_or_default().max(rev))
}
