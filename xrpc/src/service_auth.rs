//! Service tokens: JWTs by which an account of one host calls a service, or another host.
//!
//! ```text
//!   header   alg (ES256K | ES256), typ JWT, kid? "#atproto"
//!   claims   iss DID, aud DID or DID#service, lxm NSID, exp, iat, jti
//!   signed   by the key that the issuer's DID document has at `kid`
//! ```
//!
//! The account's key signs its commits too; a commit's bytes are DAG-CBOR and begin otherwise than base64url, so neither
//! passes for the other. Names of errors are the reference server's. What is stricter here: `lxm` must be there, a token
//! lives for at most an hour, or a minute where it brings something to an agent, and who issues it is a bare DID (proposal 0014), save for the moderation service.
//! <https://atproto.com/specs/xrpc#inter-service-authentication-jwt>,
//! <https://github.com/bluesky-social/proposals/tree/main/0014-service-auth-revised>

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{BridgeError, Document};
use murmuration_keys::{Curve, KeyError, VerifyingKey};
use murmuration_syntax::{Did, Nsid};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::XrpcError;
use crate::agent::Context;
use crate::host::Host;

/// Seconds that a token is good for where nobody says otherwise (reference server).
pub const DEFAULT_SECONDS: u64 = 60;
/// Seconds that a token may be good for (reference server, for those that name a method).
pub const MAX_SECONDS: u64 = 60 * 60;
/// Seconds that a token may be good for by which something is brought to an agent, or fetched from one: as long as one lives that nobody
/// has asked to live longer. Which were used is remembered in memory alone (docs/decisions/0013).
pub const MAX_INBOX_SECONDS: u64 = DEFAULT_SECONDS;
/// Seconds that another host's clock may be ahead of ours.
const MAX_SKEW_SECONDS: u64 = 60;
/// Bytes of the longest token that is looked at: room for two DIDs of 2,048 bytes. Usual ones have about 400.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Bytes of the longest `jti`; that of the reference server has 32.
const MAX_ID_BYTES: usize = 256;
/// Random bytes of a `jti` (reference server).
const ID_BYTES: usize = 16;
/// The fragment of the key by which accounts sign.
const ACCOUNT_KEY: &str = "atproto";
/// The service and the key of a labeler: how a moderation service may name itself, and what it may sign with.
const LABELER: &str = "atproto_labeler";
const LABELER_KEY: &str = "atproto_label";
/// What may stand behind this host's DID: nothing, or the service that it is to its accounts.
pub const HOST: &[&str] = &["", "#atproto_pds"];
/// What must stand behind an agent's DID where a message is brought to it.
pub const INBOX: &[&str] = &["#agent_inbox"];

/// What a token must be for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The DID of whom it is for.
    pub audience: &'a str,
    /// As what a token may name it: [`HOST`] or [`INBOX`].
    pub roles: &'a [&'a str],
    /// The method that is called.
    pub lxm: &'a str,
    /// Seconds that it may be good for, at most.
    pub max_seconds: u64,
    /// Who alone may have issued it, in the role of a labeler; any account if `None`.
    pub moderator: Option<&'a Did>,
    /// The refusal of an issuer of whom it is certain that no key of it is to be had: 401 `AuthenticationRequired`, as by the reference
    /// server, unless whoever has made the token would come again with it.
    pub no_issuer: fn(&str) -> XrpcError,
}

/// A token that was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// Who issued it.
    pub issuer: Did,
    /// Its `jti`.
    pub id: Option<String>,
    /// When it ends, in seconds since the Unix epoch.
    pub expires_at: u64,
}

#[derive(Serialize)]
struct NewHeader {
    typ: &'static str,
    alg: &'static str,
}

#[derive(Serialize)]
struct NewClaims<'a> {
    iat: u64,
    iss: &'a Did,
    aud: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lxm: Option<&'a str>,
    jti: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// What must be understood to accept the token (RFC 7515, 4.1.11). Nothing is.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: u64,
    iat: Option<u64>,
    nbf: Option<u64>,
    lxm: Option<String>,
    jti: Option<String>,
    /// A key that the bearer must prove to have (RFC 7800): then it is no bearer token.
    cnf: Option<IgnoredAny>,
}

