//! did:cf: an agent's native name, which is the id of its Durable Object.
//!
//! ```text
//!   did:plc or did:web ── alsoKnownAs ──► did:cf:<object id>
//!     │ #atproto_pds                        ▲ alsoKnownAs names the one before
//!     └► https://<network> ── /.well-known/did-cf/<object id>/did.json
//! ```
//!
//! The text says nothing of where it resolves, and proves nothing: any host can answer for any id. So a did:cf counts only
//! beside the canonical DID whose document names it, at the host which that document names, and only when the document
//! found there names the canonical DID back. The method is written down in `docs/did-cf.md`.

use murmuration_platform::Outbound;
use murmuration_syntax::Did;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::document::{DID_CONTEXT, MAX_DOCUMENT_BYTES, MULTIKEY_CONTEXT};
use crate::plc::State;
use crate::{BridgeError, Document, fetch};

/// A did:cf whose identifier is an object's id: 64 digits, hexadecimal in lower case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CfDid(Did);

impl CfDid {
    /// The did:cf of an object, by its id.
    ///
    /// # Errors
    /// [`BridgeError::Cf`] when the text is no id.
    pub fn of_object(id: &str) -> Result<Self, BridgeError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if id.len() != ID_DIGITS || !id.bytes().all(is_digit) {
            return Err(BridgeError::Cf("its identifier is not 64 hexadecimal digits in lower case"));
        }
        Ok(Self(Did::parse(&format!("{PREFIX}{id}"))?))
    }

    /// Takes a DID as a did:cf.
    ///
    /// # Errors
    /// [`BridgeError::UnsupportedMethod`] for another method; [`BridgeError::Cf`] when its identifier is no id.
    pub fn of(did: &Did) -> Result<Self, BridgeError> {
        let id = did.as_str().strip_prefix(PREFIX);
        Self::of_object(id.ok_or_else(|| BridgeError::UnsupportedMethod(did.clone()))?)
    }

    /// The DID.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.0
    }

    /// The object's id.
    #[must_use]
    pub fn object(&self) -> &str {
        self.0.identifier()
    }

    /// The path of its document on its network's host.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{PATH_START}{}{PATH_END}", self.object())
    }
}

/// The public keys of an agent, each as a `publicKeyMultibase` of type `Multikey`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AgentKeys {
    /// The Ed25519 key that signs what the agent sends.
    pub signing: String,
    /// The X25519 key that others seal to.
    pub agreement: String,
}

/// The did:cf that a path asks for; `None` for a path of something else.
///
/// # Errors
/// [`BridgeError::Cf`] when what stands in the id's place is no id.
#[must_use]
pub fn asked_for(path: &str) -> Option<Result<CfDid, BridgeError>> {
    path.strip_prefix(PATH_START)?.strip_suffix(PATH_END).map(CfDid::of_object)
}

/// The document of an agent's did:cf, as the host of its network gives it out. An agent that keeps its keys to itself may have
/// published none yet.
#[must_use]
pub fn document(alias: &CfDid, canonical: &Did, keys: Option<&AgentKeys>, network: &str) -> Document {
    let did = alias.did();
    let id = |fragment: &str| format!("{did}#{fragment}");
    let method = |fragment: &str, key: &str| json!({ "id": id(fragment), "type": "Multikey", "controller": did, "publicKeyMultibase": key });
    let service =
        json!([{ "id": format!("#{SERVICE_ID}"), "type": SERVICE_TYPE, "serviceEndpoint": network }]);
    let Some(keys) = keys else {
        let json = json!({
            "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
            "id": did,
            "alsoKnownAs": [canonical],
            "service": service,
        });
        return Document::made(did, json);
    };
    let (signing, agreement) = (method(SIGNING_ID, &keys.signing), method(AGREEMENT_ID, &keys.agreement));
    let json = json!({
        "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
        "id": did,
        "alsoKnownAs": [canonical],
        "verificationMethod": [signing, agreement],
        "authentication": [id(SIGNING_ID)],
        "assertionMethod": [id(SIGNING_ID)],
        "keyAgreement": [id(AGREEMENT_ID)],
        "service": service,
    });
    Document::made(did, json)
}

/// The did:cf that a canonical document names: the first one of its `alsoKnownAs`. Whether that is true is another
/// question: see [`verify`].
#[must_use]
pub fn named_by(canonical: &Document) -> Option<CfDid> {
    canonical.aliases().find_map(|name| CfDid::of(&Did::parse(name).ok()?).ok())
}

