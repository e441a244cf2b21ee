//! DID documents: read by the rules of atproto, and built for did:web.
//!
//! A document says three things about an account: its handle (the first `at://` of `alsoKnownAs` that is one), its signing
//! key (the verification method `#atproto`) and its host (the service `#atproto_pds`). Where several entries fit, the
//! first counts and the others are as if they were not there. A fragment is compared whole: `#atproto` is not found in
//! `did:web:other#atproto`, nor in `#not-atproto`.
//!
//! Anything may stand in a document besides, and other parties may want it, so the JSON is kept as it came.
//! <https://atproto.com/specs/did>

use murmuration_keys::{Curve, VerifyingKey};
use murmuration_syntax::{Did, Handle};
use serde_json::{Value, json};

use crate::BridgeError;
use crate::plc::State;

/// A DID document whose `id` was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    did: Did,
    json: Value,
}

impl Document {
    /// Reads the document of `did`.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when it is too large, is not a JSON object, or is not the document of `did`.
    pub fn parse(did: &Did, bytes: &[u8]) -> Result<Self, BridgeError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(BridgeError::Document("is larger than 64 KiB"));
        }
        let json: Value = serde_json::from_slice(bytes).map_err(|_| BridgeError::Document("is not JSON"))?;
        Self::from_json(did, json)
    }

    /// Takes JSON as the document of `did`.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when it is not an object, is not the document of `did`, or has a list that is too long.
    pub fn from_json(did: &Did, json: Value) -> Result<Self, BridgeError> {
        if json.get("id").and_then(Value::as_str) != Some(did.as_str()) {
            return Err(BridgeError::Document("is of another DID"));
        }
        for field in ["alsoKnownAs", "verificationMethod", "service"] {
            match json.get(field) {
                None => {}
                Some(Value::Array(entries)) if entries.len() <= MAX_ENTRIES => {}
                Some(_) => return Err(BridgeError::Document("has a list that is too long or is none")),
            }
        }
        Ok(Self { did: did.clone(), json })
    }

    /// The document that a state of did:plc is rendered as.
    #[must_use]
    pub fn of_state(did: &Did, state: &State) -> Self {
        let mut context = vec![DID_CONTEXT, MULTIKEY_CONTEXT];
        let methods: Vec<Value> = state
            .verification_methods
            .iter()
            .map(|(id, key)| {
                let multibase = key.strip_prefix("did:key:").unwrap_or(key);
                let suite = suite_context(multibase);
                context.extend(suite.filter(|suite| !context.contains(suite)));
                json!({
                    "id": format!("{did}#{id}"),
                    "type": "Multikey",
                    "controller": did,
                    "publicKeyMultibase": multibase,
                })
            })
            .collect();
        let services: Vec<Value> = state
            .services
            .iter()
            .map(|(id, service)| {
                json!({ "id": format!("#{id}"), "type": service.kind, "serviceEndpoint": service.endpoint })
            })
            .collect();
        let json = json!({
            "@context": context,
            "id": did,
            "alsoKnownAs": state.also_known_as,
            "verificationMethod": methods,
            "service": services,
        });
        Self::made(did, json)
    }

    /// The document of an account whose DID is did:web: one handle, one signing key, one host.
    #[must_use]
    pub fn atproto(did: &Did, handle: &Handle, signing_key: &str, pds: &str) -> Self {
        Self::of_state(did, &State::atproto(handle, signing_key, pds, Vec::new()))
    }

    /// A document that this host has made.
    pub(crate) fn made(did: &Did, json: Value) -> Self {
        Self { did: did.clone(), json }
    }

    /// Whose document it is.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The document as it came.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// The handle that the document claims: the first `at://` name that is one. It counts only when it resolves to the DID.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.aliases().find_map(|name| Handle::parse(name.strip_prefix("at://")?).ok())
    }

    /// All other names that the document claims.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.entries("alsoKnownAs").filter_map(Value::as_str)
    }

    /// The repository signing key.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when there is none that is usable.
    pub fn signing_key(&self) -> Result<VerifyingKey, BridgeError> {
        self.verifying_key("atproto")
    }

    /// The key at a fragment, given without `#`: the first entry that this DID controls itself and whose key is of the
    /// kind that its type says.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when there is none that is usable.
    pub fn verifying_key(&self, fragment: &str) -> Result<VerifyingKey, BridgeError> {
        self.entries("verificationMethod")
            .filter(|method| self.is_at(method, fragment))
            .filter(|method| text(method, "controller") == Some(self.did.as_str()))
            .find_map(|method| {
                let key = text(method, "publicKeyMultibase")?;
                match text(method, "type")? {
                    "Multikey" => VerifyingKey::from_multibase(key).ok(),
                    // Until 2023 the type named the curve and the key was its bare point. Older servers still write it.
                    "EcdsaSecp256k1VerificationKey2019" => {
                        VerifyingKey::from_legacy_multibase(Curve::K256, key).ok()
                    }
                    "EcdsaSecp256r1VerificationKey2019" => {
                        VerifyingKey::from_legacy_multibase(Curve::P256, key).ok()
                    }
                    _ => None,
                }
            })
            .ok_or(BridgeError::Document("has no such key"))
    }

    /// The account's host, as an origin.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when there is none that is usable.
    pub fn pds(&self) -> Result<&str, BridgeError> {
        self.service("atproto_pds", Some("AtprotoPersonalDataServer"))
    }

    /// The origin of the service at a fragment, given without `#`, and of a type where one is asked for. The first entry
    /// of that fragment (and type) counts, whatever its endpoint is.
    ///
    /// # Errors
    /// [`BridgeError::Document`] when there is none, or its endpoint is not an http(s) origin.
    pub fn service(&self, fragment: &str, kind: Option<&str>) -> Result<&str, BridgeError> {
        let entry = self
            .entries("service")
            .filter(|service| self.is_at(service, fragment))
            .find(|service| kind.is_none_or(|kind| text(service, "type") == Some(kind)))
            .ok_or(BridgeError::Document("has no such service"))?;
        text(entry, "serviceEndpoint")
            .and_then(origin)
            .ok_or(BridgeError::Document("has a service whose endpoint is not an origin"))
    }

    fn entries(&self, field: &str) -> impl Iterator<Item = &Value> {
        self.json.get(field).and_then(Value::as_array).into_iter().flatten()
    }

    /// Whether the entry's `id` is `#fragment`, alone or after this very DID.
    fn is_at(&self, entry: &Value, fragment: &str) -> bool {
        let Some((did, found)) = text(entry, "id").and_then(|id| id.split_once('#')) else { return false };
        found == fragment && (did.is_empty() || did == self.did.as_str())
    }
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str)
}

