//! Sharing: who reads a memory beside its agent, and what they are given.
//!
//! A reader has a row with the memory's data key, sealed to a key that the reader publishes. It lies apart from the envelope, so that what
//! one reader is given names no other. It is of one version of the memory and one key of the reader: where either is not the latest, the
//! data key is sealed anew when the reader asks, for then it is known what the reader publishes. So a new version costs its readers no
//! row, and nothing is sealed to a key whose epoch has ended.
//!
//! A memory that came from another store comes with the names of its readers, and their rows have no key: it is sealed when they ask, too.
//!
//! To end a share, the row goes and the memory gets another data key, which nobody has been given.

use murmuration_data::{Cid, cbor, cid_of_cbor};
use murmuration_envelope::{Envelope, EnvelopeError, Opened, Recipient, SharedKey};
use murmuration_keyring::Ring;
use murmuration_platform::{Param, Row, Store, StoreError, transaction};
use murmuration_syntax::{Did, RepoPath, Rev};

use crate::apart::record_of;
use crate::limits::MAX_READERS;
use crate::list::path_of;
use crate::operation::int;
use crate::row::{Columns, binding, key_of, uint};
use crate::space::{SKEY, SPACE_TYPE};
use crate::{Keeper, Memories, MemoryError};

/// Reads the rows that it answers with.
const READERS: &str =
    "SELECT reader FROM memory_share WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Reads 1 row.
const SELECT: &str = "SELECT sealing, key FROM memory_share \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4 AND reader = ?5";
/// Writes 1 row.
const PUT: &str = "INSERT INTO memory_share (space_type, skey, collection, rkey, reader, shared_at, sealing, key) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT (space_type, skey, collection, rkey, reader) DO UPDATE SET sealing = excluded.sealing, key = excluded.key";
/// Writes 1 row, and none where there is one.
const PUT_UNSEALED: &str = "INSERT INTO memory_share (space_type, skey, collection, rkey, reader, shared_at, sealing, key) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, x'', x'') ON CONFLICT (space_type, skey, collection, rkey, reader) DO NOTHING";
/// Writes 1 row, if there is one.
const DROP: &str = "DELETE FROM memory_share \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4 AND reader = ?5";
/// Writes a row for each reader.
const DROP_ALL: &str =
    "DELETE FROM memory_share WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Writes 1 row.
const RESEAL: &str = "UPDATE memory SET own_epoch = ?5, own = ?6, text = ?7 \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4";
/// Reads the rows that it answers with.
const LIST: &str = "SELECT collection, rkey, reader, shared_at, key FROM memory_share \
     WHERE space_type = ?1 AND skey = ?2 AND (collection, rkey, reader) > (?3, ?4, ?5) \
     ORDER BY collection, rkey, reader LIMIT ?6 + 0";
/// The same of one memory.
const LIST_OF: &str = "SELECT collection, rkey, reader, shared_at, key FROM memory_share \
     WHERE space_type = ?1 AND skey = ?2 AND collection = ?3 AND rkey = ?4 AND reader > ?5 ORDER BY reader LIMIT ?6 + 0";

/// That somebody may read a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which memory.
    pub path: RepoPath,
    /// Who.
    pub reader: Did,
    /// The name of the reader's key that its data key was sealed to last; `None` where it was to none yet, as after a move.
    pub key_id: Option<String>,
    /// Since when, in microseconds since the Unix epoch.
    pub shared_at: u64,
}

/// A memory as its reader is given it: sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The memory, or what its row has of one that lies apart.
    pub envelope: Envelope,
    /// What lies apart of it.
    pub apart: Option<Vec<u8>>,
    /// Its data key, sealed to the reader.
    pub key: SharedKey,
    /// The revision of its space at its last change.
    pub rev: Rev,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: u64,
    /// When it was changed last.
    pub updated_at: u64,
    /// When it ends by itself.
    pub expires_at: Option<u64>,
}