/// The state of a did:plc with this did:cf in place of any other.
#[must_use]
pub fn named(mut state: State, alias: &CfDid) -> State {
    let mut names = state.also_known_as.iter().filter(|name| name.starts_with(PREFIX));
    if names.next().is_none_or(|name| name != alias.did().as_str()) || names.next().is_some() {
        state.also_known_as.retain(|name| !name.starts_with(PREFIX));
        state.also_known_as.push(alias.did().to_string());
    }
    state
}

/// The same, with the key that others seal to, where there is one.
#[must_use]
pub fn enrolled(state: State, alias: &CfDid, keys: Option<&AgentKeys>) -> State {
    let mut state = named(state, alias);
    if let Some(keys) = keys {
        state.verification_methods.insert(AGREEMENT_ID.to_owned(), format!("did:key:{}", keys.agreement));
    }
    state
}

/// The state without what an agent has in it.
#[must_use]
pub fn plain(mut state: State) -> State {
    state.also_known_as.retain(|name| !name.starts_with(PREFIX));
    state.verification_methods.remove(AGREEMENT_ID);
    state
}

/// Checks that the two documents of an account name each other, and that the canonical one is of a method that may be.
///
/// # Errors
/// [`BridgeError::AliasNotVerified`] when one of them does not.
pub fn verify(canonical: &Document, alias: &Document) -> Result<(), BridgeError> {
    let names = |from: &Document, to: &Document| from.aliases().any(|name| name == to.did().as_str());
    let methods = matches!(canonical.did().method(), "plc" | "web") && CfDid::of(alias.did()).is_ok();
    match methods && names(canonical, alias) && names(alias, canonical) {
        true => Ok(()),
        false => Err(BridgeError::AliasNotVerified(alias.did().clone())),
    }
}

/// Fetches the document of a did:cf from the host of its network.
///
/// # Errors
/// [`BridgeError::DidNotFound`] when the host has none, [`BridgeError::DidDeactivated`] when its agent was deleted; else
/// as the fetch fails.
pub(crate) async fn fetch(
    outbound: &dyn Outbound,
    network: &str,
    alias: &CfDid,
) -> Result<Document, BridgeError> {
    let url = format!("{network}{}", alias.path());
    match fetch::status(outbound, &url, "application/did+json,application/json", MAX_DOCUMENT_BYTES).await? {
        (200, body) => Document::parse(alias.did(), &body),
        (404, _) => Err(BridgeError::DidNotFound(alias.did().clone())),
        (410, _) => Err(BridgeError::DidDeactivated(alias.did().clone())),
        (status, _) => Err(BridgeError::Status { url, status }),
    }
}

