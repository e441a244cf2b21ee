//! The space that private memories are in, and what is known of it as a whole.
//!
//! A space is an authorization boundary of proposal 0016; the memories of an agent are its permissioned repo in a space of its own
//! authority. Its revision is in the open; its set hash and counts are sealed, for the hash of a set of one is a hash of its member,
//! by which a guess could be confirmed.

use murmuration_platform::{Entropy, Param, Store, StoreError};
use murmuration_syntax::{Did, Rev};

use crate::secret::Secret;
use crate::{MemoryError, SetHash};

/// Reads 1 row.
const SELECT: &str = "SELECT rev, state FROM memory_space WHERE space_type = ?1 AND skey = ?2";
/// Writes 1 row.
const STORE: &str = "INSERT INTO memory_space (space_type, skey, rev, state) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (space_type, skey) DO UPDATE SET rev = excluded.rev, state = excluded.state";

/// How a space stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Of the last operation; none before the first.
    pub rev: Option<Rev>,
    /// Operations so far.
    pub operations: u64,
    /// Memories.
    pub memories: u64,
    /// Bytes of their sealed texts.
    pub bytes: u64,
    /// The hash of the set of them.
    pub hash: SetHash,
}

impl Space {
    /// Reads the space of private memories.
    pub(crate) fn read(store: &dyn Store, secret: &Secret, did: &Did) -> Result<Self, MemoryError> {
        let Some(mut row) = store.query(SELECT, &[Param::Text(SPACE_TYPE), Param::Text(SKEY)])?.pop() else {
            return Ok(Self::default());
        };
        let rev = row.text(0)?;
        let state = secret.open(&place(did, &rev), &row.blob(1)?)?;
        let corrupt = || StoreError::Corrupt("the state of a space is not as it was written".into());
        let (head, hash) = state.split_first_chunk::<HEAD_BYTES>().ok_or_else(corrupt)?;
        let (numbers, _) = head.as_chunks::<8>();
        let [operations, memories, bytes] = numbers else { return Err(corrupt().into()) };
        Ok(Self {
            rev: Some(Rev::parse(&rev).map_err(|_| corrupt())?),
            operations: u64::from_be_bytes(*operations),
            memories: u64::from_be_bytes(*memories),
            bytes: u64::from_be_bytes(*bytes),
            hash: SetHash::from_bytes(hash)?,
        })
    }

    /// Writes 1 row.
    pub(crate) fn store(
        &self,
        store: &dyn Store,
        secret: &Secret,
        did: &Did,
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        let rev = self.rev.unwrap_or(Rev::MIN).to_string();
        let numbers = [self.operations, self.memories, self.bytes].map(u64::to_be_bytes);
        let state = [numbers.as_flattened(), &self.hash.to_bytes()].concat();
        let sealed = secret.seal(&place(did, &rev), &state, entropy);
        let row = [Param::Text(SPACE_TYPE), Param::Text(SKEY), Param::Text(&rev), Param::Blob(&sealed)];
        store.query(STORE, &row).map(drop)
    }
}

/// What the state is sealed for: an older one does not open under a newer revision.
fn place(did: &Did, rev: &str) -> String {
    format!("space {did} {SPACE_TYPE} {SKEY} {rev}")
}

/// The type of the space of private memories.
pub const SPACE_TYPE: &str = "agent.memory.personal";

/// Its key.
pub const SKEY: &str = "self";

/// Bytes of the three counts.
const HEAD_BYTES: usize = 24;
