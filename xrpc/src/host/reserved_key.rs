//! `com.atproto.server.reserveSigningKey`: a signing key for an account to come, so that its DID document can name it first.
//!
//! Anyone may ask, so what is kept is bounded in number and in time. The secret half is sealed like an account's own.

use murmuration_keys::{Curve, SigningKey, seal};
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;
use serde_json::json;

use super::Host;
use crate::XrpcError;
use crate::agent::Args;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.reserveSigningKey`
    pub(crate) async fn reserve_signing_key(&self, input: &Args) -> Result<Response, XrpcError> {
        let did: Option<Did> = input.optional("did")?;
        let (database, now) = (self.directory.database(), self.now_millis());
        database.query(PRUNE, &[millis(now.saturating_sub(PATIENCE_MILLIS))]).await?;
        if let Some(did) = &did
            && let Some(key) = self.reserved_key(did, None).await?
        {
            return Response::json(&json!({ "signingKey": key.did_key() }));
        }
        let key = SigningKey::generate(Curve::K256, |bytes| self.entropy.fill(bytes))
            .map_err(XrpcError::internal)?;
        let public = key.did_key();
        let mut nonce = [0; seal::NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let sealed = self.config.kek.seal(nonce, &secret_name(&public), &*key.to_bytes());
        let owner = did.as_ref().map_or(Param::Null, |did| Param::Text(did.as_str()));
        let params =
            [Param::Text(&public), owner, Param::Blob(&sealed), millis(now), Param::Int(MAX_RESERVED)];
        let public = match database.query(RESERVE, &params).await?.is_empty() {
            false => public,
            // Another request for this DID was faster, or there is no room.
            true => match &did {
                Some(did) => self.reserved_key(did, None).await?.ok_or_else(full)?.did_key(),
                None => return Err(full()),
            },
        };
        Response::json(&json!({ "signingKey": public }))
    }

    /// The key that was reserved for a DID, or the one that its document names if that was reserved for nobody.
    pub(super) async fn reserved_key(
        &self,
        did: &Did,
        published: Option<&str>,
    ) -> Result<Option<SigningKey>, XrpcError> {
        let published = published.map_or(Param::Null, Param::Text);
        let rows = self.directory.database().query(FIND, &[Param::Text(did.as_str()), published]).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let (public, sealed) = (row.text(0)?, row.blob(1)?);
        let secret = self.config.kek.open(&secret_name(&public), &sealed).map_err(XrpcError::internal)?;
        let secret = <&[u8; 32]>::try_from(secret.as_slice())
            .map_err(|_| StoreError::Corrupt("a reserved key is not 32 bytes".into()))?;
        SigningKey::from_bytes(Curve::K256, secret).map(Some).map_err(XrpcError::internal)
    }

    /// Forgets a reserved key: an account has it now.
    pub(super) async fn release_key(&self, key: &SigningKey) -> Result<(), XrpcError> {
        self.directory.database().query(RELEASE, &[Param::Text(&key.did_key())]).await?;
        Ok(())
    }
}

fn full() -> XrpcError {
    XrpcError::new(429, "RateLimitExceeded", "Too many signing keys are reserved. Try again later.")
}

/// What a reserved key is bound to.
pub(super) fn secret_name(public: &str) -> Vec<u8> {
    format!("{public} reserved").into_bytes()
}

fn millis(time: u64) -> Param<'static> {
    // INVARIANT: milliseconds since 1970 stay below 2^53 for longer than there are Workers.
    Param::Int(i64::try_from(time).unwrap_or(i64::MAX))
}

/// Milliseconds that a key waits for its account. A migration takes hours at the worst; the reference server waits for ever.
const PATIENCE_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Keys that wait at the most. The reference server has no limit.
const MAX_RESERVED: i64 = 10_000;

/// Writes 2 or 3 rows for each key that has waited too long. Reads all.
const PRUNE: &str = "DELETE FROM reserved_key WHERE reserved_at < ?1";
/// Writes 3 rows: the row, its key and, if there is one, its DID; 0 when the DID has one or there is no room.
const RESERVE: &str = "INSERT INTO reserved_key (public_key, did, secret, reserved_at) \
     SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM reserved_key) < ?5 ON CONFLICT DO NOTHING RETURNING public_key";
/// Reads 2 rows at the most.
const FIND: &str = "SELECT public_key, secret FROM reserved_key WHERE did = ?1 OR (public_key = ?2 AND did IS NULL) \
     ORDER BY did IS NULL LIMIT 1";
/// Writes 2 or 3 rows.
const RELEASE: &str = "DELETE FROM reserved_key WHERE public_key = ?1";