/// Makes a token of the account. `exp` is in seconds since the Unix epoch; whether the caller may have it is not judged
/// here.
///
/// # Errors
/// When there is no account.
pub fn make(context: &Context<'_>, aud: &str, lxm: Option<&Nsid>, exp: u64) -> Result<String, XrpcError> {
    let mut id = [0; ID_BYTES];
    context.entropy.fill(&mut id);
    let profile = context.account.profile()?;
    // Accounts sign on K-256.
    let header = NewHeader { typ: "JWT", alg: Curve::K256.token_algorithm() };
    let claims = NewClaims {
        iat: context.now_seconds(),
        iss: &profile.did,
        aud,
        exp,
        lxm: lxm.map(Nsid::as_str),
        jti: HEXLOWER.encode(&id),
    };
    let signed = format!("{}.{}", part(&header)?, part(&claims)?);
    let signature = context.account.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// Whether a text looks like a service token rather than one of this host's sessions: it names a method. Whether it is
/// one, [`verify`] says.
#[must_use]
pub fn names_a_method(token: &str) -> bool {
    token.len() <= MAX_TOKEN_BYTES
        && token
            .split('.')
            .nth(1)
            .and_then(|claims| open::<Claims>(claims).ok())
            .is_some_and(|claims| claims.lxm.is_some())
}

/// Whom a token says it is for. Nothing of it is verified.
///
/// # Errors
/// 401 `BadJwt`.
pub fn unverified_audience(token: &str) -> Result<String, XrpcError> {
    let claims = token.split('.').nth(1).filter(|_| token.len() <= MAX_TOKEN_BYTES);
    open::<Claims>(claims.unwrap_or_default()).map(|claims| claims.aud)
}

/// Verifies a token. The issuer's key comes from its DID document; when the signature does not fit, once more from its
/// authority, because the key may have changed since. `now` is in seconds.
///
/// # Errors
/// 401 `BadJwt...`, `JwtExpired` and `UntrustedIss`, as the reference server; 502 when the authority does not answer.
pub async fn verify(host: &Host<'_>, token: &str, wanted: &Wanted<'_>, now: u64) -> Result<Token, XrpcError> {
    let read = Unverified::read(token, wanted, now)?;
    let key = async |purpose| match host.document(&read.issuer, purpose).await {
        Ok(document) => Ok(read.key(&document)),
        Err(error) if error.is_transient() => {
            Err(XrpcError::upstream("The DID of the token's issuer could not be resolved"))
        }
        Err(BridgeError::Document(_)) => Err((wanted.no_issuer)("missing or bad key in did doc")),
        Err(_) => Err((wanted.no_issuer)("could not resolve iss did")),
    };
    let known = key(Purpose::Authentication).await?;
    if known.as_ref().is_some_and(|key| read.is_signed_by(key).is_ok()) {
        return Ok(read.into_token());
    }
    let fresh =
        key(Purpose::Refresh).await?.ok_or_else(|| (wanted.no_issuer)("missing or bad key in did doc"))?;
    match known.as_ref() != Some(&fresh) && read.is_signed_by(&fresh).is_ok() {
        true => Ok(read.into_token()),
        false => Err(refused("BadJwtSignature", "jwt signature does not match jwt issuer")),
    }
}

/// A token whose claims are as they must be, and whose signature nobody has checked.
struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    curve: Curve,
    issuer: Did,
    key: &'static str,
    id: Option<String>,
    expires_at: u64,
}