const PREFIX: &str = "did:cf:";
/// Digits of an object's id: 32 bytes.
const ID_DIGITS: usize = 64;
const PATH_START: &str = "/.well-known/did-cf/";
const PATH_END: &str = "/did.json";
/// The fragment of the key that signs what an agent sends.
pub const SIGNING_ID: &str = "agent_sig";
/// The fragment of the key that others seal to, here and in the canonical document.
pub const AGREEMENT_ID: &str = "agent_enc";
/// The fragment and the type of the service: the network that the agent lives in.
const SERVICE_ID: &str = "agent_network";
const SERVICE_TYPE: &str = "AgentNetwork";

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "5ac35a3f62e5d2a21ba9f39d0ee6d8a1c1f2cbb0d7b46fbd5d3b6a7de3a1f009";
    const PLC: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn did(text: &str) -> Did {
        Did::parse(text).unwrap()
    }

    fn alias() -> CfDid {
        CfDid::of_object(OBJECT).unwrap()
    }

    fn keys() -> AgentKeys {
        AgentKeys {
            signing: "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
            agreement: "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc".into(),
        }
    }

    fn names(id: &str, names: &[&str]) -> Document {
        Document::from_json(&did(id), json!({ "id": id, "alsoKnownAs": names })).unwrap()
    }

    #[test]
    fn an_identifier_is_an_objects_id_and_nothing_else() {
        assert_eq!(CfDid::of(&did(&format!("did:cf:{OBJECT}"))).unwrap(), alias());
        assert_eq!(alias().object(), OBJECT);
        let longer = format!("{OBJECT}0");
        for id in [
            "x",
            &OBJECT.to_uppercase(),
            &OBJECT[1..],
            &longer,
            &format!("{OBJECT}:x"),
            &OBJECT.replace('f', "g"),
        ] {
            assert!(matches!(CfDid::of(&did(&format!("did:cf:{id}"))), Err(BridgeError::Cf(_))), "{id}");
        }
        assert!(matches!(CfDid::of(&did(PLC)), Err(BridgeError::UnsupportedMethod(_))));
    }

    #[test]
    fn its_path_asks_for_it() {
        assert_eq!(asked_for(&alias().path()).unwrap().unwrap(), alias());
        assert!(asked_for("/.well-known/did-cf/x/did.json").unwrap().is_err());
        assert!(asked_for("/.well-known/did-cf//did.json").unwrap().is_err());
        for path in
            ["/.well-known/did.json", "/.well-known/did-cf/", &format!("/.well-known/did-cf/{OBJECT}")]
        {
            assert!(asked_for(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_document_has_the_keys_the_network_and_the_canonical_did() {
        let document = document(&alias(), &did(PLC), Some(&keys()), "https://agents.example");
        let id = format!("did:cf:{OBJECT}");
        assert_eq!(document.aliases().collect::<Vec<_>>(), [PLC]);
        assert_eq!(document.handle(), None);
        assert_eq!(
            document.service("agent_network", Some("AgentNetwork")).unwrap(),
            "https://agents.example"
        );
        let json = document.json();
        assert_eq!(json["id"], id);
        assert_eq!(json["verificationMethod"][0]["publicKeyMultibase"], keys().signing);
        assert_eq!(json["authentication"], json!([format!("{id}#agent_sig")]));
        assert_eq!(json["keyAgreement"], json!([format!("{id}#agent_enc")]));
        assert_eq!(Document::parse(alias().did(), json.to_string().as_bytes()).unwrap(), document);
    }

    #[test]
    fn a_state_has_one_did_cf_and_loses_what_made_it_an_agents() {
        let handle = "alice.test".parse().unwrap();
        let first =
            State::atproto(&handle, "did:key:zQ3sh", "https://pds.example", vec!["did:key:zQ3sh".into()]);
        let other = CfDid::of_object(&OBJECT.replace('5', "6")).unwrap();
        let agent = enrolled(first.clone(), &alias(), Some(&keys()));
        assert_eq!(agent.also_known_as, ["at://alice.test".to_owned(), alias().did().to_string()]);
        assert_eq!(agent.verification_methods["agent_enc"], format!("did:key:{}", keys().agreement));
        assert_eq!(enrolled(agent.clone(), &alias(), Some(&keys())), agent);
        assert_eq!(named(named(first.clone(), &other), &alias()), named(first.clone(), &alias()));
        let early = State {
            also_known_as: vec![alias().did().to_string(), "at://alice.test".into()],
            ..first.clone()
        };
        assert_eq!(named(early.clone(), &alias()), early, "it is named already");
        assert_eq!(plain(agent), first);
    }

    #[test]
    fn a_name_counts_only_when_both_documents_say_it() {
        let id = format!("did:cf:{OBJECT}");
        let other = format!("did:cf:{}", OBJECT.replace('5', "6"));
        let cf = document(&alias(), &did(PLC), Some(&keys()), "https://agents.example");
        let plc = names(PLC, &["at://alice.test", &id]);
        assert_eq!(named_by(&plc), Some(alias()));
        verify(&plc, &cf).unwrap();
        for (canonical, alias) in [
            (names(PLC, &["at://alice.test"]), cf.clone()),
            (names(PLC, &["at://alice.test", &other]), cf.clone()),
            (plc.clone(), names(&id, &["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"])),
            (plc.clone(), names(&id, &[])),
            // Neither side may be of another method.
            (names(&id, &[PLC]), plc.clone()),
            (names("did:key:z6Mk", &[&id]), names(&id, &["did:key:z6Mk"])),
            (plc, names("did:web:a.example", &[PLC])),
        ] {
            assert!(matches!(verify(&canonical, &alias), Err(BridgeError::AliasNotVerified(_))));
        }
        assert_eq!(
            named_by(&names(PLC, &["at://alice.test", "did:cf:x", &other, &id])).unwrap().did().as_str(),
            other
        );
    }

    #[test]
    fn an_agent_without_published_keys_has_a_document_that_names_it_and_no_key() {
        let document = document(&alias(), &did(PLC), None, "https://agents.example");
        assert_eq!(document.aliases().collect::<Vec<_>>(), [PLC]);
        assert!(document.json().get("verificationMethod").is_none());
    }
}
