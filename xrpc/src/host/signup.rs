//! What somebody must say to get an account, checked before anything is done.

use murmuration_bridge::handle::Refusal;
use murmuration_bridge::{BridgeError, web};
use murmuration_keys::VerifyingKey;
use murmuration_syntax::{Did, Handle};

use crate::agent::Args;
use crate::{Config, XrpcError};

/// What an account is to be.
pub(super) struct Signup {
    pub(super) handle: Handle,
    /// In lower case.
    pub(super) email: Option<String>,
    /// As it was typed, for messages.
    pub(super) typed_email: String,
    /// Without one, nobody can log in with a password.
    pub(super) password: Option<String>,
    /// The DID that its owner brings along.
    pub(super) did: Option<Did>,
    /// The invite code that it is made with.
    pub(super) invite: Option<String>,
    /// A rotation key of the owner's, which stands before the host's.
    pub(super) recovery_key: Option<String>,
}

impl Signup {
    /// Checks a `createAccount` in the reference server's order and words.
    pub(super) fn read(config: &Config, input: &Args) -> Result<Self, XrpcError> {
        if input.has("plcOp") {
            return Err(XrpcError::invalid("Unsupported input: \"plcOp\""));
        }
        let password = password(input)?;
        let typed_email = input.text("email").unwrap_or_default().to_owned();
        if typed_email.is_empty() {
            return Err(XrpcError::invalid("Email is required"));
        }
        if !may_have_mail(config, &typed_email) {
            return Err(unsupported_address());
        }
        let handle = handle(config, input)?;
        let did = input.optional::<Did>("did")?;
        let invite = input.text("inviteCode").filter(|code| !code.is_empty()).map(str::to_owned);
        if config.invite_required && invite.is_none() {
            return Err(XrpcError::named("InvalidInviteCode", "No invite code provided"));
        }
        let recovery_key = recovery_key(input)?;
        let email = Some(typed_email.to_lowercase());
        Ok(Self { handle, email, typed_email, password, did, invite, recovery_key })
    }
}

impl Signup {
    /// Checks what an agent's account is to be: as [`Signup::read`], but that an address is no duty, and an invite code is one,
    /// whatever holds for others, save for the operator.
    pub(super) fn of_agent(config: &Config, input: &Args, operator: bool) -> Result<Self, XrpcError> {
        let password = password(input)?;
        let typed_email = input.text("email").unwrap_or_default().to_owned();
        if !typed_email.is_empty() && !may_have_mail(config, &typed_email) {
            return Err(unsupported_address());
        }
        let handle = handle(config, input)?;
        let did = match input.text("didMethod").unwrap_or("plc") {
            "plc" => None,
            "web" => Some(web::did(&handle).map_err(XrpcError::internal)?),
            other => {
                let message = format!("An agent's DID is a did:plc or a did:web, not a did:{other}");
                return Err(XrpcError::named("UnsupportedDidMethod", message));
            }
        };
        let invite = input.text("inviteCode").filter(|code| !code.is_empty()).map(str::to_owned);
        if !operator && invite.is_none() {
            return Err(XrpcError::named("InvalidInviteCode", "No invite code provided"));
        }
        let recovery_key = recovery_key(input)?;
        let email = Some(typed_email.to_lowercase()).filter(|email| !email.is_empty());
        Ok(Self { handle, email, typed_email, password, did, invite, recovery_key })
    }
}

fn password(input: &Args) -> Result<Option<String>, XrpcError> {
    let password = input.text("password").filter(|text| !text.is_empty()).map(str::to_owned);
    match password.as_deref().is_some_and(|password| password.chars().count() > MAX_PASSWORD_CHARS) {
        true => Err(XrpcError::invalid(format!(
            "Password too long. Maximum length is {MAX_PASSWORD_CHARS} characters."
        ))),
        false => Ok(password),
    }
}

fn handle(config: &Config, input: &Args) -> Result<Handle, XrpcError> {
    let handle = Handle::parse(input.text("handle").unwrap_or_default())
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    if handle.as_str() == config.hostname {
        return Err(handle_refused(Refusal::Reserved));
    }
    config.refused_words.check_handle(handle.as_str()).map(|()| handle)
}

fn recovery_key(input: &Args) -> Result<Option<String>, XrpcError> {
    let key = input.text("recoveryKey").filter(|key| !key.is_empty()).map(str::to_owned);
    if let Some(key) = &key {
        VerifyingKey::from_did_key(key)
            .map_err(|_| XrpcError::invalid("recoveryKey must be the did:key of a K-256 or P-256 key"))?;
    }
    Ok(key)
}

/// A refused handle in the lexicon's terms.
pub(super) fn handle_refused(refusal: Refusal) -> XrpcError {
    let error = match refusal {
        Refusal::UnsupportedDomain => "UnsupportedDomain",
        Refusal::Reserved => "HandleNotAvailable",
        _ => "InvalidHandle",
    };
    XrpcError::named(error, BridgeError::from(refusal).to_string())
}

/// Refuses a new password that is empty or too long.
pub(super) fn check_new_password(password: &str) -> Result<(), XrpcError> {
    match (1..=MAX_PASSWORD_CHARS).contains(&password.chars().count()) {
        true => Ok(()),
        false => Err(XrpcError::invalid("Invalid password length.")),
    }
}

/// Whether an account of this host may have that address: mail could go there, and the operator does not refuse the domain
/// or one above it.
pub(super) fn may_have_mail(config: &Config, email: &str) -> bool {
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
    let refused = |listed: &String| {
        domain.strip_suffix(listed.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    is_email(email) && !config.refused_mail_domains.iter().any(refused)
}

/// The answer to an address that no account may have.
pub(super) fn unsupported_address() -> XrpcError {
    XrpcError::invalid("This email address is not supported, please use a different email.")
}

/// Whether mail could go there: `local@domain`, the local part of RFC 5321 without quotes (other alphabets too), the
/// domain a host name.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_fits = (1..=MAX_LOCAL_BYTES).contains(&local.len())
        && local.split('.').all(|atom| {
            !atom.is_empty() && atom.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
        });
    text.len() <= MAX_EMAIL_BYTES && local_fits && Handle::parse(domain).is_ok()
}

/// Characters of a new password (reference server).
const MAX_PASSWORD_CHARS: usize = 256;
/// Bytes of an e-mail address, and of the part before the `@` (RFC 5321, 4.5.3.1).
const MAX_EMAIL_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_what_is_none() {
        for good in ["a@b.co", "Alice.B+tag@mail.example.com", "jürgen@example.de", "x_y-z@1.example"] {
            assert!(is_email(good), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(MAX_LOCAL_BYTES + 1));
        for bad in [
            "",
            "not-an-address",
            "@example.com",
            "a@",
            "a@localhost",
            "a b@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a@b@example.com",
            "a@127.0.0.1",
            "a@-x.com",
            "a@example.com\n",
            "a\0@example.com",
            &long,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