impl Memories {
    /// Lets others read a memory, and says who of them could not before. Writes a row for each, but for those whose row is of this
    /// version and this key already.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`] and [`MemoryError::TooManyReaders`].
    pub fn share(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        readers: &[Recipient],
    ) -> Result<Vec<Did>, MemoryError> {
        transaction(&*self.store, || {
            let row = self.live(path, keeper.now)?;
            let known = self.readers(path)?;
            let new: Vec<Did> =
                readers.iter().map(|to| to.did().clone()).filter(|did| !known.contains(did)).collect();
            if known.len() + new.len() > MAX_READERS {
                return Err(MemoryError::TooManyReaders);
            }
            for to in readers {
                self.key_for(keeper, path, &row, to)?;
            }
            Ok(new)
        })
    }

    /// Ends shares of a memory: the readers' rows go, and the memory gets another data key. Writes a row for each of them and 2 more;
    /// none where none of them was a reader.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`].
    pub fn revoke(&self, keeper: Keeper<'_>, path: &RepoPath, readers: &[Did]) -> Result<Cid, MemoryError> {
        transaction(&*self.store, || {
            let row = self.live(path, keeper.now)?;
            let known = self.readers(path)?;
            let (text, cid) = (row.text(keeper, path)?, row.cid(keeper, path)?);
            let mut ended = readers.iter().filter(|reader| known.contains(reader)).peekable();
            if ended.peek().is_none() {
                return Ok(cid);
            }
            let [kind, skey, collection, rkey] = key_of(path);
            for reader in ended {
                self.store.query(DROP, &[kind, skey, collection, rkey, Param::Text(reader.as_str())])?;
            }
            let parts = self.seal(keeper, path, &text)?;
            self.shred(path)?;
            let (own, text) = (Param::Blob(&parts.own), Param::Blob(&parts.text));
            let epoch = Param::Int(keeper.ring.current().number().into());
            self.store.query(RESEAL, &[kind, skey, collection, rkey, epoch, own, text])?;
            Ok(cid)
        })
    }

    /// Shares, by the names of the memories and then the readers, behind `after`. Writes nothing.
    ///
    /// # Errors
    /// The storage's.
    pub fn shares(
        &self,
        of: Option<&RepoPath>,
        after: Option<(&RepoPath, &str)>,
        limit: u32,
    ) -> Result<Vec<Share>, MemoryError> {
        let reader = after.map_or("", |(_, reader)| reader);
        let path = of.or(after.map(|(path, _)| path));
        let (collection, rkey) = path.map_or(("", ""), |path| (path.collection.as_str(), path.rkey.as_str()));
        let params = [
            Param::Text(SPACE_TYPE),
            Param::Text(SKEY),
            Param::Text(collection),
            Param::Text(rkey),
            Param::Text(reader),
            Param::Int(limit.into()),
        ];
        let rows = self.store.query(if of.is_some() { LIST_OF } else { LIST }, &params)?;
        rows.into_iter().map(|mut row| Ok(share(&mut row)?)).collect()
    }

    /// A memory as `reader` may have it, with its data key sealed to the reader's key of the name `wants`; `None` where it is not yet, and
    /// nobody says what the reader publishes. Then `to` does: the data key is sealed to that, and 1 row written.
    ///
    /// # Errors
    /// [`MemoryError::NotFound`], also where it is not shared with the reader.
    pub fn give(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        reader: &Did,
        wants: &str,
        to: Option<&Recipient>,
    ) -> Result<Option<Given>, MemoryError> {
        let row = self.live(path, keeper.now)?;
        let key = self.share_of(path, &row, reader)?.ok_or(MemoryError::NotFound)?;
        let key = key.filter(|key| key.recipient().as_str() == wants);
        let to = to.filter(|to| to.did() == reader);
        if key.is_none() && to.is_none() {
            return Ok(None);
        }
        let apart = self.brought(row.apart.as_ref())?;
        let key = match (key, to) {
            (None, Some(to)) => transaction(&*self.store, || self.key_for(keeper, path, &row, to))?,
            (key, _) => key.ok_or_else(corrupt)?,
        };
        Ok(Some(Given {
            envelope: Envelope::from_parts(&row.parts)?,
            apart,
            key,
            rev: row.rev,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: row.expires_at,
        }))
    }

    /// Forgets all readers of a memory that goes. Writes a row for each.
    pub(crate) fn drop_shares(&self, path: &RepoPath) -> Result<(), StoreError> {
        self.store.query(DROP_ALL, &key_of(path)).map(drop)
    }

