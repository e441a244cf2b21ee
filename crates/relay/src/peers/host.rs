//! The name of another host.

/// A host name in lower case, and a port where it is not the usual one: `pds.example.com`, `localhost:2583`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PeerHost(String);

impl PeerHost {
    /// Reads a name; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text.as_str(), None),
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= MAX_LABEL_BYTES
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_port = |port: &str| {
            !port.starts_with('0')
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok()
        };
        let fits = text.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) && port.is_none_or(is_port);
        let text = text.strip_suffix(":443").unwrap_or(&text).to_owned();
        fits.then_some(Self(text))
    }

    /// The name, and the port if there is one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(name, _)| name)
    }

    /// Where the host is asked: over https; but where development allows it, plain http to what no certificate names.
    #[must_use]
    pub fn origin(&self, private: bool) -> String {
        let name = self.name();
        let is_address = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let scheme = if private && (is_address || !name.contains('.')) { "http" } else { "https" };
        format!("{scheme}://{}", self.0)
    }

    /// Whether an account's host, as its DID document names it, is this one.
    #[must_use]
    pub fn is_at(&self, origin: &str) -> bool {
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        Self::parse(authority).is_some_and(|host| host == *self)
    }

    /// Whether a host that says of itself that it has this DID may be this one: did:web of its name, with the port or without.
    #[must_use]
    pub fn is_called(&self, did: &str) -> bool {
        let name = did.strip_prefix("did:web:").map(|name| name.replace("%3A", ":").replace("%3a", ":"));
        name.is_some_and(|name| name == self.0 || name == self.name())
    }
}

/// Bytes of a host's name, port included (lexicon: agent.relay.putPeer).
const MAX_NAME_BYTES: usize = 253;
/// Bytes of a part of it (RFC 1035).
const MAX_LABEL_BYTES: usize = 63;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port_and_nothing_else() {
        for (text, host, origin) in [
            ("PDS.Example.com", "pds.example.com", "https://pds.example.com"),
            ("pds.example.com:443", "pds.example.com", "https://pds.example.com"),
            ("pds.example.com:8443", "pds.example.com:8443", "https://pds.example.com:8443"),
            ("localhost:2583", "localhost:2583", "http://localhost:2583"),
            ("127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1"),
        ] {
            let parsed = PeerHost::parse(text).unwrap();
            assert_eq!((parsed.as_str(), &*parsed.origin(true)), (host, origin));
            assert!(parsed.origin(false).starts_with("https://"));
            assert!(parsed.is_at(origin) && parsed.is_at(&origin.to_ascii_uppercase()));
        }
        let long = format!("{}.com", "a".repeat(64));
        for text in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:1:2",
            "a b",
            "a/b",
            "a?b",
            "u@a",
            "[::1]",
            "a..b",
            ".a",
            "a.",
            "-a.b",
            "a-.b",
            "ä.de",
            "https://a.b",
            "a:+1",
            "a:01",
            &long,
        ] {
            assert_eq!(PeerHost::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_known_by_its_did_and_by_no_other() {
        let host = PeerHost::parse("pds.example.com:8443").unwrap();
        assert!(
            host.is_called("did:web:pds.example.com") && host.is_called("did:web:pds.example.com%3A8443")
        );
        for other in
            ["did:web:example.com", "did:web:pds.example.com%3A1", "did:plc:abc", "pds.example.com", ""]
        {
            assert!(!host.is_called(other), "{other}");
        }
        assert!(
            !host.is_at("https://pds.example.com") && !host.is_at("https://pds.example.com:8443.evil.com")
        );
        assert!(!host.is_at("https://evil.com/pds.example.com:8443"));
    }
}
