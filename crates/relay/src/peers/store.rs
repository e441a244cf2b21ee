//! The table of peers.

use murmuration_platform::{Param, Row, Store, StoreError};

use super::{Peer, PeerHost, Trust};
use crate::partition::int;

/// Reads a row a peer.
const SELECT_ALL: &str = "SELECT host, did, trust, cursor, accounts, failures, problem, due_at, news_at, day_at, \
     bytes, allow FROM peer";
/// Writes 1 row.
const UPSERT: &str = "INSERT INTO peer (host, did, trust, cursor, accounts, failures, problem, due_at, news_at, \
     day_at, bytes, allow) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (host) DO UPDATE SET \
     did = excluded.did, trust = excluded.trust, cursor = excluded.cursor, accounts = excluded.accounts, \
     failures = excluded.failures, problem = excluded.problem, due_at = excluded.due_at, news_at = excluded.news_at, \
     day_at = excluded.day_at, bytes = excluded.bytes, allow = excluded.allow";

/// All peers.
pub(super) fn all(store: &dyn Store) -> Result<Vec<Peer>, StoreError> {
    store.query(SELECT_ALL, &[])?.into_iter().map(read).collect()
}

/// Keeps a peer.
pub(super) fn save(store: &dyn Store, peer: &Peer) -> Result<(), StoreError> {
    let allow = peer.allow.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let params = [
        Param::Text(peer.host.as_str()),
        peer.did.as_deref().map_or(Param::Null, Param::Text),
        Param::Text(peer.trust.name()),
        Param::Int(int(peer.cursor)?),
        Param::Int(int(peer.accounts)?),
        Param::Int(i64::from(peer.failures)),
        peer.problem.as_deref().map_or(Param::Null, Param::Text),
        Param::Int(int(peer.due_at)?),
        Param::Int(int(peer.news_at)?),
        Param::Int(int(peer.day_at)?),
        Param::Int(int(peer.bytes)?),
        Param::Text(&allow),
    ];
    store.query(UPSERT, &params).map(drop)
}

fn read(mut row: Row) -> Result<Peer, StoreError> {
    let host = row.text(0)?;
    let corrupt = || StoreError::Corrupt(format!("the peer {host}"));
    let mut peer = Peer::new(PeerHost::parse(&host).ok_or_else(corrupt)?);
    peer.did = row.opt_text(1)?;
    peer.trust = Trust::from_name(&row.text(2)?).ok_or_else(corrupt)?;
    let mut number = |column| u64::try_from(row.int(column)?).map_err(|_| corrupt());
    (peer.cursor, peer.accounts) = (number(3)?, number(4)?);
    (peer.due_at, peer.news_at) = (number(7)?, number(8)?);
    (peer.day_at, peer.bytes) = (number(9)?, number(10)?);
    peer.failures = u32::try_from(number(5)?).map_err(|_| corrupt())?;
    peer.problem = row.opt_text(6)?;
    peer.allow = row.text(11)?.split_whitespace().map(str::to_owned).collect();
    Ok(peer)
}