    /// The data key of a row, sealed to somebody, as it is kept or, if that is of another version or key, anew.
    fn key_for(
        &self,
        keeper: Keeper<'_>,
        path: &RepoPath,
        row: &Columns,
        to: &Recipient,
    ) -> Result<SharedKey, MemoryError> {
        if let Some(Some(key)) = self.share_of(path, row, to.did())?
            && *key.recipient() == to.key().id
        {
            return Ok(key);
        }
        let envelope = Envelope::from_parts(&row.parts)?;
        let binding = binding(keeper.ring.did(), path);
        let key = keeper.ring.share_key(&binding, &envelope, None, to, keeper.entropy)?;
        let bytes = cbor::encode(&key.to_ipld()).map_err(|_| corrupt())?;
        let [kind, skey, collection, rkey] = key_of(path);
        let sealing = row.parts.sealing().ok_or_else(corrupt)?;
        let row = [
            kind,
            skey,
            collection,
            rkey,
            Param::Text(to.did().as_str()),
            int(keeper.now),
            Param::Blob(sealing),
            Param::Blob(&bytes),
        ];
        self.store.query(PUT, &row)?;
        Ok(key)
    }

    /// Lets somebody read a memory that came from another store: the data key is sealed to them when they ask. Writes 1 row.
    pub(crate) fn share_unsealed(&self, path: &RepoPath, reader: &Did, at: u64) -> Result<(), StoreError> {
        let [kind, skey, collection, rkey] = key_of(path);
        let row = [kind, skey, collection, rkey, Param::Text(reader.as_str()), int(at)];
        self.store.query(PUT_UNSEALED, &row).map(drop)
    }

    /// The key that is kept for a reader; the inner `None` where there is none yet of this version.
    fn share_of(
        &self,
        path: &RepoPath,
        row: &Columns,
        reader: &Did,
    ) -> Result<Option<Option<SharedKey>>, StoreError> {
        let [kind, skey, collection, rkey] = key_of(path);
        let params = [kind, skey, collection, rkey, Param::Text(reader.as_str())];
        let Some(mut share) = self.store.query(SELECT, &params)?.pop() else { return Ok(None) };
        let (sealing, key) = (share.blob(0)?, shared_key(&mut share, 1)?);
        Ok(Some(key.filter(|_| is_of(row, &sealing))))
    }

    fn readers(&self, path: &RepoPath) -> Result<Vec<Did>, StoreError> {
        readers(&*self.store, path)
    }
}

impl Given {
    /// Opens it, as whom it was given to: the record of `author`'s memory of that name, in DAG-CBOR, and its CID.
    ///
    /// # Errors
    /// When it does not open: its keys are not this reader's, or it is another memory's.
    pub fn open(&self, ring: &Ring, author: &Did, path: &RepoPath) -> Result<(Opened, Cid), EnvelopeError> {
        let text = ring.open_shared(&binding(author, path), &self.envelope, &self.key)?;
        let record = record_of(text, self.apart.as_deref())?;
        let cid = cid_of_cbor(&record);
        Ok((record, cid))
    }
}

/// Who reads a memory beside its agent.
pub(crate) fn readers(store: &dyn Store, path: &RepoPath) -> Result<Vec<Did>, StoreError> {
    let rows = store.query(READERS, &key_of(path))?;
    rows.into_iter().map(|mut row| Did::parse(&row.text(0)?).map_err(|_| corrupt())).collect()
}

fn is_of(row: &Columns, sealing: &[u8]) -> bool {
    row.parts.sealing().is_some_and(|current| current == sealing)
}

fn share(row: &mut Row) -> Result<Share, StoreError> {
    Ok(Share {
        path: path_of(&row.text(0)?, &row.text(1)?)?,
        reader: Did::parse(&row.text(2)?).map_err(|_| corrupt())?,
        shared_at: uint(row.int(3)?),
        key_id: shared_key(row, 4)?.map(|key| key.recipient().as_str().to_owned()),
    })
}

/// `None` where nothing is sealed yet.
fn shared_key(row: &mut Row, column: usize) -> Result<Option<SharedKey>, StoreError> {
    let bytes = row.blob(column)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = cbor::decode(&bytes).map_err(|_| corrupt())?;
    SharedKey::from_ipld(key).map(Some).map_err(|_| corrupt())
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a share is not as it was written".into())
}
