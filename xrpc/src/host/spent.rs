//! Service tokens that may be used only once, and were.

use murmuration_platform::Param;

use super::Host;
use crate::XrpcError;
use crate::service_auth::Token;

impl Host<'_> {
    /// Notes the use of a token, and refuses the second.
    pub(super) async fn spend(&self, token: &Token, now: u64) -> Result<(), XrpcError> {
        let refused = |text: &str| XrpcError::new(401, "BadJwt", text);
        let id = token.id.as_ref().ok_or_else(|| refused("jwt has no jti"))?;
        let name = format!("{} {id}", token.issuer);
        let database = self.directory.database();
        // INVARIANT: seconds since 1970 stay below 2^53 for longer than there are Workers.
        let second = |seconds: u64| Param::Int(i64::try_from(seconds).unwrap_or(i64::MAX));
        database.query(PRUNE, &[second(now)]).await?;
        match database.query(SPEND, &[second(token.expires_at), Param::Text(&name)]).await?.is_empty() {
            true => Err(refused("jwt was used before")),
            false => Ok(()),
        }
    }
}

/// Writes a row for each token that has ended: as many as were noted, in the long run.
const PRUNE: &str = "DELETE FROM spent_token WHERE expires_at <= ?1";
/// Writes 1 row; 0 when the token was used before.
const SPEND: &str =
    "INSERT INTO spent_token (expires_at, token) VALUES (?1, ?2) ON CONFLICT DO NOTHING RETURNING token";
