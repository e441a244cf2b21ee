//! What is kept of a peer's account.

use murmuration_data::{cid_from_bytes, cid_to_bytes};
use murmuration_firehose::Head;
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::Rev;

use super::PeerHost;
use crate::limits::PEER_MEND_SECONDS;
use crate::partition::int;

/// Reads 1 row.
const SELECT: &str = "SELECT host, active, rev, data, mend_at, tries FROM peer_account WHERE did = ?1";
/// Writes 1 row, and one more for an account that is out of step.
const UPSERT: &str = "INSERT INTO peer_account (did, host, active, rev, data, mend_at, tries, seen_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (did) DO UPDATE SET host = excluded.host, \
     active = excluded.active, rev = excluded.rev, data = excluded.data, mend_at = excluded.mend_at, tries = excluded.tries, \
     seen_at = excluded.seen_at";
/// Reads as many rows as it answers.
const SELECT_MENDS: &str = "SELECT did FROM peer_account \
     WHERE host = ?1 AND mend_at IS NOT NULL AND mend_at <= ?2 ORDER BY mend_at LIMIT ?3";

/// An account of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Account {
    /// The peer that has it.
    pub(super) host: String,
    /// Whether that says that it is active.
    pub(super) active: bool,
    /// Where its repository stands; `None` while nothing is known.
    pub(super) head: Option<Head>,
    /// Set while it is out of step.
    pub(super) mend: Option<Mend>,
}

/// What is done about an account that is out of step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mend {
    /// When its host is to be asked for its latest commit, milliseconds.
    pub(super) at: u64,
    /// How often it was.
    pub(super) tries: u32,
}

impl Mend {
    /// An account that is out of step since now.
    pub(super) const fn due(now_ms: u64) -> Self {
        Self { at: now_ms, tries: 0 }
    }

    /// It was tried, in vain. After so many times its own `#sync` alone can help.
    pub(super) fn failed(self, now_ms: u64) -> Self {
        let pause = usize::try_from(self.tries).ok().and_then(|tries| PEER_MEND_SECONDS.get(tries));
        Self {
            at: pause.map_or(NEVER, |seconds| now_ms + seconds * 1000),
            tries: self.tries.saturating_add(1),
        }
    }
}

impl Account {
    /// An account of which nothing is known.
    pub(super) fn new(host: &PeerHost) -> Self {
        Self { host: host.as_str().to_owned(), active: true, head: None, mend: None }
    }

    /// Whether the account is not as it was; one of which nothing was known and nothing is known now is.
    pub(super) fn differs(&self, was: Option<&Self>) -> bool {
        match was {
            Some(was) => self != was,
            None => !self.active || self.head.is_some() || self.mend.is_some(),
        }
    }

    /// Reads an account.
    pub(super) fn load(store: &dyn Store, did: &str) -> Result<Option<Self>, StoreError> {
        store.query(SELECT, &[Param::Text(did)])?.pop().map(read).transpose()
    }

    /// Keeps an account.
    pub(super) fn save(&self, store: &dyn Store, did: &str, now_ms: u64) -> Result<(), StoreError> {
        let rev = self.head.map(|head| head.rev.to_string());
        let data = self.head.map(|head| cid_to_bytes(&head.data)).transpose();
        let data = data.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let params = [
            Param::Text(did),
            Param::Text(&self.host),
            Param::Int(i64::from(self.active)),
            rev.as_deref().map_or(Param::Null, Param::Text),
            data.as_ref().map_or(Param::Null, |data| Param::Blob(data)),
            self.mend.map(|mend| int(mend.at)).transpose()?.map_or(Param::Null, Param::Int),
            Param::Int(i64::from(self.mend.map_or(0, |mend| mend.tries))),
            Param::Int(int(now_ms)?),
        ];
        store.query(UPSERT, &params).map(drop)
    }
}

/// The accounts of a peer whose host is to be asked for their latest commit, at most so many.
pub(crate) fn mends(
    store: &dyn Store,
    host: &PeerHost,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params = [Param::Text(host.as_str()), Param::Int(int(now_ms)?), Param::Int(limit)];
    store.query(SELECT_MENDS, &params)?.into_iter().map(|mut row| row.text(0)).collect()
}

fn read(mut row: Row) -> Result<Account, StoreError> {
    let corrupt = |_| StoreError::Corrupt("an account of a peer".to_owned());
    let (host, active) = (row.text(0)?, row.int(1)? != 0);
    let (rev, data) = (row.opt_text(2)?, row.opt_blob(3)?);
    let head = match rev.zip(data) {
        Some((rev, data)) => Some(Head {
            rev: Rev::parse(&rev).map_err(|error| StoreError::Corrupt(error.to_string()))?,
            data: cid_from_bytes(&data).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        }),
        None => None,
    };
    let at = row.opt_int(4)?.map(u64::try_from).transpose().map_err(corrupt)?;
    let tries = u32::try_from(row.int(5)?).map_err(corrupt)?;
    Ok(Account { host, active, head, mend: at.map(|at| Mend { at, tries }) })
}

/// A time that does not come: what a JavaScript number holds.
const NEVER: u64 = (1 << 53) - 1;
