//! Who is calling.
//!
//! The names and statuses are the reference server's, to the letter: clients refresh their session on
//! 400 `ExpiredToken`, and on nothing else.

use murmuration_syntax::Did;

use crate::method::Auth;
use crate::token::{self, Claims};
use crate::{Config, XrpcError};

/// The caller of a method, after its token was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// No token was asked for.
    Anyone,
    /// The account itself.
    Account(Claims),
}

impl Caller {
    /// The claims of the account's token.
    ///
    /// # Errors
    /// `AuthMissing` when the method asked for no token: a mistake in the method table.
    pub fn claims(&self) -> Result<&Claims, XrpcError> {
        match self {
            Self::Account(claims) => Ok(claims),
            Self::Anyone => Err(XrpcError::auth_missing()),
        }
    }

    /// Refuses a repository that is not the caller's own. The DID is the only name that counts here.
    ///
    /// # Errors
    /// `AuthMissing` as [`Caller::claims`]; `InvalidRequest`, worded as the reference server does, otherwise.
    pub fn must_be(&self, did: &Did) -> Result<(), XrpcError> {
        if self.claims()?.sub == *did {
            Ok(())
        } else {
            Err(XrpcError::auth_required("Authentication Required"))
        }
    }
}

/// The token of an `Authorization: Bearer` header.
///
/// # Errors
/// `AuthMissing` without a header; `InvalidToken` for another scheme.
pub fn bearer(header: Option<&str>) -> Result<&str, XrpcError> {
    let header = header.ok_or_else(XrpcError::auth_missing)?.trim();
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(XrpcError::invalid_token("Unexpected authorization type"));
    }
    match token.trim() {
        "" => Err(XrpcError::invalid_token("Malformed authorization header")),
        token => Ok(token),
    }
}

/// Verifies the header as the method wants it. `now` is in seconds.
///
/// # Errors
/// As the reference server: 401 `AuthMissing`, 400 `ExpiredToken`, 400 `InvalidToken`.
pub fn authenticate(
    config: &Config,
    wanted: Auth,
    header: Option<&str>,
    now: u64,
) -> Result<Caller, XrpcError> {
    let (refresh, even_expired) = match wanted {
        Auth::Open => return Ok(Caller::Anyone),
        Auth::Access => (false, false),
        Auth::Refresh => (true, false),
        Auth::RefreshEvenExpired => (true, true),
    };
    let claims = token::verify(&config.jwt_secret, &config.service_did(), bearer(header)?, refresh)
        .map_err(|_| XrpcError::invalid_token("Token could not be verified"))?;
    if claims.expired(now) && !even_expired {
        return Err(XrpcError::expired_token());
    }
    Ok(Caller::Account(claims))
}
