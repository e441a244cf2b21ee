//! One epoch, as it is published.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, cbor};
use murmuration_envelope::{EncryptionKey, KeyId, MAX_KEY_ID_BYTES, PublicKey, Suite};
use murmuration_keys::{Ed25519VerifyingKey, SIGNATURE_BYTES, x25519_from_multibase, x25519_to_multibase};
use murmuration_syntax::{Did, datetime};
use sha2::{Digest, Sha256};

use crate::{EpochSecrets, KeyringError};

/// What an agent publishes of one epoch: its public keys, from when to when others seal to them, and the proof that
/// they are by the agent of the epoch before.
///
/// The fields are kept as they came, also those that are not known here: the proof covers them all.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedEpoch {
    fields: BTreeMap<String, Ipld>,
    number: u32,
    signing_key: Ed25519VerifyingKey,
    agreement_key: String,
    keys: Vec<EncryptionKey>,
    not_before: u64,
    not_after: Option<u64>,
    proof: [u8; SIGNATURE_BYTES],
}

impl PublishedEpoch {
    /// The public side of an epoch's secrets, signed by those of the epoch before; the first signs itself.
    pub(crate) fn sign(
        did: &Did,
        secrets: &EpochSecrets,
        before: Option<&EpochSecrets>,
        reason: Option<&str>,
        now: u64,
    ) -> Self {
        let agreement = secrets.agreement.public_key();
        let hybrid = secrets.hybrid.public_key();
        let number = secrets.number();
        let signing_key = secrets.signing.verifying_key();
        let agreement_key = x25519_multibase(&agreement);
        let fields = [
            (EPOCH, Ipld::Integer(number.into())),
            (NOT_BEFORE, Ipld::String(moment(now))),
            (SIGNING_KEY, Ipld::String(signing_key.multibase())),
            (AGREEMENT_KEY, Ipld::String(agreement_key.clone())),
            (HYBRID_KEY, Ipld::Bytes(hybrid.to_bytes())),
        ];
        let mut fields: BTreeMap<String, Ipld> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.extend(reason.map(|reason| (REASON.to_owned(), Ipld::String(reason.to_owned()))));
        let signer = before.map_or(&secrets.signing, |before| &before.signing);
        let proof = signer.sign(&statement(did, &fields));
        fields.insert(PROOF.to_owned(), Ipld::Bytes(proof.to_vec()));
        let keys = [agreement, hybrid].map(|key| EncryptionKey {
            id: encryption_id(did, key.suite(), number),
            epoch: number,
            key,
        });
        // As it is written: to the millisecond.
        let not_before = now / 1000 * 1000;
        Self {
            fields,
            number,
            signing_key,
            agreement_key,
            keys: keys.into(),
            not_before,
            not_after: None,
            proof,
        }
    }

    /// Reads an epoch. Its proof is not checked here.
    pub(crate) fn read(did: &Did, value: Ipld) -> Result<Self, KeyringError> {
        let Ipld::Map(fields) = value else { return Err(KeyringError::Form("epochs")) };
        let number = match fields.get(EPOCH) {
            Some(Ipld::Integer(number)) => u32::try_from(*number).ok().filter(|number| *number > 0),
            _ => None,
        };
        let number = number.ok_or(KeyringError::Form(EPOCH))?;
        let signing_key = Ed25519VerifyingKey::from_multibase(text(&fields, SIGNING_KEY)?)?;
        let agreement_key = text(&fields, AGREEMENT_KEY)?.to_owned();
        let agreement = x25519_from_multibase(&agreement_key)?;
        let mut keys = vec![PublicKey::from_bytes(Suite::X25519, &agreement)?];
        match fields.get(HYBRID_KEY) {
            None => {}
            Some(Ipld::Bytes(bytes)) => keys.push(PublicKey::from_bytes(Suite::XWing, bytes)?),
            Some(_) => return Err(KeyringError::Form(HYBRID_KEY)),
        }
        let keys = keys
            .into_iter()
            .map(|key| EncryptionKey { id: encryption_id(did, key.suite(), number), epoch: number, key })
            .collect();
        let not_before = micros(text(&fields, NOT_BEFORE)?).ok_or(KeyringError::Form(NOT_BEFORE))?;
        let not_after = match fields.contains_key(NOT_AFTER) {
            true => Some(micros(text(&fields, NOT_AFTER)?).ok_or(KeyringError::Form(NOT_AFTER))?),
            false => None,
        };
        let proof = match fields.get(PROOF) {
            Some(Ipld::Bytes(bytes)) => <[u8; SIGNATURE_BYTES]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        };
        let proof = proof.ok_or(KeyringError::Form(PROOF))?;
        Ok(Self { fields, number, signing_key, agreement_key, keys, not_before, not_after, proof })
    }

    /// Checks that `signer` has signed this epoch.
    pub(crate) fn verify(&self, did: &Did, signer: &Ed25519VerifyingKey) -> Result<(), KeyringError> {
        signer
            .verify(&statement(did, &self.fields), &self.proof)
            .map_err(|_| KeyringError::Continuity(self.number))
    }

