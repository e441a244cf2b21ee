//! Parcels: messages as they are sent, delivered and kept.
//!
//! ```text
//! parcel   { header, body, proof }, in DAG-CBOR; its CID is its name
//! body     an envelope, sealed to whom the header names; or a record in the open
//! proof    { kid: <from>#atproto, alg, sig }
//! sig      over DAG-CBOR of ["agent-parcel-v1", header, CID of the body]
//! ```
//!
//! The sender signs who may read the message, so that no reader can pass it on as if it had been for somebody else; and
//! whoever can open the envelope can check who wrote it, since nobody but the sender signs for it.

use murmuration_data::cbor::{self, Writer};
use murmuration_data::{Cid, Ipld, cid_of_cbor};
use murmuration_envelope::{Binding, Envelope};
use murmuration_keys::{Curve, SIGNATURE_BYTES, VerifyingKey};
use murmuration_syntax::{Did, RecordKey};

use crate::fields::{Fields, map, string};
use crate::limits::{MAX_PARCEL_BYTES, MAX_SKEW_MICROS, TOO_OLD_MICROS};
use crate::{CommsError, Header};

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Sealed to the recipients.
    Sealed(Box<Envelope>),
    /// A record that anybody may read.
    Open(Ipld),
}

/// A signed message. Its parts fit each other; whether the proof is the sender's, [`Parcel::verify`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    header: Header,
    body: Body,
    proof: Proof,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Proof {
    kid: String,
    alg: String,
    sig: Vec<u8>,
}

/// What a sender publishes: its DID, and the key of its document by which it signs.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Who.
    pub did: Did,
    /// The key at `#atproto`.
    pub key: VerifyingKey,
}

impl Parcel {
    /// Signs a message. `sign` signs bytes with the key that the sender's document has at `#atproto`.
    ///
    /// # Errors
    /// When header and body do not make a parcel, and with the error of `sign`.
    pub fn sign<E: From<CommsError>>(
        header: Header,
        body: Body,
        curve: Curve,
        sign: impl FnOnce(&[u8]) -> Result<[u8; SIGNATURE_BYTES], E>,
    ) -> Result<Self, E> {
        header.check()?;
        let proof =
            Proof { kid: key_of(&header.from), alg: curve.token_algorithm().to_owned(), sig: Vec::new() };
        let mut parcel = Self { header, body, proof };
        parcel.check_body()?;
        parcel.proof.sig = sign(&parcel.signed()?)?.to_vec();
        Ok(parcel)
    }

