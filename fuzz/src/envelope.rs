//! Envelopes.

use murmuration_envelope::{
    Binding, DecryptionKey, Envelope, EpochKey, KeyId, Recipient, SecretKey, Suite, Zeroizing,
};
use murmuration_platform::Entropy;

/// An envelope that is read is written as it was, in both forms; it opens only to what was sealed.
pub fn envelope(data: &[u8]) {
    if let Ok(read) = Envelope::from_cbor(data) {
        assert_eq!(read.to_cbor(), data);
        holds(&read);
    }
    if let Ok(read) = Envelope::from_json(data) {
        holds(&read);
    }
}

fn holds(read: &Envelope) {
    assert_eq!(Envelope::from_cbor(&read.to_cbor()).as_ref(), Ok(read));
    assert_eq!(Envelope::from_json(read.to_json().as_bytes()).as_ref(), Ok(read));
    if let Ok(message) = read.open(&binding(), &[key(Suite::X25519)]) {
        assert_eq!(message.as_slice(), MESSAGE, "noise that opens");
    }
    if let Ok(message) = read.open_own(&binding(), &[own()]) {
        assert_eq!(message.as_slice(), MESSAGE, "noise that opens");
    }
}

/// Envelopes for nobody else, by X25519, and by X-Wing, in both forms.
pub fn envelope_seeds() -> Vec<Vec<u8>> {
    let to = |suite| Recipient::of(&[key(suite).published()]).expect("a key");
    [vec![], vec![to(Suite::X25519)], vec![to(Suite::XWing)]]
        .iter()
        .map(|to| Envelope::seal(&binding(), &own(), to, MESSAGE, &Same).expect("within the limits"))
        .flat_map(|sealed| [sealed.to_cbor(), sealed.to_json().into_bytes()])
        .collect()
}

/// The same bytes each time: what is sealed here is no secret.
struct Same;

impl Entropy for Same {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fn binding() -> Binding {
    Binding {
        author: "did:plc:alice".parse().expect("a DID"),
        collection: "agent.comms.message".parse().expect("an NSID"),
        rkey: "3lznm6spegk2z".parse().expect("a record key"),
        schema: "agent.comms.message".parse().expect("an NSID"),
    }
}

fn own() -> EpochKey {
    EpochKey::from_bytes(1, Zeroizing::new([5; 32]))
}

fn key(suite: Suite) -> DecryptionKey {
    DecryptionKey {
        id: KeyId::parse("did:plc:bob#agent-enc-1").expect("a name"),
        epoch: 1,
        key: SecretKey::generate(suite, &Same),
    }
}

const MESSAGE: &[u8] = b"message";
