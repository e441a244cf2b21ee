//! did:web, as far as atproto allows it: a host name and nothing more.
//!
//! `did:web:example.com` is `https://example.com/.well-known/did.json`. No path, no IP address, no port, except that in
//! development `did:web:localhost%3A2583` is `http://localhost:2583/...`.
//! <https://atproto.com/specs/did#blessed-did-methods>

use murmuration_platform::Outbound;
use murmuration_syntax::{Did, Handle};

use crate::document::MAX_DOCUMENT_BYTES;
use crate::{BridgeError, Document, fetch};

/// The URL of a did:web's document.
///
/// # Errors
/// [`BridgeError::UnsupportedMethod`] for another method; [`BridgeError::Web`] for what atproto does not allow. A
/// localhost is allowed only where `allow_localhost` says so.
pub fn document_url(did: &Did, allow_localhost: bool) -> Result<String, BridgeError> {
    let id = did.as_str().strip_prefix(PREFIX).ok_or_else(|| BridgeError::UnsupportedMethod(did.clone()))?;
    if id.contains(':') {
        return Err(BridgeError::Web("a path is not allowed"));
    }
    let (host, port) = match id.split_once("%3A").or_else(|| id.split_once("%3a")) {
        Some((host, port)) => (host, Some(port)),
        None => (id, None),
    };
    if host == "localhost" {
        if !allow_localhost {
            return Err(BridgeError::Web("localhost is not allowed"));
        }
        return match port {
            None => Ok(format!("http://localhost{PATH}")),
            Some(port) if is_port(port) => Ok(format!("http://localhost:{port}{PATH}")),
            Some(_) => Err(BridgeError::Web("the port is not a number")),
        };
    }
    if port.is_some() {
        return Err(BridgeError::Web("a port is not allowed"));
    }
    // A handle is a domain name of two labels or more whose last is no number: no address passes.
    let host = Handle::parse(host).map_err(|_| BridgeError::Web("the host is not a domain name"))?;
    Ok(format!("https://{host}{PATH}"))
}

/// The did:web of a host name.
///
/// # Errors
/// None in practice: every domain name makes a DID.
pub fn did(host: &Handle) -> Result<Did, BridgeError> {
    Ok(Did::parse(&format!("{PREFIX}{host}"))?)
}

/// Fetches a did:web's document.
///
/// # Errors
/// As [`document_url`]; [`BridgeError::DidNotFound`] when the host has none; else as the fetch fails.
pub async fn document(
    outbound: &dyn Outbound,
    did: &Did,
    allow_localhost: bool,
) -> Result<Document, BridgeError> {
    let url = document_url(did, allow_localhost)?;
    let accept = "application/did+ld+json,application/json";
    let body = fetch::get(outbound, &url, accept, MAX_DOCUMENT_BYTES).await?;
    Document::parse(did, &body.ok_or_else(|| BridgeError::DidNotFound(did.clone()))?)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

const PREFIX: &str = "did:web:";
const PATH: &str = "/.well-known/did.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn url(did: &str, allow_localhost: bool) -> Option<String> {
        document_url(&Did::parse(did).unwrap(), allow_localhost).ok()
    }

    #[test]
    fn a_host_name_becomes_a_url() {
        let wanted = "https://agent.example.com/.well-known/did.json";
        assert_eq!(url("did:web:agent.example.com", false).unwrap(), wanted);
        assert_eq!(url("did:web:Agent.Example.com", false).unwrap(), wanted);
    }

    #[test]
    fn localhost_is_for_development() {
        assert_eq!(
            url("did:web:localhost%3A2583", true).unwrap(),
            "http://localhost:2583/.well-known/did.json"
        );
        assert_eq!(url("did:web:localhost", true).unwrap(), "http://localhost/.well-known/did.json");
        assert_eq!(url("did:web:localhost%3A2583", false), None);
    }

    #[test]
    fn nothing_else_becomes_a_url() {
        for did in [
            "did:web:example.com:user:alice",
            "did:web:example.com%3A8080",
            "did:web:example.com%2Fpath",
            "did:web:user%40example.com",
            "did:web:127.0.0.1",
            "did:web:localhost%3A2583%3A1",
            "did:web:localhost%3A0",
            "did:web:localhost%3A+80",
            "did:web:metadata",
            "did:web:%5B%3A%3A1%5D",
            "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        ] {
            let Ok(did) = Did::parse(did) else { continue };
            assert!(document_url(&did, true).is_err(), "{did}");
        }
    }
}
