//! Operations: made, signed, encoded, and read back.

use std::collections::BTreeMap;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use murmuration_data::{Cid, Ipld, cbor, cid_of_cbor};
use murmuration_keys::{SigningKey, VerifyingKey};
use murmuration_syntax::{Did, Handle};
use serde::{Deserialize, Serialize};

use crate::BridgeError;
use wire::Wire;

/// What an operation says of a DID: the whole of it, not a difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// The keys that may change the DID, the most powerful first; as `did:key`.
    pub rotation_keys: Vec<String>,
    /// The keys of the DID document by fragment, without `#`; as `did:key`. They have no power over the DID.
    pub verification_methods: BTreeMap<String, String>,
    /// Other names of the account, as URIs. The first `at://` is its handle.
    pub also_known_as: Vec<String>,
    /// The services of the DID document by fragment, without `#`.
    pub services: BTreeMap<String, Service>,
}

/// A service of a DID document.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it speaks, such as `AtprotoPersonalDataServer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    pub endpoint: String,
}

impl State {
    /// The state of a new atproto account: one handle, one signing key, one host.
    #[must_use]
    pub fn atproto(handle: &Handle, signing_key: &str, pds: &str, rotation_keys: Vec<String>) -> Self {
        Self {
            rotation_keys,
            verification_methods: BTreeMap::new(),
            also_known_as: Vec::new(),
            services: BTreeMap::new(),
        }
        .with_handle(handle)
        .with_signing_key(signing_key)
        .with_pds(pds)
    }

    /// The handle: the first `at://` name, if it is one.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        let name = self.also_known_as.iter().find_map(|name| name.strip_prefix(HANDLE_PREFIX))?;
        Handle::parse(name).ok()
    }

    /// The state with another handle: it takes the place of the first one; other names stay.
    #[must_use]
    pub fn with_handle(mut self, handle: &Handle) -> Self {
        let uri = format!("{HANDLE_PREFIX}{handle}");
        match self.also_known_as.iter_mut().find(|name| name.starts_with(HANDLE_PREFIX)) {
            Some(old) => *old = uri,
            None => self.also_known_as.insert(0, uri),
        }
        self
    }

    /// The state with another name at the end, unless it has it.
    #[must_use]
    pub fn with_alias(mut self, uri: &str) -> Self {
        if !self.also_known_as.iter().any(|name| name == uri) {
            self.also_known_as.push(uri.to_owned());
        }
        self
    }

    /// The state with another repository signing key, given as `did:key`.
    #[must_use]
    pub fn with_signing_key(mut self, did_key: &str) -> Self {
        self.verification_methods.insert(SIGNING_KEY_ID.to_owned(), did_key.to_owned());
        self
    }

    /// The repository signing key, as `did:key`.
    #[must_use]
    pub fn signing_key(&self) -> Option<&str> {
        self.verification_methods.get(SIGNING_KEY_ID).map(String::as_str)
    }

    /// The state with another host, given as an origin such as `https://pds.example`.
    #[must_use]
    pub fn with_pds(mut self, origin: &str) -> Self {
        let service = Service { kind: PDS_TYPE.to_owned(), endpoint: origin.to_owned() };
        self.services.insert(PDS_ID.to_owned(), service);
        self
    }

    /// Refuses what the directory would refuse, as far as an atproto account can run into it.
    fn check(&self) -> Result<(), BridgeError> {
        if self.rotation_keys.is_empty() || self.rotation_keys.len() > MAX_ROTATION_KEYS {
            return Err(BridgeError::Operation("needs 1 to 5 rotation keys"));
        }
        for (index, key) in self.rotation_keys.iter().enumerate() {
            VerifyingKey::from_did_key(key)?;
            if self.rotation_keys.iter().take(index).any(|other| other == key) {
                return Err(BridgeError::Operation("has a rotation key twice"));
            }
        }
        Ok(())
    }
}

/// A signed operation. Its CID was computed over its canonical bytes, wherever it came from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Operation {
    wire: Wire,
    unsigned: Vec<u8>,
    cid: Cid,
}

impl Operation {
    /// The first operation of a DID. [`Operation::did`] says which DID that is.
    ///
    /// # Errors
    /// [`BridgeError::Operation`] or [`BridgeError::Key`] for a state that the directory would refuse.
    pub fn genesis(state: State, signer: &SigningKey) -> Result<Self, BridgeError> {
        state.check()?;
        Self::sign(Wire::update(state, None), signer)
    }

    /// An operation that follows `prev` and gives the DID a new state.
    ///
    /// # Errors
    /// [`BridgeError::Operation`] or [`BridgeError::Key`] for a state that the directory would refuse.
    pub fn update(prev: &Cid, state: State, signer: &SigningKey) -> Result<Self, BridgeError> {
        state.check()?;
        Self::sign(Wire::update(state, Some(prev.to_string())), signer)
    }

