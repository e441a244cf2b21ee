//! Rate limits of a host: what a client, and what an account, may ask how often.
//!
//! A method's rules stand in the method table. Each has a window for each of those that it is *per*; the windows live in
//! small objects, one a key, and are spent by leases (`murmuration_rate`), which the host provides as [`Counter`]. What
//! an account may *write* is no concern of this file: its own object counts that.
//!
//! Numbers and names are the reference server's.

use murmuration_rate::{Rule, Status};
use sha2::{Digest, Sha256};

use crate::XrpcError;
use crate::agent::Args;
use crate::auth::Caller;
use crate::host::Task;
use crate::method::Method;

/// One rule of a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// How many calls in how many seconds.
    pub rule: Rule,
    /// Whose calls are counted together.
    pub per: Per,
}

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Per {
    /// Those from one address.
    Client,
    /// Those of one account.
    Account,
    /// Those from one address that nobody answers for.
    Stranger,
    /// Those from one address for one `identifier` of the body: the guesses at a password.
    Login,
}

impl Limit {
    /// So many calls of a client.
    pub(crate) const fn client(points: u32, seconds: u32) -> Self {
        Self { rule: Rule::new(points, seconds), per: Per::Client }
    }

    /// So many calls of an account.
    pub(crate) const fn account(points: u32, seconds: u32) -> Self {
        Self { rule: Rule::new(points, seconds), per: Per::Account }
    }

    /// So many calls of a client that shows no credential.
    pub(crate) const fn stranger(points: u32, seconds: u32) -> Self {
        Self { rule: Rule::new(points, seconds), per: Per::Stranger }
    }

    /// So many attempts to log in.
    pub(crate) const fn login(points: u32, seconds: u32) -> Self {
        Self { rule: Rule::new(points, seconds), per: Per::Login }
    }
}

/// Seconds of the windows.
pub(crate) const FIVE_MINUTES: u32 = 5 * 60;
pub(crate) const HOUR: u32 = 60 * 60;
pub(crate) const DAY: u32 = 24 * HOUR;

/// Letters that an account may ask for; the reference server's.
pub(crate) const LETTERS: &[Limit] = &[Limit::account(15, DAY), Limit::account(5, HOUR)];

/// What one client may ask of all methods together (reference server: `global-ip`).
pub const GLOBAL: Rule = Rule::new(3_000, FIVE_MINUTES);
/// The name of its window.
const GLOBAL_BUCKET: &str = "global";
/// The client where nobody says who it is: all of them together.
pub const ANYONE: &str = "anyone";

/// Counts the calls of one request's client.
pub trait Counter {
    /// Who asks: an address in its canonical form, or [`ANYONE`].
    fn client(&self) -> &str;

    /// Spends points of the window `bucket` of `key`.
    ///
    /// # Errors
    /// 429 `RateLimitExceeded`.
    fn take<'a>(
        &'a self,
        key: String,
        bucket: String,
        rule: Rule,
        points: u32,
    ) -> Task<'a, Result<(), XrpcError>>;
}

/// Counts a call against what its client may ask of all methods together.
///
/// # Errors
/// 429 `RateLimitExceeded`.
pub async fn charge_client(counter: Option<&dyn Counter>, method: Option<&Method>) -> Result<(), XrpcError> {
    let Some(counter) = counter else { return Ok(()) };
    match method.map_or(1, |method| method.cost) {
        0 => Ok(()),
        points => counter.take(client_key(counter), GLOBAL_BUCKET.into(), GLOBAL, points).await,
    }
}

/// Counts a call against the method's own rules. The caller's credential and the body are verified by now, so that nobody
/// spends what is another's.
///
/// # Errors
/// 429 `RateLimitExceeded`.
pub async fn charge_method(
    counter: Option<&dyn Counter>,
    method: &Method,
    caller: &Caller,
    input: &Args,
) -> Result<(), XrpcError> {
    let Some(counter) = counter else { return Ok(()) };
    for (index, Limit { rule, per }) in method.limits.iter().enumerate() {
        let key = match per {
            Per::Client => client_key(counter),
            Per::Stranger if *caller == Caller::Anyone => client_key(counter),
            Per::Stranger => continue,
            Per::Account => match caller {
                Caller::Account(claims) => format!("did {}", claims.sub),
                Caller::Service(did) | Caller::Delivery { from: did, .. } => format!("did {did}"),
                // The operator and the like have no limit.
                _ => continue,
            },
            Per::Login => login_key(counter.client(), input.text("identifier").unwrap_or_default()),
        };
        counter.take(key, format!("{}:{index}", method.nsid), *rule, 1).await?;
    }
    Ok(())
}

/// The client that a request comes from, by the header that the operator has named: only a proxy of theirs can set it. Of
/// several addresses the last counts, which that proxy has added. An IPv6 client is its /64: it has as many addresses as
/// it likes.
#[must_use]
pub fn client(header: Option<&str>) -> String {
    let last = header.and_then(|text| text.rsplit(',').next()).unwrap_or_default().trim();
    let last = last.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(last);
    match last.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
        Ok(std::net::IpAddr::V4(address)) => address.to_string(),
        Ok(std::net::IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => ANYONE.to_owned(),
    }
}

/// The headers that say how a window stands: draft-ietf-httpapi-ratelimit-headers-03, as the reference server sends them.
#[must_use]
pub fn headers(status: &Status) -> [(&'static str, String); 4] {
    let Status { rule, remaining, .. } = status;
    [
        ("ratelimit-limit", rule.points.to_string()),
        (REMAINING, remaining.to_string()),
        ("ratelimit-reset", status.ends_at_second().to_string()),
        ("ratelimit-policy", format!("{};w={}", rule.points, rule.seconds)),
    ]
}

/// The header by which the tighter of two windows is told.
pub const REMAINING: &str = "ratelimit-remaining";

impl XrpcError {
    /// 429 `RateLimitExceeded`, with the headers that say until when: it is `seconds` from now.
    #[must_use]
    pub fn rate_limited(status: &Status, seconds: u64) -> Self {
        let error = headers(status)
            .into_iter()
            .fold(Self::new(429, "RateLimitExceeded", "Rate Limit Exceeded"), |error, (name, value)| {
                error.with(name, value)
            });
        error.with("retry-after", seconds.max(1).to_string())
    }
}

fn client_key(counter: &dyn Counter) -> String {
    format!("ip {}", counter.client())
}

/// Hashed, because an identifier is as long as its sender likes.
fn login_key(client: &str, identifier: &str) -> String {
    let hash =
        Sha256::new().chain_update(identifier.trim().to_lowercase()).chain_update("\n").chain_update(client);
    format!("login {}", data_encoding::HEXLOWER.encode(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_what_the_operators_own_proxy_says() {
        for (header, expected) in [
            (Some("192.0.2.1"), "192.0.2.1"),
            (Some("203.0.113.9, 192.0.2.1"), "192.0.2.1"),
            (Some("::ffff:192.0.2.1"), "192.0.2.1"),
            (Some("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
            (Some("[2001:db8:1:2::9]"), "2001:db8:1:2::/64"),
            (Some("192.0.2.1, unknown"), ANYONE),
            (Some(""), ANYONE),
            (None, ANYONE),
        ] {
            assert_eq!(client(header), expected, "{header:?}");
        }
    }
}
