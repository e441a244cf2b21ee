//! Who is calling.
//!
//! The names and statuses are the reference server's, to the letter: clients refresh their session on
//! 400 `ExpiredToken`, and on nothing else.

use data_encoding::BASE64;
use murmuration_syntax::Did;
use sha2::{Digest, Sha256};

use crate::method::Auth;
use crate::token::{self, Claims, Scope};
use crate::{Config, XrpcError};

/// The caller of a method, after its credential was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// No credential was asked for, or none was shown where one may be.
    Anyone,
    /// The account itself.
    Account(Claims),
    /// The operator.
    Admin,
    /// An account, by a service token that another host made for it.
    Service(Did),
    /// An account that has a message brought to an account of this host, by a service token.
    Delivery {
        /// Who sends it.
        from: Did,
        /// Whom it is for.
        to: Did,
        /// The token's `jti`, and when it ends, in seconds since the Unix epoch.
        token: (String, u64),
    },
    /// The moderation service that the operator trusts, by a service token.
    ModerationService,
}

impl Caller {
    /// The claims of the account's token.
    ///
    /// # Errors
    /// `AuthMissing` when the caller is not the account itself: a mistake in the method table.
    pub fn claims(&self) -> Result<&Claims, XrpcError> {
        match self {
            Self::Account(claims) => Ok(claims),
            _ => Err(XrpcError::auth_missing()),
        }
    }

    /// Whether the caller is this account, or may see whatever it may see.
    #[must_use]
    pub fn is_owner_or_operator(&self, did: &Did) -> bool {
        match self {
            Self::Account(claims) => claims.sub == *did,
            Self::Admin | Self::ModerationService => true,
            Self::Anyone | Self::Service(_) | Self::Delivery { .. } => false,
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
/// Service tokens are not for this function: who signed them must be resolved first, which takes an answer from another
/// host; see [`Host::authenticate`](crate::host::Host::authenticate). It refuses them as any foreign token.
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
        Auth::Optional | Auth::OptionalEvenTakendown | Auth::OptionalPrivate | Auth::OptionalService
            if header.is_none() =>
        {
            return Ok(Caller::Anyone);
        }
        Auth::Optional | Auth::OptionalEvenTakendown if is_basic(header) => return admin(config, header),
        Auth::Admin | Auth::Moderator => return admin(config, header),
        Auth::Refresh => (true, false),
        Auth::RefreshEvenExpired => (true, true),
        _ => (false, false),
    };
    let claims = token::verify(&config.jwt_secret, &config.service_did(), bearer(header)?, refresh)
        .map_err(|_| XrpcError::invalid_token("Token could not be verified"))?;
    if !even_expired {
        check(wanted, &claims, now)?;
    } else if !scope_fits(wanted, claims.scope) {
        return Err(bad_scope());
    }
    Ok(Caller::Account(claims))
}

/// Checks again what a method asks of a token that was verified before. `now` is in seconds.
///
/// # Errors
/// 400 `ExpiredToken`, 400 `InvalidToken`.
pub fn check(wanted: Auth, claims: &Claims, now: u64) -> Result<(), XrpcError> {
    if claims.expired(now) {
        Err(XrpcError::expired_token())
    } else if scope_fits(wanted, claims.scope) {
        Ok(())
    } else {
        Err(bad_scope())
    }
}

fn bad_scope() -> XrpcError {
    XrpcError::invalid_token("Bad token scope")
}

/// Whether a token of that scope is one that the method takes.
const fn scope_fits(wanted: Auth, scope: Scope) -> bool {
    match scope {
        Scope::Access => !matches!(wanted, Auth::Delivery),
        Scope::AppPassword => !matches!(
            wanted,
            Auth::Private | Auth::OptionalPrivate | Auth::Full | Auth::FullEvenTakendown | Auth::Delivery
        ),
        Scope::PrivilegedAppPassword => {
            !matches!(wanted, Auth::Full | Auth::FullEvenTakendown | Auth::Delivery)
        }
        Scope::Takendown => {
            matches!(
                wanted,
                Auth::AccessEvenTakendown | Auth::FullEvenTakendown | Auth::OptionalEvenTakendown
            )
        }
        // Which type of token is wanted was judged with the signature.
        Scope::Refresh => matches!(wanted, Auth::Refresh | Auth::RefreshEvenExpired),
    }
}

fn is_basic(header: Option<&str>) -> bool {
    header.is_some_and(|header| {
        header.trim().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("basic "))
    })
}

/// The operator, by `Authorization: Basic admin:<password>`.
fn admin(config: &Config, header: Option<&str>) -> Result<Caller, XrpcError> {
    let header = header.unwrap_or_default();
    let given = header.trim().split_once(' ').map_or("", |(_, rest)| rest.trim());
    let given = BASE64.decode(given.as_bytes()).unwrap_or_default();
    let wanted = format!("admin:{}", config.admin_password);
    // Hashes are compared, so that the time tells nothing of the password.
    if is_basic(Some(header)) && Sha256::digest(&given) == Sha256::digest(wanted.as_bytes()) {
        Ok(Caller::Admin)
    } else {
        Err(XrpcError::auth_required("Authentication Required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_fits_its_methods_and_no_others() {
        let every = [
            Auth::Access,
            Auth::AccessEvenTakendown,
            Auth::Private,
            Auth::Full,
            Auth::FullEvenTakendown,
            Auth::AccessOrService,
            Auth::Refresh,
            Auth::Optional,
            Auth::OptionalEvenTakendown,
            Auth::Delivery,
            Auth::OptionalPrivate,
        ];
        let fits = |scope| every.map(|auth| scope_fits(auth, scope));
        let [yes, no] = [true, false];
        assert_eq!(fits(Scope::AppPassword), [yes, yes, no, no, no, yes, yes, yes, yes, no, no]);
        assert_eq!(fits(Scope::PrivilegedAppPassword), [yes, yes, yes, no, no, yes, yes, yes, yes, no, yes]);
        assert_eq!(fits(Scope::Takendown), [no, yes, no, no, yes, no, no, no, yes, no, no]);
        assert_eq!(fits(Scope::Refresh), [no, no, no, no, no, no, yes, no, no, no, no]);
        assert_eq!(fits(Scope::Access), [yes, yes, yes, yes, yes, yes, yes, yes, yes, no, yes]);
        assert!(!scope_fits(Auth::Delivery, Scope::Access));
    }
}