    /// An operation that follows `prev` and ends the DID.
    ///
    /// # Errors
    /// None in practice: the encoding of a tombstone cannot fail.
    pub fn tombstone(prev: &Cid, signer: &SigningKey) -> Result<Self, BridgeError> {
        Self::sign(Wire::Tombstone { prev: prev.to_string(), sig: String::new() }, signer)
    }

    /// Reads an operation in the directory's JSON form.
    ///
    /// # Errors
    /// [`BridgeError::Operation`] when it is in none of the three forms, or too large.
    pub fn from_json(json: &[u8]) -> Result<Self, BridgeError> {
        serde_json::from_slice(json).map_err(|_| BridgeError::Operation("is in none of the known forms"))
    }

    /// The directory's JSON form.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn to_json(&self) -> Result<String, BridgeError> {
        serde_json::to_string(&self.wire).map_err(|_| BridgeError::Operation("has no JSON form"))
    }

    /// The CID of the signed operation: what the next one's `prev` names.
    #[must_use]
    pub const fn cid(&self) -> Cid {
        self.cid
    }

    /// The bytes that the signature covers.
    #[must_use]
    pub fn unsigned_cbor(&self) -> &[u8] {
        &self.unsigned
    }

    /// The operation before this one, as the text of its CID; `None` for a genesis.
    #[must_use]
    pub fn prev(&self) -> Option<&str> {
        match &self.wire {
            Wire::Update { prev, .. } | Wire::Create { prev, .. } => prev.as_deref(),
            Wire::Tombstone { prev, .. } => Some(prev),
        }
    }

    /// What the operation says of the DID; `None` for a tombstone. The legacy form is put in today's terms.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        match &self.wire {
            Wire::Update { rotation_keys, verification_methods, also_known_as, services, .. } => {
                Some(State {
                    rotation_keys: rotation_keys.clone(),
                    verification_methods: verification_methods.clone(),
                    also_known_as: also_known_as.clone(),
                    services: services.clone(),
                })
            }
            Wire::Tombstone { .. } => None,
            Wire::Create { signing_key, recovery_key, handle, service, .. } => {
                let name = format!("{HANDLE_PREFIX}{}", handle.trim_start_matches(HANDLE_PREFIX));
                let schemed = service.starts_with("https://") || service.starts_with("http://");
                let pds = if schemed { service.clone() } else { format!("https://{service}") };
                let state = State {
                    rotation_keys: vec![recovery_key.clone(), signing_key.clone()],
                    verification_methods: BTreeMap::new(),
                    also_known_as: vec![name],
                    services: BTreeMap::new(),
                };
                Some(state.with_signing_key(signing_key).with_pds(&pds))
            }
        }
    }

    /// Whether this is the form that only a genesis may have.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        matches!(self.wire, Wire::Create { .. })
    }

    /// The DID that this genesis makes.
    ///
    /// # Errors
    /// [`BridgeError::Operation`] when it is not a genesis.
    pub fn did(&self) -> Result<Did, BridgeError> {
        if self.prev().is_some() {
            return Err(BridgeError::Operation("is not a genesis"));
        }
        let hash = BASE32_NOPAD.encode(self.cid.hash().digest()).to_ascii_lowercase();
        let id = hash.get(..DID_CHARS).ok_or(BridgeError::Operation("has a short hash"))?;
        Ok(Did::parse(&format!("did:plc:{id}"))?)
    }

    /// The position of the first of `rotation_keys` that signed the operation. A key of an unknown kind signs nothing.
    #[must_use]
    pub fn signer(&self, rotation_keys: &[String]) -> Option<usize> {
        let signature = BASE64URL_NOPAD.decode(self.wire.sig().as_bytes()).ok()?;
        rotation_keys.iter().position(|key| {
            VerifyingKey::from_did_key(key).is_ok_and(|key| key.verify(&self.unsigned, &signature).is_ok())
        })
    }

    fn sign(mut wire: Wire, signer: &SigningKey) -> Result<Self, BridgeError> {
        let signature = signer.sign(&cbor::encode(&wire.to_ipld(false))?);
        wire.set_sig(BASE64URL_NOPAD.encode(&signature));
        Self::try_from(wire)
    }
}

impl TryFrom<Wire> for Operation {
    type Error = BridgeError;

    fn try_from(wire: Wire) -> Result<Self, BridgeError> {
        let signed = cbor::encode(&wire.to_ipld(true))?;
        if signed.len() > MAX_OPERATION_BYTES {
            return Err(BridgeError::Operation("is larger than 7500 bytes"));
        }
        let unsigned = cbor::encode(&wire.to_ipld(false))?;
        Ok(Self { cid: cid_of_cbor(&signed), unsigned, wire })
    }
}

