//! After a rotation of the agent's keys: the data keys of all that is kept here, under those of the latest epoch.
//!
//! Only the short part of each row that has its key changes; texts and what is shared stay. What is stored says by itself what is
//! left, so a run that dies has lost nothing.

use murmuration_envelope::{Binding, Envelope, Parts};
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_syntax::Did;

use crate::limits::MAX_PAGE_BYTES;
use crate::list::path_of;
use crate::row::{binding, uint};
use crate::secret::Secret;
use crate::space::{SKEY, SPACE_TYPE};
use crate::state;

/// Reads all that is kept.
const COUNT: &str = "SELECT (SELECT count(*) FROM memory WHERE own_epoch < ?1) \
     + (SELECT count(*) FROM memory_state WHERE own_epoch < ?1) + (SELECT count(*) FROM memory_key WHERE own_epoch < ?1)";

/// The secret: reads 1 row, and writes 1.
const OLD_KEY: &str = "SELECT own, NULL, text FROM memory_key WHERE own_epoch < ?1 LIMIT ?2 + 0";
const WRAP_KEY: &str = "UPDATE memory_key SET own_epoch = ?1, own = ?2 WHERE id = 1";

/// Memories: reads down to the last that it answers with, and writes 1 row for each.
const OLD_MEMORIES: &str = "SELECT own, readers, text, collection, rkey FROM memory \
     WHERE space_type = ?3 AND skey = ?4 AND own_epoch < ?1 LIMIT ?2 + 0";
const WRAP_MEMORY: &str = "UPDATE memory SET own_epoch = ?1, own = ?2 \
     WHERE space_type = ?3 AND skey = ?4 AND collection = ?5 AND rkey = ?6";

/// Entries of the working state: the same.
const OLD_STATES: &str = "SELECT own, NULL, text, name FROM memory_state WHERE own_epoch < ?1 LIMIT ?2 + 0";
const WRAP_STATE: &str = "UPDATE memory_state SET own_epoch = ?1, own = ?2 WHERE name = ?3";

/// Puts the author's copy of a data key under the key of the latest epoch. `None` where no key opens it.
pub type Rewrap<'a> = dyn FnMut(&Binding, &Envelope) -> Option<Envelope> + 'a;

/// How many rows are to be wrapped anew until none needs an epoch before this one. Writes nothing.
///
/// # Errors
/// The storage's.
pub fn left_to_wrap(store: &dyn Store, epoch: u32) -> Result<u64, StoreError> {
    let mut rows = store.query(COUNT, &[Param::Int(epoch.into())])?;
    rows.pop().map_or(Ok(0), |mut row| row.int(0).map(uint))
}

/// Wraps at most `limit` rows anew, and says how many. Runs in a transaction. Writes a row for each; one that no key opens is noted
/// to be of no epoch, and stays as it is.
///
/// # Errors
/// The storage's. Nothing of the run holds then.
pub fn wrap_some(
    store: &dyn Store,
    did: &Did,
    epoch: u32,
    limit: u32,
    rewrap: &mut Rewrap<'_>,
) -> Result<u32, StoreError> {
    let new = Param::Int(epoch.into());
    let mut done: u32 = 0;
    for mut row in store.query(OLD_KEY, &[new, Param::Int(limit.into())])? {
        let own = wrapped(&mut row, &Secret::binding(did)?, rewrap)?;
        let (epoch, own) = own.columns(new);
        store.query(WRAP_KEY, &[epoch, Param::Blob(own)])?;
        done += 1;
    }
    let space = [Param::Text(SPACE_TYPE), Param::Text(SKEY)];
    while done < limit {
        let [kind, skey] = space;
        let page = [new, Param::Int((limit - done).into()), kind, skey];
        let rows = store.query_within(OLD_MEMORIES, &page, MAX_PAGE_BYTES)?;
        if rows.is_empty() {
            break;
        }
        for mut row in rows {
            let path = path_of(&row.text(3)?, &row.text(4)?)?;
            let own = wrapped(&mut row, &binding(did, &path), rewrap)?;
            let (epoch, own) = own.columns(new);
            let (collection, rkey) = (path.collection.as_str(), path.rkey.as_str());
            let params = [epoch, Param::Blob(own), kind, skey, Param::Text(collection), Param::Text(rkey)];
            store.query(WRAP_MEMORY, &params)?;
            done += 1;
        }
    }
    while done < limit {
        let page = [new, Param::Int((limit - done).into())];
        let rows = store.query_within(OLD_STATES, &page, MAX_PAGE_BYTES)?;
        if rows.is_empty() {
            break;
        }
        for mut row in rows {
            let name = row.blob(3)?;
            let own = wrapped(&mut row, &state::binding(did, &name)?, rewrap)?;
            let (epoch, own) = own.columns(new);
            store.query(WRAP_STATE, &[epoch, Param::Blob(own), Param::Blob(&name)])?;
            done += 1;
        }
    }
    Ok(done)
}

/// The author's part of a row's envelope.
enum Own {
    New(Vec<u8>),
    /// No key opens it: as it was.
    Dead(Vec<u8>),
}

impl Own {
    /// The columns `own_epoch` and `own`.
    fn columns<'a>(&'a self, epoch: Param<'a>) -> (Param<'a>, &'a [u8]) {
        match self {
            Self::New(own) => (epoch, own),
            Self::Dead(own) => (Param::Null, own),
        }
    }
}

fn wrapped(row: &mut Row, binding: &Binding, rewrap: &mut Rewrap<'_>) -> Result<Own, StoreError> {
    let parts =
        Parts { own: row.blob(0)?, readers: row.opt_blob(1)?.unwrap_or_default(), text: row.blob(2)? };
    let new = Envelope::from_parts(&parts).ok().and_then(|envelope| rewrap(binding, &envelope));
    Ok(new.map_or(Own::Dead(parts.own), |envelope| Own::New(envelope.to_parts().own)))
}
