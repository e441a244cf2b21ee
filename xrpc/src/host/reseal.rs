//! `agent.host.resealSecrets`: a new key-encryption key reaches all that an older one has sealed, a page a call.
//!
//! ```text
//!   accounts, by DID ──> keys that are reserved for accounts to come ──> secrets of webhooks ──> no cursor: nothing is left
//! ```
//!
//! Nothing is kept of a pass but the cursor, which the operator has. What is sealed from now on is sealed under the newest in
//! any case, and what was sealed anew is not looked at twice for more than a row; so a pass may be broken off, begun again, or run twice.

use futures_util::future::join_all;
use murmuration_keys::seal;
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json};

use super::reserved_key::secret_name;
use super::{Host, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::operator::OperatorCall;
use crate::http::Response;

/// What was sealed anew of a page, or by the relay.
#[derive(Clone, Debug, Default, serde::Deserialize, Eq, PartialEq, serde::Serialize)]
pub struct Resealed {
    /// Secrets that were sealed anew.
    pub resealed: usize,
    /// Webhooks whose secrets do not open.
    pub failed: Vec<String>,
    /// Whether that is all.
    pub done: bool,
}

impl Host<'_> {
    /// `agent.host.resealSecrets`
    pub(crate) async fn reseal_secrets(&self, input: &Args) -> Result<Response, XrpcError> {
        let limit = input.number("limit").unwrap_or(DEFAULT_PAGE);
        let (next, found) = match input.text("cursor").unwrap_or_default() {
            RESERVED => self.reseal_reserved(limit).await?,
            WEBHOOKS => {
                let found: Resealed = agents::read(&self.agents.reseal_webhooks().await?)?;
                (if found.done { None } else { Some(WEBHOOKS.to_owned()) }, found)
            }
            after if after.is_empty() || Did::parse(after).is_ok() => {
                self.reseal_accounts(after, limit).await?
            }
            _ => return Err(XrpcError::invalid("Malformed cursor")),
        };
        let mut answer = Map::new();
        answer.insert("version".into(), self.config.kek.version().into());
        answer.insert("resealed".into(), found.resealed.into());
        answer.insert("failed".into(), found.failed.into());
        answer.extend(next.map(|next| ("cursor".to_owned(), next.into())));
        Response::json(&Json::Object(answer))
    }

    async fn reseal_accounts(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<(Option<String>, Resealed), XrpcError> {
        let dids = self.directory.page_of_all(after, limit).await?;
        let calls = dids.iter().map(|did| self.operate::<bool>(did, OperatorCall::Reseal));
        let mut found = Resealed::default();
        for (did, outcome) in dids.iter().zip(join_all(calls).await) {
            match outcome {
                Ok(true) => found.resealed += 1,
                Ok(false) => {}
                // A name without an account: it has no secret.
                Err(error) if error.error() == "RepoNotFound" => {}
                Err(_) => found.failed.push(did.to_string()),
            }
        }
        let full = u32::try_from(dids.len()).is_ok_and(|count| count >= limit);
        let last = dids.last().filter(|_| full).map(ToString::to_string);
        Ok((Some(last.unwrap_or_else(|| RESERVED.to_owned())), found))
    }

    async fn reseal_reserved(&self, limit: u32) -> Result<(Option<String>, Resealed), XrpcError> {
        let (database, keks, mut found) = (self.directory.database(), &self.config.kek, Resealed::default());
        let head = keks.header();
        let rows = database.query(STALE, &[Param::Blob(&head), i64::from(limit).into()]).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
        for mut row in rows {
            let (public, sealed) = (row.text(0)?, row.blob(1)?);
            let name = secret_name(&public);
            let Ok(secret) = keks.open(&name, &sealed) else {
                found.failed.push(public);
                continue;
            };
            let mut nonce = [0; seal::NONCE_BYTES];
            self.entropy.fill(&mut nonce);
            let anew = keks.seal(nonce, &name, &secret);
            let params = [public.as_str().into(), Param::Blob(&sealed), Param::Blob(&anew)];
            database.query(SET, &params).await?;
            found.resealed += 1;
        }
        // Those that do not open are found again: where nothing else was, the way leads on.
        let again = full && found.resealed > 0;
        Ok((Some(if again { RESERVED } else { WEBHOOKS }.to_owned()), found))
    }
}

impl super::Directory<'_> {
    /// The DIDs of all accounts, also of those in the making, after `after`: at most `limit`.
    async fn page_of_all(&self, after: &str, limit: u32) -> Result<Vec<Did>, StoreError> {
        let rows = self.database().query(ALL, &[after.into(), i64::from(limit).into()]).await?;
        let read = rows.into_iter().map(|mut row| {
            Did::parse(&row.text(0)?).map_err(|_| StoreError::Corrupt("account.did is none".into()))
        });
        read.collect()
    }
}

/// Reads as many rows as it answers.
const ALL: &str = "SELECT did FROM account WHERE did > ?1 ORDER BY did LIMIT ?2";
/// Reads all reserved keys.
const STALE: &str =
    "SELECT public_key, secret FROM reserved_key WHERE substr(secret, 1, length(?1)) <> ?1 LIMIT ?2";
/// Writes 1 row; 0 when it is another by now, or gone.
const SET: &str = "UPDATE reserved_key SET secret = ?3 WHERE public_key = ?1 AND secret = ?2";
/// Where a pass goes on behind the accounts.
const RESERVED: &str = "reserved";
const WEBHOOKS: &str = "webhooks";
/// Accounts of a page where the operator says nothing; the lexicon's default. All are woken at once.
const DEFAULT_PAGE: u32 = 50;