impl From<Operation> for Wire {
    fn from(operation: Operation) -> Self {
        operation.wire
    }
}

/// The three shapes of an operation, field for field as the specification has them.
mod wire {
    use super::{BTreeMap, Deserialize, Ipld, Serialize, Service, State};

    #[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
    #[serde(tag = "type", deny_unknown_fields)]
    pub(super) enum Wire {
        #[serde(rename = "plc_operation", rename_all = "camelCase")]
        Update {
            rotation_keys: Vec<String>,
            verification_methods: BTreeMap<String, String>,
            also_known_as: Vec<String>,
            services: BTreeMap<String, Service>,
            prev: Option<String>,
            sig: String,
        },
        #[serde(rename = "plc_tombstone")]
        Tombstone { prev: String, sig: String },
        /// Deprecated, and only ever a genesis.
        #[serde(rename = "create", rename_all = "camelCase")]
        Create {
            signing_key: String,
            recovery_key: String,
            handle: String,
            service: String,
            prev: Option<String>,
            sig: String,
        },
    }

    impl Wire {
        pub(super) fn update(state: State, prev: Option<String>) -> Self {
            let State { rotation_keys, verification_methods, also_known_as, services } = state;
            Self::Update {
                rotation_keys,
                verification_methods,
                also_known_as,
                services,
                prev,
                sig: String::new(),
            }
        }

        pub(super) fn sig(&self) -> &str {
            match self {
                Self::Update { sig, .. } | Self::Tombstone { sig, .. } | Self::Create { sig, .. } => sig,
            }
        }

        pub(super) fn set_sig(&mut self, new: String) {
            match self {
                Self::Update { sig, .. } | Self::Tombstone { sig, .. } | Self::Create { sig, .. } => {
                    *sig = new;
                }
            }
        }

        /// The map that is encoded: for the signature without `sig`, for the CID with it.
        pub(super) fn to_ipld(&self, signed: bool) -> Ipld {
            let mut map = match self {
                Self::Update {
                    rotation_keys, verification_methods, also_known_as, services, prev, ..
                } => {
                    let keys = verification_methods.iter().map(|(id, key)| (id.clone(), text(key)));
                    let services = services.iter().map(|(id, service)| {
                        let fields = [("type", text(&service.kind)), ("endpoint", text(&service.endpoint))];
                        (id.clone(), map(fields))
                    });
                    fields([
                        ("type", text("plc_operation")),
                        ("rotationKeys", texts(rotation_keys)),
                        ("verificationMethods", Ipld::Map(keys.collect())),
                        ("alsoKnownAs", texts(also_known_as)),
                        ("services", Ipld::Map(services.collect())),
                        ("prev", prev.as_deref().map_or(Ipld::Null, text)),
                    ])
                }
                Self::Tombstone { prev, .. } => {
                    fields([("type", text("plc_tombstone")), ("prev", text(prev))])
                }
                Self::Create { signing_key, recovery_key, handle, service, prev, .. } => fields([
                    ("type", text("create")),
                    ("signingKey", text(signing_key)),
                    ("recoveryKey", text(recovery_key)),
                    ("handle", text(handle)),
                    ("service", text(service)),
                    ("prev", prev.as_deref().map_or(Ipld::Null, text)),
                ]),
            };
            if signed {
                map.insert("sig".to_owned(), text(self.sig()));
            }
            Ipld::Map(map)
        }
    }

    fn fields<const N: usize>(fields: [(&str, Ipld); N]) -> BTreeMap<String, Ipld> {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn map<const N: usize>(of: [(&str, Ipld); N]) -> Ipld {
        Ipld::Map(fields(of))
    }

    fn text(text: &str) -> Ipld {
        Ipld::String(text.to_owned())
    }

    fn texts(all: &[String]) -> Ipld {
        Ipld::List(all.iter().map(|one| text(one)).collect())
    }
}

/// The fragment of the repository signing key (<https://atproto.com/specs/did>).
const SIGNING_KEY_ID: &str = "atproto";
/// The fragment and the type of the host's service (<https://atproto.com/specs/did>).
const PDS_ID: &str = "atproto_pds";
const PDS_TYPE: &str = "AtprotoPersonalDataServer";
/// Handles stand in `alsoKnownAs` as `at://` URIs.
const HANDLE_PREFIX: &str = "at://";
/// Characters of a did:plc after its prefix (did:plc specification, "Identifier Syntax").
const DID_CHARS: usize = 24;
/// Rotation keys of an operation (did:plc specification). Operations of others may have more: the directory is laxer.
const MAX_ROTATION_KEYS: usize = 5;
/// Bytes of an encoded operation (did:plc specification; the directory takes 4,000 today).
const MAX_OPERATION_BYTES: usize = 7_500;
