//! Agents that were asked for under a key of the caller's.

use hmac::{Hmac, KeyInit, Mac};
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;
use sha2::Sha256;

use super::{Directory, did_column, millis};

/// Milliseconds for which a key is remembered: a client that retries does so within minutes, and one that was down comes back
/// within a day.
const REMEMBERED_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// A request under a key. Both fields are keyed hashes, because a password may be in what was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Of the key, and of who used it.
    key: [u8; 32],
    /// Of all that was asked for.
    pub asked: [u8; 32],
}

/// A request that was noted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Earlier {
    /// A hash of all that was asked for.
    pub asked: Vec<u8>,
    /// The DID of the agent that was to be made.
    pub did: Did,
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: u64,
}

impl Request {
    /// The request of an asker under a key.
    ///
    /// # Errors
    /// None in practice: a secret of any length makes a key.
    pub fn new(secret: &[u8], asker: &str, key: &str, asked: &str) -> Result<Self, StoreError> {
        let hash = |parts: &[&str]| -> Result<[u8; 32], StoreError> {
            let mac = Hmac::<Sha256>::new_from_slice(secret);
            let mut mac = mac.map_err(|_| StoreError::Engine("a secret that is no key".into()))?;
            for part in parts {
                mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                mac.update(part.as_bytes());
            }
            Ok(mac.finalize().into_bytes().into())
        };
        Ok(Self { key: hash(&["agent request", asker, key])?, asked: hash(&["agent asked for", asked])? })
    }
}

impl Directory<'_> {
    /// Notes a request, and forgets those that are too old. `false` when the key is in use.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn note_request(
        &self,
        request: &Request,
        did: &Did,
        now_millis: u64,
    ) -> Result<bool, StoreError> {
        let oldest = millis(now_millis.saturating_sub(REMEMBERED_MILLIS))?;
        self.database.query(PRUNE, &[oldest]).await?;
        let key = Param::Blob(&request.key);
        let params = [key, Param::Blob(&request.asked), did.as_str().into(), millis(now_millis)?];
        Ok(!self.database.query(NOTE, &params).await?.is_empty())
    }

    /// What was noted under the key of a request.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn request(&self, request: &Request, now_millis: u64) -> Result<Option<Earlier>, StoreError> {
        let oldest = millis(now_millis.saturating_sub(REMEMBERED_MILLIS))?;
        let rows = self.database.query(FIND, &[Param::Blob(&request.key), oldest]).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let did = did_column(&mut row)?;
        let at = u64::try_from(row.int(2)?).map_err(|_| StoreError::Corrupt("agent_request.at".into()))?;
        Ok(Some(Earlier { asked: row.blob(1)?, did, at_millis: at }))
    }

    /// Forgets a request: nothing came of it.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn forget_request(&self, request: &Request) -> Result<(), StoreError> {
        self.database.query(FORGET, &[Param::Blob(&request.key)]).await.map(drop)
    }
}

/// Writes a row for each that is too old: as many as were noted, in the long run. Reads all.
const PRUNE: &str = "DELETE FROM agent_request WHERE at <= ?1";
/// Writes 1 row; 0 when the key is in use.
const NOTE: &str = "INSERT INTO agent_request (key, asked, did, at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO NOTHING RETURNING did";
/// Reads 1 row.
const FIND: &str = "SELECT did, asked, at FROM agent_request WHERE key = ?1 AND at > ?2";
/// Writes 1 row.
const FORGET: &str = "DELETE FROM agent_request WHERE key = ?1";