    /// Reads a parcel from DAG-CBOR.
    ///
    /// # Errors
    /// When the bytes are more than [`MAX_PARCEL_BYTES`], or not exactly what [`Parcel::to_cbor`] gives for one.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CommsError> {
        if bytes.len() > MAX_PARCEL_BYTES {
            return Err(CommsError::TooLarge(MAX_PARCEL_BYTES));
        }
        Self::read(cbor::decode(bytes).map_err(|_| CommsError::Form("not DAG-CBOR"))?)
    }

    /// Reads a parcel from the data model, as it stands in a request.
    ///
    /// # Errors
    /// When it is not one: a field is missing, unknown, or of a wrong type, a text has another form than the one, or the
    /// body is sealed to others than the header names.
    pub fn from_ipld(value: Ipld) -> Result<Self, CommsError> {
        let parcel = Self::read(value)?;
        match parcel.to_cbor()?.len() {
            0..=MAX_PARCEL_BYTES => Ok(parcel),
            _ => Err(CommsError::TooLarge(MAX_PARCEL_BYTES)),
        }
    }

    /// The value of the data model.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let proof = map([
            ("kid", string(self.proof.kid.as_str())),
            ("alg", string(self.proof.alg.as_str())),
            ("sig", Ipld::Bytes(self.proof.sig.clone())),
        ]);
        let parts =
            [("header", self.header.write()), ("body", self.body.write()), ("proof", Ipld::Map(proof))];
        Ipld::Map(map(parts))
    }

    /// Its DAG-CBOR.
    ///
    /// # Errors
    /// When the open record that it was made of is none.
    pub fn to_cbor(&self) -> Result<Vec<u8>, CommsError> {
        encode(&self.to_ipld())
    }

    /// What its sender says of it.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Checks that this is from the sender whose key is given.
    ///
    /// # Errors
    /// [`CommsError::Proof`] when the header, the proof and the sender do not agree, or the signature is not of it.
    pub fn verify(&self, sender: &Sender) -> Result<(), CommsError> {
        let refused = |rule| CommsError::Proof { from: self.header.from.clone(), rule };
        if self.header.from != sender.did {
            return Err(refused("the header names another sender"));
        }
        if self.proof.kid != key_of(&sender.did) {
            return Err(refused("the proof names another key"));
        }
        if self.proof.alg != sender.key.curve().token_algorithm() {
            return Err(refused("the proof names another algorithm"));
        }
        sender.key.verify(&self.signed()?, &self.proof.sig).map_err(|_| refused("the signature does not fit"))
    }

    /// Checks that its time has come and is not over.
    ///
    /// # Errors
    /// [`CommsError::Expired`], and [`CommsError::Future`] beyond what clocks differ by.
    pub fn check_time(&self, now: u64) -> Result<(), CommsError> {
        if self.header.created_at > now.saturating_add(MAX_SKEW_MICROS) {
            return Err(CommsError::Future);
        }
        if self.header.created_at.saturating_add(TOO_OLD_MICROS) <= now {
            return Err(CommsError::Expired);
        }
        if self.header.expires_at.is_some_and(|at| at <= now) { Err(CommsError::Expired) } else { Ok(()) }
    }

    fn read(value: Ipld) -> Result<Self, CommsError> {
        let mut fields = Fields::of(value)?;
        let mut proof = Fields::of(fields.take("proof")?)?;
        let parcel = Self {
            header: Header::read(fields.take("header")?)?,
            body: Body::read(fields.take("body")?)?,
            proof: Proof { kid: proof.text("kid")?, alg: proof.text("alg")?, sig: proof.bytes("sig")? },
        };
        proof.end()?;
        fields.end()?;
        if parcel.proof.sig.len() != SIGNATURE_BYTES {
            return Err(CommsError::Form("the signature is not of 64 bytes"));
        }
        parcel.check_body()?;
        Ok(parcel)
    }

    /// A sealed body is for those whom the header names, and a record of the type that it names.
    fn check_body(&self) -> Result<(), CommsError> {
        match &self.body {
            Body::Sealed(envelope) => {
                let readers = envelope.recipients().map(|(key, _)| key.did());
                // Both are in order.
                if readers.eq(&self.header.to) { Ok(()) } else { Err(CommsError::Form("sealed to others")) }
            }
            Body::Open(Ipld::Map(record)) => match record.get("$type") {
                Some(Ipld::String(kind)) if *kind == self.header.kind.as_str() => Ok(()),
                _ => Err(CommsError::Form("the record is of another type")),
            },
            Body::Open(_) => Err(CommsError::Form("the record is no object")),
        }
    }

    fn signed(&self) -> Result<Vec<u8>, CommsError> {
        let mut writer = Writer::new();
        writer.array(3).text(LABEL).raw(&encode(&self.header.write())?);
        writer.link(&cid_of_cbor(&encode(&self.body.write())?));
        Ok(writer.into_bytes())
    }
}

impl Body {
    fn read(value: Ipld) -> Result<Self, CommsError> {
        let mut fields = Fields::of(value)?;
        match fields.text("$type")?.as_str() {
            OPEN => {
                let record = fields.take("record")?;
                fields.end()?;
                Ok(Self::Open(record))
            }
            SEALED => Ok(Self::Sealed(Box::new(Envelope::from_ipld(fields.rest())?))),
            _ => Err(CommsError::Form("the body is of an unknown type")),
        }
    }

    fn write(&self) -> Ipld {
        match self {
            Self::Open(record) => Ipld::Map(map([("$type", string(OPEN)), ("record", record.clone())])),
            Self::Sealed(envelope) => match envelope.to_ipld() {
                Ipld::Map(mut fields) => {
                    fields.insert("$type".to_owned(), string(SEALED));
                    Ipld::Map(fields)
                }
                other => other,
            },
        }
    }
}

/// Where the body of a message opens: as the record that it would be in the sender's repository.
#[must_use]
pub fn binding(header: &Header) -> Binding {
    let (collection, rkey) = (header.kind.clone(), RecordKey::from(header.id));
    Binding { author: header.from.clone(), schema: collection.clone(), collection, rkey }
}

/// The CID of a parcel's DAG-CBOR.
#[must_use]
pub fn cid_of(bytes: &[u8]) -> Cid {
    cid_of_cbor(bytes)
}

fn encode(value: &Ipld) -> Result<Vec<u8>, CommsError> {
    cbor::encode(value).map_err(|_| CommsError::Form("the record has no DAG-CBOR"))
}

fn key_of(did: &Did) -> String {
    format!("{did}#atproto")
}

/// What stands before all that is signed here, so that no signature of something else passes for one of a parcel.
const LABEL: &str = "agent-parcel-v1";
const OPEN: &str = "agent.comms.defs#openBody";
const SEALED: &str = "agent.crypto.defs#envelope";
