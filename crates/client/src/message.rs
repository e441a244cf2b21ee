//! Messages: sealed before they are sent, and opened when they have come.

use murmuration_comms::{Body, Parcel, Sender, binding};
use murmuration_data::{Ipld, cbor, json};
use murmuration_envelope::Binding;
use murmuration_keys::VerifyingKey;
use murmuration_platform::Entropy;
use murmuration_syntax::{Did, Nsid, RecordKey, Tid, datetime};
use serde_json::{Value as Json, json as object};

use crate::{ClientError, Custody, Peer};

impl Custody {
    /// The input of `agent.comms.sendMessage` for a record of `agent.comms`: sealed, so that the host sees its type, its readers,
    /// its thread and its priority, and nothing else. `$type` is required; `sender` and `createdAt`, and the recipient of a message to
    /// one, are filled in where they are absent.
    ///
    /// The same input may be sent again until it has been answered: it is done once. One that is sealed anew is another message.
    ///
    /// # Errors
    /// [`ClientError::Record`] when it is no such record; otherwise as [`Custody::seal`].
    pub fn send_message(
        &self,
        id: Tid,
        record: &Json,
        to: &[&Peer],
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<Json, ClientError> {
        let Ipld::Map(mut fields) = json::from_value(record)? else { return Err(ClientError::Record) };
        let text = |text: &str| Ipld::String(text.to_owned());
        let own = self.did().as_str();
        if *fields.entry("sender".into()).or_insert_with(|| text(own)) != text(own) {
            return Err(ClientError::Record);
        }
        let time = datetime::from_micros(now).map_err(|_| ClientError::Record)?;
        fields.entry("createdAt".into()).or_insert_with(|| text(&time));
        if let [only] = to {
            fields.entry("recipient".into()).or_insert_with(|| text(only.did().as_str()));
        }
        let Some(Ipld::String(kind)) = fields.get("$type") else { return Err(ClientError::Record) };
        let kind = Nsid::parse(kind).map_err(|_| ClientError::Record)?;
        let outside = ["thread", "priority"].map(|name| Some((name, json::to_value(fields.get(name)?))));
        let place = Binding {
            author: self.did().clone(),
            collection: kind.clone(),
            rkey: RecordKey::from(id),
            schema: kind.clone(),
        };
        let body = self.seal(&place, to, &cbor::encode(&Ipld::Map(fields))?, entropy, now)?;
        let mut parcel = object!({ "id": id, "type": kind.as_str(), "body": body });
        for (name, value) in outside.into_iter().flatten() {
            if let Some(parcel) = parcel.as_object_mut() {
                parcel.insert(name.into(), value);
            }
        }
        let to: Vec<&str> = to.iter().map(|peer| peer.did().as_str()).collect();
        Ok(object!({ "to": to, "parcel": parcel }))
    }

    /// The record in a message that came, or that the agent has sent: the `parcel` of an item of `listInbox`, `claimMessages` or
    /// `getThread`. `sender_key` is the key at `#atproto` in the DID document of whoever is said to have sent it, as `did:key`; the
    /// host that brings the message is not believed.
    ///
    /// # Errors
    /// [`ClientError::Message`] when it is no message, or not that sender's; [`ClientError::Envelope`] when it does not open;
    /// [`ClientError::Record`] when what is inside is of another sender or type than the header says.
    pub fn open_message(&self, parcel: &Json, sender: &Did, sender_key: &str) -> Result<Json, ClientError> {
        let parcel = Parcel::from_ipld(json::from_value(parcel)?).map_err(|_| ClientError::Message)?;
        let key = VerifyingKey::from_did_key(sender_key).map_err(|_| ClientError::Message)?;
        parcel.verify(&Sender { did: sender.clone(), key }).map_err(|_| ClientError::Message)?;
        let header = parcel.header();
        let record = match parcel.body() {
            Body::Open(record) => record.clone(),
            Body::Sealed(envelope) => cbor::decode(&self.open_envelope(&binding(header), envelope)?)?,
        };
        let says = |name: &str, text: &str| match &record {
            Ipld::Map(fields) => matches!(fields.get(name), Some(Ipld::String(said)) if said == text),
            _ => false,
        };
        match says("$type", header.kind.as_str()) && says("sender", header.from.as_str()) {
            true => Ok(json::to_value(&record)),
            false => Err(ClientError::Record),
        }
    }
}
