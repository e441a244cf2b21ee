//! The operation log: what was created, changed and deleted of late.
//!
//! A client that has a copy asks for what came behind the revision that it knows, and then holds its set hash against the space's. The
//! log is a ring: it says so when it does not reach back far enough. It also knows idempotency keys again, for as long.

use murmuration_data::{CID_BYTES, Cid, cid_from_bytes, cid_to_bytes};
use murmuration_platform::{Entropy, Param, Row, Store, StoreError};
use murmuration_syntax::{Nsid, RecordKey, RepoPath, Rev};

use crate::MemoryError;
use crate::limits::MAX_OPS;
use crate::secret::Secret;
use crate::space::{SKEY, SPACE_TYPE};

/// Writes 1 row, and 1 more with an idempotency key, and 1 more where it takes the place of one with a key.
const STORE: &str = "INSERT OR REPLACE INTO memory_op \
     (place, ord, space_type, skey, rev, collection, rkey, cids, request, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
/// Reads 1 row and an index entry.
const BY_REQUEST: &str = "SELECT rev, collection, rkey, cids, digest FROM memory_op WHERE request = ?1 AND space_type = ?2 AND skey = ?3";
/// Reads the rows that it answers with.
const BEHIND: &str = "SELECT rev, collection, rkey, cids FROM memory_op WHERE place = ?1 AND rev > ?2 AND space_type = ?3 AND skey = ?4";
/// Reads the ring.
const OLDEST_BEHIND: &str = "SELECT min(ord), (SELECT min(ord) FROM memory_op) FROM memory_op \
     WHERE rev > ?1 AND space_type = ?2 AND skey = ?3";

/// One change of one memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The revision that it made.
    pub rev: Rev,
    /// Of which memory.
    pub path: RepoPath,
    /// What it is since then; `None` if it was deleted.
    pub cid: Option<Cid>,
    /// What it was before; `None` if it was created.
    pub prev: Option<Cid>,
}

/// Operations behind a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// The first first.
    pub operations: Vec<Operation>,
    /// Whether there are more behind the last of these.
    pub more: bool,
    /// Whether some behind the revision are not in the log any more: then the memories are to be read anew.
    pub gap: bool,
}

/// An idempotency key and what it is used for, as keyed hashes.
pub(crate) struct Request {
    pub(crate) key: [u8; 16],
    pub(crate) digest: [u8; 16],
}

impl Operation {
    /// Appends it as the `ord`-th, counted from 0.
    pub(crate) fn store(
        &self,
        store: &dyn Store,
        secret: &Secret,
        ord: u64,
        request: Option<&Request>,
        entropy: &dyn Entropy,
    ) -> Result<(), MemoryError> {
        let cids = [self.cid, self.prev].map(|cid| cid.map(|cid| cid_to_bytes(&cid)).transpose());
        let mut bytes = Vec::new();
        for cid in cids {
            let cid = cid.map_err(|_| corrupt())?;
            // Of one length whether there is one or not: which it is shows in no row.
            bytes.push(u8::from(cid.is_some()));
            bytes.extend(cid.unwrap_or([0; CID_BYTES]));
        }
        let rev = self.rev.to_string();
        let sealed = secret.seal(&place(&rev, &self.path), &bytes, entropy);
        let row = [
            int(ord % MAX_OPS),
            int(ord),
            Param::Text(SPACE_TYPE),
            Param::Text(SKEY),
            Param::Text(&rev),
            Param::Text(self.path.collection.as_str()),
            Param::Text(self.path.rkey.as_str()),
            Param::Blob(&sealed),
            request.map_or(Param::Null, |request| Param::Blob(&request.key)),
            request.map_or(Param::Null, |request| Param::Blob(&request.digest)),
        ];
        Ok(store.query(STORE, &row).map(drop)?)
    }

    /// The operation of an idempotency key, and the digest of what it was used for.
    pub(crate) fn of_request(
        store: &dyn Store,
        secret: &Secret,
        key: &[u8],
    ) -> Result<Option<(Self, Vec<u8>)>, MemoryError> {
        let params = [Param::Blob(key), Param::Text(SPACE_TYPE), Param::Text(SKEY)];
        let Some(mut row) = store.query(BY_REQUEST, &params)?.pop() else { return Ok(None) };
        let operation = Self::read(&mut row, secret)?;
        Ok(Some((operation, row.blob(4)?)))
    }

    fn read(row: &mut Row, secret: &Secret) -> Result<Self, MemoryError> {
        let rev = row.text(0)?;
        let collection = Nsid::parse(&row.text(1)?).map_err(|_| corrupt())?;
        let rkey = RecordKey::parse(&row.text(2)?).map_err(|_| corrupt())?;
        let path = RepoPath::new(collection, rkey);
        let bytes = secret.open(&place(&rev, &path), &row.blob(3)?)?;
        let (cid, prev) = bytes.split_at_checked(1 + CID_BYTES).ok_or_else(corrupt)?;
        let read = |bytes: &[u8]| match bytes.split_first() {
            Some((0, _)) => Ok(None),
            Some((1, cid)) => cid_from_bytes(cid).map(Some).map_err(|_| corrupt()),
            _ => Err(corrupt()),
        };
        let rev = Rev::parse(&rev).map_err(|_| corrupt())?;
        Ok(Self { rev, path, cid: read(cid)?, prev: read(prev)? })
    }
}

/// Operations behind a revision, some.
pub(crate) fn behind(
    store: &dyn Store,
    secret: &Secret,
    since: Option<Rev>,
    limit: usize,
) -> Result<Operations, MemoryError> {
    let since = since.unwrap_or(Rev::MIN).to_string();
    let params = [Param::Text(&since), Param::Text(SPACE_TYPE), Param::Text(SKEY)];
    let mut answer = Operations::default();
    let Some(mut row) = store.query(OLDEST_BEHIND, &params)?.pop() else { return Ok(answer) };
    let (Some(first), Some(oldest)) = (row.opt_int(0)?, row.opt_int(1)?) else { return Ok(answer) };
    let first = u64::try_from(first).map_err(|_| corrupt())?;
    // The oldest that is left may be the first that is wanted, and then nothing says what was before it, unless it is the very first.
    answer.gap = oldest > 0 && u64::try_from(oldest).map_err(|_| corrupt())? == first;
    let mut ord = first;
    loop {
        let params = [int(ord % MAX_OPS), Param::Text(&since), Param::Text(SPACE_TYPE), Param::Text(SKEY)];
        let Some(mut row) = store.query(BEHIND, &params)?.pop() else { return Ok(answer) };
        if answer.operations.len() >= limit {
            answer.more = true;
            return Ok(answer);
        }
        let operation = Operation::read(&mut row, secret)?;
        // Once round the ring.
        if answer.operations.last().is_some_and(|last| last.rev >= operation.rev) {
            return Ok(answer);
        }
        answer.operations.push(operation);
        ord += 1;
    }
}

fn place(rev: &str, path: &RepoPath) -> String {
    format!("operation {rev} {path}")
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("an operation on a memory is not as it was written".into())
}

/// A number for the storage.
pub(crate) fn int(number: u64) -> Param<'static> {
    // INVARIANT: microseconds since 1970 stay below 2^53 until the year 2255, and operations are fewer.
    Param::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