    /// The SHA-256 of what the proof is of.
    pub(crate) fn digest(&self, did: &Did) -> [u8; 32] {
        Sha256::digest(statement(did, &self.fields)).into()
    }

    /// The same epoch, no longer to be sealed to.
    pub(crate) fn ended(mut self, now: u64) -> Self {
        self.fields.insert(NOT_AFTER.to_owned(), Ipld::String(moment(now)));
        self.not_after = Some(now / 1000 * 1000);
        self
    }

    pub(crate) fn to_ipld(&self) -> Ipld {
        Ipld::Map(self.fields.clone())
    }

    /// Its number; the first is 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The key that signs the next epoch.
    #[must_use]
    pub fn signing_key(&self) -> &Ed25519VerifyingKey {
        &self.signing_key
    }

    /// The keys that others seal to: X25519, and X-Wing unless the agent has none.
    #[must_use]
    pub fn encryption_keys(&self) -> &[EncryptionKey] {
        &self.keys
    }

    /// The X25519 key as a `publicKeyMultibase`: what the DID document has at `#agent_enc`.
    #[must_use]
    pub fn agreement_key(&self) -> &str {
        &self.agreement_key
    }

    /// Since when others seal to it, in microseconds since the Unix epoch.
    #[must_use]
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Since when they no longer do, in microseconds since the Unix epoch.
    #[must_use]
    pub fn not_after(&self) -> Option<u64> {
        self.not_after
    }

    /// Whether others may seal to it at this time.
    #[must_use]
    pub fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && self.not_after.is_none_or(|end| now < end)
    }
}

/// The name of an agent's signing key of an epoch.
pub(crate) fn signing_id(did: &Did, epoch: u32) -> String {
    format!("{did}#agent-sig-{epoch}")
}

/// The name of an agent's encryption key of an epoch.
pub(crate) fn encryption_id(did: &Did, suite: Suite, epoch: u32) -> KeyId {
    let what = match suite {
        Suite::X25519 => "enc",
        Suite::XWing => "pq",
    };
    #[expect(clippy::expect_used, reason = "the invariant beside it")]
    // INVARIANT: a fragment of at most MAX_FRAGMENT_BYTES letters, digits and hyphens; a DID that leaves no room for it is
    // refused by check_did.
    KeyId::parse(&format!("{did}#agent-{what}-{epoch}")).expect("a name")
}

/// Refuses a DID that leaves no room for the names of keys.
pub(crate) fn check_did(did: &Did) -> Result<(), KeyringError> {
    match did.as_str().len() > MAX_KEY_ID_BYTES - MAX_FRAGMENT_BYTES {
        true => Err(KeyringError::Did),
        false => Ok(()),
    }
}

/// What a proof is of: `[label, did, epoch]` in DAG-CBOR, the epoch without the proof and without `notAfter`, which comes
/// later.
fn statement(did: &Did, fields: &BTreeMap<String, Ipld>) -> Vec<u8> {
    let signed = fields.iter().filter(|(name, _)| ![PROOF, NOT_AFTER].contains(&name.as_str()));
    let signed = signed.map(|(name, value)| (name.clone(), value.clone())).collect();
    let list = [Ipld::String(LABEL.to_owned()), Ipld::String(did.as_str().to_owned()), Ipld::Map(signed)];
    #[expect(clippy::expect_used, reason = "the invariant beside it")]
    // INVARIANT: what was read as the data model, or made here of texts, bytes and numbers, is of the data model.
    cbor::encode(&Ipld::List(list.into())).expect("a value of the data model")
}

fn x25519_multibase(key: &PublicKey) -> String {
    #[expect(clippy::expect_used, reason = "the invariant beside it")]
    // INVARIANT: a public key of X25519 has 32 bytes.
    let bytes = key.to_bytes().try_into().expect("32 bytes");
    x25519_to_multibase(&bytes)
}

fn text<'a>(fields: &'a BTreeMap<String, Ipld>, name: &'static str) -> Result<&'a str, KeyringError> {
    match fields.get(name) {
        Some(Ipld::String(text)) => Ok(text),
        _ => Err(KeyringError::Form(name)),
    }
}

fn micros(text: &str) -> Option<u64> {
    u64::try_from(datetime::micros(text).ok()?).ok()
}

/// The text of a moment; of one after the year 9999, that of its end.
pub(crate) fn moment(micros: u64) -> String {
    datetime::from_micros(micros).unwrap_or_else(|_| "9999-12-31T23:59:59.999Z".to_owned())
}

const EPOCH: &str = "epoch";
const NOT_BEFORE: &str = "notBefore";
const NOT_AFTER: &str = "notAfter";
const SIGNING_KEY: &str = "signingKey";
const AGREEMENT_KEY: &str = "agreementKey";
const HYBRID_KEY: &str = "hybridKey";
const REASON: &str = "reason";
const PROOF: &str = "proof";

/// Bytes of the longest fragment with its `#`: `#agent-enc-4294967295`.
const MAX_FRAGMENT_BYTES: usize = 21;

/// Keeps a proof apart from anything else that the key may ever sign.
const LABEL: &str = "agent-keys-v1 epoch";