/// The origin that a URL is: scheme, host and port, nothing else but a slash at the end, which is cut off.
fn origin(url: &str) -> Option<&str> {
    let url = url.strip_suffix('/').unwrap_or(url);
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && host_fits && port_fits).then_some(url)
}

/// The context that names a key's suite, for the kinds of key that atproto has.
fn suite_context(multibase: &str) -> Option<&'static str> {
    if multibase.starts_with("zQ3s") {
        Some("https://w3id.org/security/suites/secp256k1-2019/v1")
    } else if multibase.starts_with("zDn") {
        Some("https://w3id.org/security/suites/ecdsa-2019/v1")
    } else {
        None
    }
}

/// Bytes of a DID document. Ours have about 700; a hundred services would fit. The largest that PLC renders is under 16 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Entries in one list of a document. PLC allows 10.
const MAX_ENTRIES: usize = 100;
pub(crate) const DID_CONTEXT: &str = "https://www.w3.org/ns/did/v1";
pub(crate) const MULTIKEY_CONTEXT: &str = "https://w3id.org/security/multikey/v1";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1";
    const OTHER_KEY: &str = "zQ3shmMcsFLvSZQy2pSZFFKZNmQSNmyuSepPXMHpgTYrontu2";

    fn did() -> Did {
        Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap()
    }

    fn with(field: &str, value: Value) -> Document {
        let mut json = json!({ "id": did() });
        json[field] = value;
        Document::from_json(&did(), json).unwrap()
    }

    fn method(id: &str, kind: &str, controller: &str, key: &str) -> Value {
        json!({ "id": id, "type": kind, "controller": controller, "publicKeyMultibase": key })
    }

    #[test]
    fn refuses_the_document_of_another_did() {
        let json = br#"{"id":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        assert!(Document::parse(&did(), json).is_err());
        assert!(Document::parse(&did(), b"{}").is_err());
        assert!(Document::parse(&did(), b"[]").is_err());
    }

    #[test]
    fn refuses_a_document_that_is_too_large() {
        let mut json = format!(r#"{{"id":"{}"}}"#, did());
        json.push_str(&" ".repeat(MAX_DOCUMENT_BYTES));
        assert!(Document::parse(&did(), json.as_bytes()).is_err());
        let many = json!({ "id": did(), "service": vec![json!({}); MAX_ENTRIES + 1] });
        assert!(Document::from_json(&did(), many).is_err());
        assert!(Document::from_json(&did(), json!({ "id": did(), "service": {} })).is_err());
    }

    #[test]
    fn takes_the_first_handle_that_is_one() {
        let names = json!([
            "https://alice.example",
            5,
            "at://",
            "at://alice.test/path",
            "at://Alice.test",
            "at://b.test"
        ]);
        assert_eq!(with("alsoKnownAs", names).handle().unwrap().as_str(), "alice.test");
        assert_eq!(with("alsoKnownAs", json!([])).handle(), None);
    }

    #[test]
    fn takes_the_first_usable_signing_key() {
        let own = did().to_string();
        let id = format!("{own}#atproto");
        let keys = json!([
            method("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#atproto", "Multikey", &own, OTHER_KEY),
            method(&format!("{own}#not-atproto"), "Multikey", &own, OTHER_KEY),
            method(&format!("{own}#x#atproto"), "Multikey", &own, OTHER_KEY),
            method(&id, "Multikey", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", OTHER_KEY),
            method(&id, "JsonWebKey2020", &own, OTHER_KEY),
            method(&id, "Multikey", &own, "zQ3sh"),
            method(&id, "Multikey", &own, KEY),
            method("#atproto", "Multikey", &own, OTHER_KEY),
        ]);
        assert_eq!(with("verificationMethod", keys).signing_key().unwrap().multibase(), KEY);
    }

    #[test]
    fn has_no_key_where_there_is_none() {
        let x25519 = "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc";
        let keys = json!([method("#atproto", "Multikey", did().as_str(), x25519)]);
        assert!(with("verificationMethod", keys).signing_key().is_err());
    }

    #[test]
    fn a_key_of_another_kind_than_its_type_says_is_none() {
        let own = did().to_string();
        let p256 = murmuration_keys::SigningKey::from_bytes(Curve::P256, &[5; 32]).unwrap().verifying_key();
        // The bare point, as the older types have it, in base58.
        let bare =
            "zQYEBzXeuTM9UR3rfvNag6L3RNAs5pQZyYPsomTsgQhsxLdEgCrPTLgFna8yqCnxPpNT7DBk6Ym3dgPKNu86vt9GR";
        for (kind, key) in [
            ("Multikey", bare),
            ("EcdsaSecp256k1VerificationKey2019", KEY),
            ("EcdsaSecp256k1VerificationKey2019", &p256.multibase()),
            ("EcdsaSecp256r1VerificationKey2019", KEY),
            ("EcdsaSecp256r1VerificationKey2019", bare),
            ("Ed25519VerificationKey2020", KEY),
            ("multikey", KEY),
        ] {
            let keys = json!([method("#atproto", kind, &own, key)]);
            assert!(with("verificationMethod", keys).signing_key().is_err(), "{kind} {key}");
        }
        let keys = json!([method("#atproto", "EcdsaSecp256k1VerificationKey2019", &own, bare)]);
        assert!(with("verificationMethod", keys).signing_key().is_ok());
    }

    #[test]
    fn takes_the_first_service_of_its_type() {
        let pds = |id: &str, kind: &str, url: &str| json!({ "id": id, "type": kind, "serviceEndpoint": url });
        let kind = "AtprotoPersonalDataServer";
        let services = json!([
            pds("#atproto_pds", "Other", "https://a.example"),
            pds("#atproto_pdsx", kind, "https://b.example"),
            pds("#atproto_pds", kind, "https://c.example/"),
            pds("#atproto_pds", kind, "https://d.example"),
        ]);
        assert_eq!(with("service", services).pds().unwrap(), "https://c.example");
    }

    #[test]
    fn an_endpoint_is_an_origin_and_nothing_else() {
        for good in ["https://pds.example", "http://localhost:2583", "https://[::1]:443", "https://[::1]"] {
            assert_eq!(origin(good), Some(good));
        }
        for bad in [
            "pds.example",
            "ftp://pds.example",
            "https://",
            "https:///",
            "https://pds.example/xrpc",
            "https://user@pds.example",
            "https://pds.example:99999",
            "https://pds.example?x",
            "https://pds.example#x",
            "https://pds example",
            "javascript:alert(1)",
            "https://pds.example\\@evil.example",
            "https://a:b:1",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_back_what_it_builds() {
        let handle = Handle::parse("alice.test").unwrap();
        let built = Document::atproto(&did(), &handle, &format!("did:key:{KEY}"), "https://pds.example");
        let read = Document::parse(&did(), built.json().to_string().as_bytes()).unwrap();
        assert_eq!(read.handle(), Some(handle));
        assert_eq!(read.signing_key().unwrap().multibase(), KEY);
        assert_eq!(read.pds().unwrap(), "https://pds.example");
    }
}
