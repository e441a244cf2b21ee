//! The agent's own keys.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, cbor, cid_of_cbor, json};
use murmuration_envelope::{Binding, Envelope, Opened, Recipient, Zeroizing};
use murmuration_keyring::{COLLECTION, EpochSecrets, PublishedKeys, RKEY, Ring};
use murmuration_platform::Entropy;
use murmuration_syntax::Did;
use serde_json::{Value as Json, json as object};

use crate::{ClientError, Peer};

/// An agent's keys, which nobody else has.
#[derive(Clone, Debug)]
pub struct Custody {
    ring: Ring,
    published: PublishedKeys,
    /// What the record was before the last epoch began.
    before: Option<String>,
}

impl Custody {
    /// Makes the first keys of an agent.
    ///
    /// # Errors
    /// When the DID is too long to name keys with.
    pub fn create(did: &Did, entropy: &dyn Entropy, now: u64) -> Result<Self, ClientError> {
        let (ring, published) = Ring::begin(did, entropy, now)?;
        Ok(Self { ring, published, before: None })
    }

    /// Begins the next epoch. What was sealed to earlier ones still opens. The host must be told: [`Custody::put_record`].
    ///
    /// # Errors
    /// When the numbers have run out.
    pub fn rotate(
        &mut self,
        reason: Option<&str>,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<(), ClientError> {
        let before = cid_of_cbor(&cbor::encode(&self.published.to_ipld())?).to_string();
        let (ring, published) = self.ring.advance(&self.published, reason, entropy, now)?;
        *self = Self { ring, published, before: Some(before) };
        Ok(())
    }

    /// Lets go of the secrets of an epoch that nothing is sealed to any more. Those of the latest stay.
    pub fn forget(&mut self, epoch: u32) {
        self.ring = self.ring.without(epoch);
    }

    /// The input of `com.atproto.repo.putRecord` that publishes the keys. It holds nothing secret, and is refused if the record
    /// is not what it was before the last epoch.
    #[must_use]
    pub fn put_record(&self) -> Json {
        object!({
            "repo": self.ring.did().as_str(),
            "collection": COLLECTION,
            "rkey": RKEY,
            "record": json::to_value(&self.published.to_ipld()),
            "swapRecord": self.before,
        })
    }

    /// Seals a message for the agent itself and for others, each by the strongest key that they publish. The answer is the
    /// envelope's JSON.
    ///
    /// # Errors
    /// When one of them publishes no key that is valid now, or as [`Envelope::seal`].
    pub fn seal(
        &self,
        binding: &Binding,
        peers: &[&Peer],
        message: &[u8],
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<Json, ClientError> {
        let recipients =
            peers.iter().map(|peer| peer.recipient(now)).collect::<Result<Vec<Recipient>, _>>()?;
        let envelope = self.ring.seal(binding, &recipients, message, entropy)?;
        Ok(json::to_value(&envelope.to_ipld()))
    }

    /// Opens an envelope, of the agent's own or sealed to it.
    ///
    /// # Errors
    /// When it is no envelope, or as [`Ring::open`].
    pub fn open(&self, binding: &Binding, envelope: &Json) -> Result<Opened, ClientError> {
        self.open_envelope(binding, &read(envelope)?)
    }

    pub(crate) fn open_envelope(
        &self,
        binding: &Binding,
        envelope: &Envelope,
    ) -> Result<Opened, ClientError> {
        Ok(self.ring.open(binding, envelope)?)
    }

    /// Whose keys they are.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.ring.did()
    }

    /// The same envelope of the agent's own, under the key of the latest epoch.
    ///
    /// # Errors
    /// When it is no envelope, or as [`Ring::rewrap`].
    pub fn rewrap(
        &self,
        binding: &Binding,
        envelope: &Json,
        entropy: &dyn Entropy,
    ) -> Result<Json, ClientError> {
        Ok(json::to_value(&self.ring.rewrap(binding, &read(envelope)?, entropy)?.to_ipld()))
    }

    /// Everything, to be stored where only the agent's owner can read it: the secrets are in it as they are.
    ///
    /// # Errors
    /// Never for keys of this crate.
    pub fn export(&self) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        let secrets = self.ring.epochs().iter().map(|epoch| {
            let fields = [
                ("epoch", Ipld::Integer(epoch.number().into())),
                ("secrets", Ipld::Bytes(epoch.to_bytes().to_vec())),
            ];
            map(fields)
        });
        let exported = map([
            ("v", Ipld::Integer(VERSION)),
            ("did", Ipld::String(self.ring.did().as_str().to_owned())),
            ("epochs", Ipld::List(secrets.collect())),
            ("record", self.published.to_ipld()),
            ("before", self.before.clone().map_or(Ipld::Null, Ipld::String)),
        ]);
        Ok(Zeroizing::new(cbor::encode(&exported)?))
    }

    /// Reads what [`Custody::export`] gives.
    ///
    /// # Errors
    /// When it is something else, or the secrets are not those of what is published.
    pub fn import(bytes: &[u8]) -> Result<Self, ClientError> {
        let Ipld::Map(mut fields) = cbor::decode(bytes)? else { return Err(ClientError::Export) };
        let mut take = |name: &str| fields.remove(name).ok_or(ClientError::Export);
        let (Ipld::Integer(VERSION), Ipld::String(did), Ipld::List(epochs)) =
            (take("v")?, take("did")?, take("epochs")?)
        else {
            return Err(ClientError::Export);
        };
        let did = Did::parse(&did).map_err(|_| ClientError::Export)?;
        let before = match take("before")? {
            Ipld::Null => None,
            Ipld::String(cid) => Some(cid),
            _ => return Err(ClientError::Export),
        };
        let published = PublishedKeys::from_ipld(&did, take("record")?)?;
        let ring = Ring::new(did, epochs.into_iter().map(secrets).collect::<Result<_, _>>()?)?;
        ring.check(&published)?;
        Ok(Self { ring, published, before })
    }
}

fn secrets(value: Ipld) -> Result<EpochSecrets, ClientError> {
    let Ipld::Map(mut fields) = value else { return Err(ClientError::Export) };
    match (fields.remove("epoch"), fields.remove("secrets")) {
        (Some(Ipld::Integer(number)), Some(Ipld::Bytes(bytes))) => {
            let (number, bytes) =
                (u32::try_from(number).map_err(|_| ClientError::Export)?, Zeroizing::new(bytes));
            Ok(EpochSecrets::from_bytes(number, &bytes)?)
        }
        _ => Err(ClientError::Export),
    }
}

fn read(envelope: &Json) -> Result<Envelope, ClientError> {
    Ok(Envelope::from_ipld(json::from_value(envelope)?)?)
}

fn map<const N: usize>(fields: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

/// The version of exported keys.
const VERSION: i128 = 1;
