//! Session tokens: HS256 JWTs that this host signs and only this host reads.
//!
//! Shapes, lifetimes and scopes are the reference server's, because clients look inside: they read `exp` and `sub`, and
//! some read `scope`. An access token is believed by its signature alone; a refresh token also has a row in its
//! account's object.
//! <https://atproto.com/specs/xrpc#authentication>

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use murmuration_syntax::Did;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

/// Seconds that an access token is good for (reference server: 120 minutes).
pub const ACCESS_SECONDS: u64 = 120 * 60;
/// Seconds that a refresh token is good for (reference server: 90 days).
pub const REFRESH_SECONDS: u64 = 90 * 24 * 60 * 60;
/// Bytes of the longest token that is looked at; ours have about 400.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Scope {
    /// Everything: the account's own password was given.
    #[serde(rename = "com.atproto.access")]
    Access,
    /// An app password was given.
    #[serde(rename = "com.atproto.appPass")]
    AppPassword,
    /// An app password that may read private messages was given.
    #[serde(rename = "com.atproto.appPassPrivileged")]
    PrivilegedAppPassword,
    /// The account is taken down: only what it needs to leave, or to appeal.
    #[serde(rename = "com.atproto.takendown")]
    Takendown,
    /// Only asking for the next pair of tokens.
    #[serde(rename = "com.atproto.refresh")]
    Refresh,
}

impl Scope {
    /// The `typ` of tokens of this scope.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Refresh => "refresh+jwt",
            Self::Access | Self::AppPassword | Self::PrivilegedAppPassword | Self::Takendown => "at+jwt",
        }
    }
}

/// The claims of a token. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Claims {
    /// What it is for.
    pub scope: Scope,
    /// Whose it is.
    pub sub: Did,
    /// The service that may accept it.
    pub aud: String,
    /// When it was made.
    pub iat: u64,
    /// When it ends.
    pub exp: u64,
    /// The id of the session; refresh tokens only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The session that it was given out in: the id of the refresh token beside it; access tokens only. What lives on with a token,
    /// such as a socket, ends with its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three base64url parts of JSON in our shape.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with another algorithm or type than the method wants.
    #[error("the token is of another type")]
    WrongType,
    /// Not signed by this host, or altered.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// Made for another service.
    #[error("the token is for another service")]
    WrongAudience,
    /// Past its end.
    #[error("the token has expired")]
    Expired,
}

#[derive(Deserialize, Serialize)]
struct Header {
    typ: String,
    alg: String,
}

/// Signs the claims.
///
/// # Errors
/// [`TokenError::Malformed`] never in practice: only if the claims had no JSON form.
pub fn sign(secret: &[u8], claims: &Claims) -> Result<String, TokenError> {
    let header = Header { typ: claims.scope.media_type().into(), alg: "HS256".into() };
    let mut token = part(&header)?;
    token.push('.');
    token.push_str(&part(claims)?);
    let signature = mac(secret, token.as_bytes())?.finalize().into_bytes();
    token.push('.');
    token.push_str(&BASE64URL_NOPAD.encode(&signature));
    Ok(token)
}

/// Verifies everything but the end of its life, which is the caller's to judge with [`Claims::expired`].
///
/// `refresh` says which of the two types is wanted.
///
/// # Errors
/// The first rule that the token breaks.
pub fn verify(secret: &[u8], audience: &str, token: &str, refresh: bool) -> Result<Claims, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let header: Header = open(header)?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| TokenError::Malformed)?;
    let wanted = if refresh { "refresh+jwt" } else { "at+jwt" };
    if header.alg != "HS256" || header.typ != wanted {
        return Err(TokenError::WrongType);
    }
    mac(secret, signed.as_bytes())?.verify_slice(&signature).map_err(|_| TokenError::BadSignature)?;
    let claims: Claims = open(claims)?;
    if claims.scope.media_type() != wanted {
        return Err(TokenError::WrongType);
    }
    if claims.aud != audience {
        return Err(TokenError::WrongAudience);
    }
    Ok(claims)
}

impl Claims {
    /// Whether the token's life has ended at `now` (seconds).
    #[must_use]
    pub const fn expired(&self, now: u64) -> bool {
        self.exp <= now
    }
}

fn part(value: &impl Serialize) -> Result<String, TokenError> {
    serde_json::to_vec(value).map(|json| BASE64URL_NOPAD.encode(&json)).map_err(|_| TokenError::Malformed)
}

fn open<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

fn mac(secret: &[u8], message: &[u8]) -> Result<Hmac<Sha256>, TokenError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| TokenError::Malformed)?;
    mac.update(message);
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of sixteen bytes or more";
    const HOST: &str = "did:web:pds.example";

    fn claims(scope: Scope) -> Claims {
        let sub = Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap();
        Claims { scope, sub, aud: HOST.into(), iat: 1_000, exp: 2_000, jti: None, sid: None }
    }

    #[test]
    fn opens_what_it_signed() {
        let token = sign(SECRET, &claims(Scope::Access)).unwrap();
        assert_eq!(verify(SECRET, HOST, &token, false), Ok(claims(Scope::Access)));
    }

    #[test]
    fn refuses_a_token_of_the_other_type() {
        let token = sign(SECRET, &claims(Scope::Refresh)).unwrap();
        assert_eq!(verify(SECRET, HOST, &token, false), Err(TokenError::WrongType));
        let token = sign(SECRET, &claims(Scope::AppPassword)).unwrap();
        assert_eq!(verify(SECRET, HOST, &token, true), Err(TokenError::WrongType));
    }

    #[test]
    fn regress_aurora_prism_195_refuses_another_secret_audience_or_algorithm() {
        let token = sign(b"another secret of enough bytes", &claims(Scope::Access)).unwrap();
        assert_eq!(verify(SECRET, HOST, &token, false), Err(TokenError::BadSignature));
        let token = sign(SECRET, &claims(Scope::Access)).unwrap();
        assert_eq!(verify(SECRET, "did:web:other.example", &token, false), Err(TokenError::WrongAudience));
        let header = BASE64URL_NOPAD.encode(br#"{"typ":"at+jwt","alg":"none"}"#);
        let forged = format!("{header}.{}.", token.split('.').nth(1).unwrap());
        assert_eq!(verify(SECRET, HOST, &forged, false), Err(TokenError::WrongType));
    }

    #[test]
    fn refuses_every_single_changed_byte() {
        let token = sign(SECRET, &claims(Scope::Access)).unwrap();
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(SECRET, HOST, &changed, false).is_err(), "byte {index} is not covered");
        }
    }
}
