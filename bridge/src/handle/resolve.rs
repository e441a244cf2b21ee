//! How a handle resolves: a TXT record in DNS, or a file on the host of that name.
//!
//! DNS is asked first, over HTTPS, because a Worker has no sockets for it: `_atproto.<handle>` TXT `did=<did>`. If it has
//! no such record, `https://<handle>/.well-known/atproto-did` is fetched, and then the resolvers behind the first are asked, which may
//! know of domains that it does not. Records that name different DIDs are an error,
//! not a reason to look elsewhere. What comes out is one direction only: the DID's document must claim the handle too.
//! <https://atproto.com/specs/handle#handle-resolution>

use murmuration_platform::Outbound;
use murmuration_syntax::{Did, Handle};
use serde::Deserialize;

use crate::{BridgeError, fetch};

/// A public resolver that speaks the JSON form of DNS over HTTPS, where the operator names no other.
pub const DOH_URL: &str = "https://cloudflare-dns.com/dns-query";

/// Resolves a handle over DNS, then HTTPS, then DNS again by the resolvers behind the first.
///
/// # Errors
/// [`BridgeError::HandleNotFound`] when neither has it, also for top-level domains that never resolve;
/// [`BridgeError::HandleAmbiguous`] when DNS has several; else why the last one asked could not be reached, so that
/// nobody takes a failure for an absence.
pub async fn resolve(
    outbound: &dyn Outbound,
    doh_urls: &[String],
    handle: &Handle,
) -> Result<Did, BridgeError> {
    if handle.is_reserved() {
        return Err(BridgeError::HandleNotFound);
    }
    let mut resolvers = doh_urls.iter();
    let first = match resolvers.next() {
        Some(first) => resolve_dns(outbound, first, handle).await,
        None => Ok(None),
    };
    let mut by_dns = match first {
        Ok(Some(did)) => return Ok(did),
        Err(BridgeError::HandleAmbiguous) => return Err(BridgeError::HandleAmbiguous),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let by_https = match resolve_https(outbound, handle).await {
        Ok(Some(did)) => return Ok(did),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    for other in resolvers {
        match resolve_dns(outbound, other, handle).await {
            Ok(Some(did)) => return Ok(did),
            Err(BridgeError::HandleAmbiguous) => return Err(BridgeError::HandleAmbiguous),
            // One that answers is enough.
            Ok(None) => by_dns = Ok(()),
            Err(_) => {}
        }
    }
    // Most domains of DNS handles serve nothing on this path, or no website at all: what DNS said stands.
    by_dns.and(by_https).and(Err(BridgeError::HandleNotFound))
}

async fn resolve_dns(
    outbound: &dyn Outbound,
    doh_url: &str,
    handle: &Handle,
) -> Result<Option<Did>, BridgeError> {
    let url = format!("{doh_url}?name=_atproto.{handle}&type=TXT");
    let wanted = || BridgeError::Answer { url: url.clone(), wanted: "a DNS answer" };
    let body = fetch::get(outbound, &url, "application/dns-json", MAX_DNS_BYTES).await?.ok_or_else(wanted)?;
    let answer: DnsAnswer = serde_json::from_slice(&body).map_err(|_| wanted())?;
    match answer.status {
        DNS_NO_ERROR => {}
        DNS_NO_SUCH_NAME => return Ok(None),
        _ => return Err(wanted()),
    }
    let mut found: Option<Did> = None;
    for record in answer.records.iter().filter(|record| record.kind == DNS_TXT) {
        let text = txt(&record.data);
        let Some(did) = text.strip_prefix("did=") else { continue };
        let did = Did::parse(did.trim()).map_err(|_| BridgeError::HandleAmbiguous)?;
        match &found {
            Some(other) if *other != did => return Err(BridgeError::HandleAmbiguous),
            _ => found = Some(did),
        }
    }
    Ok(found)
}

async fn resolve_https(outbound: &dyn Outbound, handle: &Handle) -> Result<Option<Did>, BridgeError> {
    let url = format!("https://{handle}/.well-known/atproto-did");
    let Some(body) = fetch::get(outbound, &url, "text/plain", MAX_FILE_BYTES).await? else { return Ok(None) };
    // A site that answers every path with its home page has no DID here: that is an absence, not an error.
    let did = std::str::from_utf8(&body).ok().and_then(|text| Did::parse(text.trim()).ok());
    Ok(did)
}

/// A TXT record's text. Resolvers write it bare, or as one or more quoted strings that are read as one.
fn txt(data: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    let mut characters = data.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => text.extend(characters.next()),
            ' ' if !quoted && data.starts_with('"') => {}
            other => text.push(other),
        }
    }
    text
}

/// The JSON form of a DNS answer, as public resolvers give it.
#[derive(Deserialize)]
struct DnsAnswer {
    #[serde(rename = "Status")]
    status: u16,
    #[serde(rename = "Answer", default)]
    records: Vec<DnsRecord>,
}

#[derive(Deserialize)]
struct DnsRecord {
    #[serde(rename = "type")]
    kind: u16,
    #[serde(default)]
    data: String,
}

/// Response codes and a record type of RFC 1035.
const DNS_NO_ERROR: u16 = 0;
const DNS_NO_SUCH_NAME: u16 = 3;
const DNS_TXT: u16 = 16;
/// Bytes of a DNS answer: a response is at most 64 KiB on the wire, but no honest one has more than a few records.
const MAX_DNS_BYTES: usize = 16 * 1024;
/// Bytes of the well-known file: a DID has at most 2 KiB.
const MAX_FILE_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_txt_records_bare_and_quoted() {
        assert_eq!(txt("did=did:plc:a"), "did=did:plc:a");
        assert_eq!(txt(r#""did=did:plc:a""#), "did=did:plc:a");
        assert_eq!(txt(r#""did=did:" "plc:a""#), "did=did:plc:a");
        assert_eq!(txt(r#""a\"b c""#), r#"a"b c"#);
    }
}