impl<'a> Unverified<'a> {
    /// Reads a token, and refuses what no signature could heal.
    fn read(token: &'a str, wanted: &Wanted<'_>, now: u64) -> Result<Self, XrpcError> {
        let malformed = || refused("BadJwt", "poorly formatted jwt");
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed());
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let header: Header = open(header)?;
        // None of these is a service token. Media types know no case, and may leave out their first half (RFC 7515).
        let kind = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if matches!(kind, "at+jwt" | "refresh+jwt" | "dpop+jwt") {
            return Err(refused("BadJwtType", format!("Invalid jwt type \"{kind}\"")));
        }
        let claims: Claims = open(claims)?;
        let id_fits = claims.jti.as_ref().is_none_or(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        if header.crit.is_some() || claims.cnf.is_some() || !id_fits {
            return Err(malformed());
        }
        if claims.exp <= now {
            return Err(refused("JwtExpired", "jwt expired"));
        }
        let soon = now.saturating_add(MAX_SKEW_SECONDS);
        if claims.exp > soon.saturating_add(wanted.max_seconds)
            || claims.iat.is_some_and(|made| made > soon)
            || claims.nbf.is_some_and(|begins| begins > soon)
        {
            return Err(refused("BadJwt", "jwt is not valid yet, or for too long"));
        }
        let role = claims.aud.strip_prefix(wanted.audience);
        if !role.is_some_and(|role| wanted.roles.contains(&role)) {
            return Err(refused("BadJwtAudience", "jwt audience does not match service did"));
        }
        match claims.lxm.as_deref() {
            Some(lxm) if lxm == wanted.lxm => {}
            lxm => {
                let what = if lxm.is_some() { "bad" } else { "missing" };
                let text = format!("{what} jwt lexicon method (\"lxm\"). must match: {}", wanted.lxm);
                return Err(refused("BadJwtLexiconMethod", text));
            }
        }
        let (issuer, key) = issuer(&claims.iss, header.kid.as_deref(), wanted.moderator)?;
        let bad_signature = || refused("BadJwtSignature", "could not verify jwt signature");
        Ok(Self {
            signed,
            signature: BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| bad_signature())?,
            curve: curve(&header.alg).ok_or_else(bad_signature)?,
            issuer,
            key,
            id: claims.jti,
            expires_at: claims.exp,
        })
    }

    /// The key in the issuer's document, if there is one of the algorithm that the token names.
    fn key(&self, document: &Document) -> Option<VerifyingKey> {
        document.verifying_key(self.key).ok().filter(|key| key.curve() == self.curve)
    }

    fn is_signed_by(&self, key: &VerifyingKey) -> Result<(), KeyError> {
        key.verify_tolerant(self.signed.as_bytes(), &self.signature)
    }

    fn into_token(self) -> Token {
        Token { issuer: self.issuer, id: self.id, expires_at: self.expires_at }
    }
}

/// The DID of the issuer, and the key that it signs with.
fn issuer(iss: &str, kid: Option<&str>, moderator: Option<&Did>) -> Result<(Did, &'static str), XrpcError> {
    let bad = || refused("BadJwtIss", "jwt iss is not a valid did");
    let (did, service) = iss.split_once('#').map_or((iss, None), |(did, service)| (did, Some(service)));
    let did = Did::parse(did).map_err(|_| bad())?;
    if moderator.is_some_and(|moderator| *moderator != did) {
        return Err(refused("UntrustedIss", "Untrusted issuer"));
    }
    let default = match service {
        None => ACCOUNT_KEY,
        Some(LABELER) if moderator.is_some() => LABELER_KEY,
        Some(_) if moderator.is_some() => return Err(refused("UntrustedIss", "Untrusted issuer")),
        Some(_) => return Err(bad()),
    };
    let key = match kid.map(|kid| kid.strip_prefix('#')) {
        None => default,
        Some(Some(ACCOUNT_KEY)) if service.is_none() => ACCOUNT_KEY,
        Some(Some(LABELER_KEY)) if moderator.is_some() => LABELER_KEY,
        Some(_) => return Err(refused("BadJwt", "jwt kid is not a key that may sign this")),
    };
    Ok((did, key))
}

fn curve(alg: &str) -> Option<Curve> {
    [Curve::K256, Curve::P256].into_iter().find(|curve| curve.token_algorithm() == alg)
}

fn refused(error: &'static str, message: impl Into<String>) -> XrpcError {
    XrpcError::new(401, error, message)
}

fn part(value: &impl Serialize) -> Result<String, XrpcError> {
    serde_json::to_vec(value).map(|json| BASE64URL_NOPAD.encode(&json)).map_err(XrpcError::internal)
}

fn open<T: DeserializeOwned>(part: &str) -> Result<T, XrpcError> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| refused("BadJwt", "poorly formatted jwt"))
}
