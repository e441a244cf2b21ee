//! How an envelope is written in the data model: read strictly, and written in one way.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, cbor};

use crate::envelope::{Envelope, MAX_CIPHERTEXT_BYTES, MAX_RECIPIENTS, OwnCopy, WrappedKey};
use crate::padding::padded;
use crate::wrap::TAG_BYTES;
use crate::{EnvelopeError, KeyId, Suite};

/// The envelope's map.
pub(crate) fn write(envelope: &Envelope) -> Ipld {
    let mut fields = head(envelope);
    fields.insert("commit".to_owned(), bytes(&envelope.commit));
    fields.insert("ciphertext".to_owned(), bytes(&envelope.ciphertext));
    Ipld::Map(fields)
}

/// DAG-CBOR of the head, which the commitment covers: all fields but the commitment itself and the ciphertext. The
/// ciphertext is covered by its own tag, so that the keys can be wrapped anew without reading it.
pub(crate) fn encode_head(envelope: &Envelope) -> Vec<u8> {
    encode(&Ipld::Map(head(envelope)))
}

/// DAG-CBOR of what this module has written.
pub(crate) fn encode(value: &Ipld) -> Vec<u8> {
    // INVARIANT: maps, lists, texts, bytes and numbers below 2^32, within the limits of an envelope, are of the data model.
    #[expect(clippy::expect_used, reason = "the invariant above")]
    cbor::encode(value).expect("a value of the data model")
}

/// The envelope of a map.
pub(crate) fn read(value: Ipld) -> Result<Envelope, EnvelopeError> {
    let mut fields = Fields::of(value)?;
    if fields.number("v")? != VERSION {
        return Err(EnvelopeError::Version);
    }
    let mut own = Fields::of(fields.take("own")?)?;
    let envelope = Envelope {
        epoch: fields.number("epoch")?,
        nonce: fields.fixed("nonce")?,
        commit: fields.fixed("commit")?,
        own: OwnCopy { epoch: own.number("epoch")?, nonce: own.fixed("nonce")?, wrap: own.fixed("wrap")? },
        recipients: read_recipients(fields.take("recipients")?)?,
        ciphertext: fields.bytes("ciphertext")?,
    };
    own.end()?;
    fields.end()?;
    check_ciphertext(&envelope.ciphertext)?;
    Ok(envelope)
}

fn head(envelope: &Envelope) -> BTreeMap<String, Ipld> {
    let own = map([
        ("epoch", Ipld::Integer(envelope.own.epoch.into())),
        ("nonce", bytes(&envelope.own.nonce)),
        ("wrap", bytes(&envelope.own.wrap)),
    ]);
    map([
        ("v", Ipld::Integer(VERSION.into())),
        ("epoch", Ipld::Integer(envelope.epoch.into())),
        ("nonce", bytes(&envelope.nonce)),
        ("own", Ipld::Map(own)),
        ("recipients", write_recipients(&envelope.recipients)),
    ])
}

/// The list of the data keys that are sealed to others.
pub(crate) fn write_recipients(keys: &[WrappedKey]) -> Ipld {
    Ipld::List(keys.iter().map(write_recipient).collect())
}

/// Reads what [`write_recipients`] gives, in its encoding.
pub(crate) fn decode_recipients(bytes: &[u8]) -> Result<Vec<WrappedKey>, EnvelopeError> {
    read_recipients(cbor::decode(bytes).map_err(|_| EnvelopeError::Form)?)
}

/// The map of a data key that is sealed to somebody.
pub(crate) fn write_recipient(key: &WrappedKey) -> Ipld {
    Ipld::Map(map([
        ("enc", bytes(&key.encapsulated)),
        ("kid", Ipld::String(key.id.as_str().to_owned())),
        ("suite", Ipld::String(key.suite.name().to_owned())),
        ("wrap", bytes(&key.wrap)),
    ]))
}

fn read_recipients(value: Ipld) -> Result<Vec<WrappedKey>, EnvelopeError> {
    let Ipld::List(items) = value else { return Err(EnvelopeError::Form) };
    if items.len() > MAX_RECIPIENTS {
        return Err(EnvelopeError::TooManyRecipients);
    }
    let keys = items.into_iter().map(read_recipient).collect::<Result<Vec<_>, _>>()?;
    if keys.is_sorted_by(|left, right| left.id.did().as_str() < right.id.did().as_str()) {
        Ok(keys)
    } else {
        Err(EnvelopeError::Form)
    }
}

/// A data key that is sealed to somebody.
pub(crate) fn read_recipient(value: Ipld) -> Result<WrappedKey, EnvelopeError> {
    let mut fields = Fields::of(value)?;
    let key = WrappedKey {
        id: KeyId::parse(&fields.text("kid")?)?,
        suite: Suite::parse(&fields.text("suite")?)?,
        encapsulated: fields.bytes("enc")?,
        wrap: fields.fixed("wrap")?,
    };
    fields.end()?;
    if key.encapsulated.len() == key.suite.encapsulated_bytes() { Ok(key) } else { Err(EnvelopeError::Form) }
}

/// A ciphertext is a padded text and a tag, so only a few lengths are possible.
pub(crate) fn check_ciphertext(ciphertext: &[u8]) -> Result<(), EnvelopeError> {
    if ciphertext.len() > MAX_CIPHERTEXT_BYTES {
        return Err(EnvelopeError::TooLarge);
    }
    match ciphertext.len().checked_sub(TAG_BYTES) {
        Some(length) if padded(length) == length => Ok(()),
        _ => Err(EnvelopeError::Form),
    }
}

/// The fields of a map that are not yet read.
struct Fields(BTreeMap<String, Ipld>);

impl Fields {
    fn of(value: Ipld) -> Result<Self, EnvelopeError> {
        match value {
            Ipld::Map(fields) => Ok(Self(fields)),
            _ => Err(EnvelopeError::Form),
        }
    }

    fn take(&mut self, name: &str) -> Result<Ipld, EnvelopeError> {
        self.0.remove(name).ok_or(EnvelopeError::Form)
    }

    fn number(&mut self, name: &str) -> Result<u32, EnvelopeError> {
        match self.take(name)? {
            Ipld::Integer(number) => u32::try_from(number).map_err(|_| EnvelopeError::Form),
            _ => Err(EnvelopeError::Form),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, EnvelopeError> {
        match self.take(name)? {
            Ipld::String(text) => Ok(text),
            _ => Err(EnvelopeError::Form),
        }
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, EnvelopeError> {
        match self.take(name)? {
            Ipld::Bytes(bytes) => Ok(bytes),
            _ => Err(EnvelopeError::Form),
        }
    }

    fn fixed<const N: usize>(&mut self, name: &str) -> Result<[u8; N], EnvelopeError> {
        self.bytes(name)?.try_into().map_err(|_| EnvelopeError::Form)
    }

    /// Nothing may be left: a field that is not covered by the commitment could be changed by anybody.
    fn end(self) -> Result<(), EnvelopeError> {
        if self.0.is_empty() { Ok(()) } else { Err(EnvelopeError::Form) }
    }
}

fn map<const N: usize>(fields: [(&str, Ipld); N]) -> BTreeMap<String, Ipld> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn bytes(bytes: &[u8]) -> Ipld {
    Ipld::Bytes(bytes.to_vec())
}

/// The version of envelopes that this crate reads and writes.
const VERSION: u32 = 1;
