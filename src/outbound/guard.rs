//! Which addresses this host fetches from.
//!
//! DIDs, handles and service endpoints name hosts that a stranger chose. The rules below keep such a name from reaching
//! into the operator's own network. They are about names only: what a name resolves to is the runtime's to judge
//! (Cloudflare's network has no way to a private address; workerd refuses one unless its configuration allows it).
//!
//! `url` parses as browsers do, so that every spelling of an address (octal, decimal, hexadecimal, IPv4 inside IPv6,
//! full-width digits) has become one by the time it is looked at.

use url::{Host, Url};

/// The lowest port, besides 443, that a service of another host may use: those below belong to other protocols.
const LOWEST_CUSTOM_PORT: u16 = 1024;
/// Bytes of the longest URL that is fetched: the platform's own limit for a request.
const MAX_URL_BYTES: usize = 16 * 1024;
/// Names without an owner on the public Internet (RFC 6761, 6762, 7686, 8375, 9476 and the ones that networks use inside).
const PRIVATE_SUFFIXES: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localdomain6",
    "localhost",
    "onion",
    "private",
    "test",
];

/// Parses a URL that may be fetched.
///
/// `private` is the development switch: plain http and any host, still no credentials and no other scheme.
///
/// # Errors
/// The rule that refuses it.
pub(super) fn check(text: &str, private: bool) -> Result<Url, &'static str> {
    if text.len() > MAX_URL_BYTES {
        return Err("the URL is too long");
    }
    let url = Url::parse(text).map_err(|_| "not an absolute URL")?;
    match url.scheme() {
        "https" => {}
        "http" if private => {}
        _ => return Err("only https is fetched"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with credentials is not fetched");
    }
    let host = url.host().ok_or("the URL has no host")?;
    if private {
        return Ok(url);
    }
    let Host::Domain(name) = host else {
        // No DID, handle or certificate of a service names a bare address, so none is fetched, public or not.
        return Err("an address in place of a host name is not fetched");
    };
    public_name(name)?;
    if url.port().is_some_and(|port| port < LOWEST_CUSTOM_PORT) {
        return Err("the port belongs to another protocol");
    }
    Ok(url)
}

fn public_name(name: &str) -> Result<(), &'static str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let (_, last) = name.rsplit_once('.').ok_or("a host name without a dot is not public")?;
    // `url` lets through what no name server has, such as `;`.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return Err("the host name is none");
    }
    if last.is_empty() || PRIVATE_SUFFIXES.contains(&last) {
        return Err("the host name is not public");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn fetches_a_public_https_url() {
        for url in [
            "https://plc.directory/did:plc:abc",
            "https://PDS.Example.com/.well-known/did.json",
            "https://pds.example.com:8443/xrpc/_health?a=b",
            "https://xn--bcher-kva.example.com/",
            "https://example.com./",
        ] {
            assert!(check(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn regress_atproto_893_refuses_every_url_of_the_corpus() {
        let corpus = include_str!("hostile_urls.txt").lines().filter(|line| !line.starts_with('#'));
        let (mut count, mut fetched) = (0, Vec::new());
        for url in corpus {
            count += 1;
            if check(url, false).is_ok() {
                fetched.push(url);
            }
        }
        assert!(count >= 300, "{count}");
        assert!(fetched.is_empty(), "{fetched:#?}");
    }

    #[test]
    fn refuses_control_characters_that_the_corpus_cannot_hold() {
        for url in [
            "https://127.0.0.1\t/",
            "https://127\n.0.0.1/",
            "\u{0}https://[::1]/",
            "https://local\rhost/",
            "https://exam\u{0}ple.com/",
        ] {
            assert!(check(url, false).is_err(), "{url:?}");
        }
    }

    #[test]
    fn reads_an_authority_as_the_fetcher_will() {
        // What stands before a backslash is the host, and nothing behind it is.
        for (url, host) in [
            ("https://example.com\\@127.0.0.1/", "example.com"),
            ("https:\\\\example.com/", "example.com"),
            ("https://example.com#@127.0.0.1/", "example.com"),
            ("https://example.com?@127.0.0.1/", "example.com"),
            ("ht\ntps://exa\tmple.com/", "example.com"),
        ] {
            assert_eq!(
                check(url, false).map(|url| url.host_str().map(str::to_owned)),
                Ok(Some(host.into())),
                "{url}"
            );
        }
    }

    #[test]
    fn development_allows_plain_http_and_loopback_but_no_credentials() {
        for url in
            ["http://localhost:2582/", "http://127.0.0.1:8787/x", "https://[::1]:8443/", "http://pds.test/"]
        {
            assert!(check(url, true).is_ok(), "{url}");
        }
        for url in ["ftp://localhost/", "file:///etc/passwd", "http://user@localhost/", "http://"] {
            assert!(check(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn refuses_a_url_that_is_too_long() {
        assert!(check(&format!("https://example.com/{}", "a".repeat(super::MAX_URL_BYTES)), false).is_err());
    }
}
