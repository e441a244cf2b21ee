//! Agents whose owners keep their keys, on the real Worker: their host never has a secret or a text. One owner runs the client
//! library as a program, the other as Wasm, in a runtime that is not the host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use murmuration_client::{Custody, Did, Entropy, Peer, Seen, Tid};
use murmuration_data::{Ipld, cbor};
use murmuration_tests::{Account, Client, Search, Setup, World};
use serde_json::{Value, json};

const TEXTS: [&str; 4] = [
    "the first one says the canary-4711",
    "the second one says the canary-4711",
    "the third one says the canary-4711",
    "the last one says the canary-4711",
];

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        File::open("/dev/urandom").unwrap().read_exact(buffer).unwrap();
    }
}

/// Where an owner keeps the keys, and seals and opens.
enum Place<'a> {
    /// In this program.
    Here(Box<Custody>),
    /// In Wasm, run by another runtime than the host's, which keeps nothing.
    Wasm(&'a Client, String),
}

/// The owner of an agent.
struct Owner<'a> {
    world: &'a World,
    did: Did,
    client: Client,
    place: Place<'a>,
    /// Everything that its host was sent.
    sent: RefCell<Vec<u8>>,
}

impl<'a> Owner<'a> {
    /// Makes an agent whose host has no keys, and keys for it: here, or in Wasm.
    fn new(world: &'a World, name: &str, wasm: Option<&'a Client>) -> Self {
        let body = json!({
            "handle": format!("{name}.test"), "email": format!("{name}@example.com"),
            "password": Account::PASSWORD, "custody": "client",
        });
        let made = world.operate("agent.identity.createAgent", &body).ok().json();
        let Account { did, access, .. } = Account::of(&made);
        let did: Did = did.parse().unwrap();
        let (place, publish) = match wasm {
            None => {
                let custody = Custody::create(&did, &SystemEntropy, now()).unwrap();
                let publish = custody.put_record();
                (Place::Here(Box::new(custody)), publish)
            }
            Some(wasm) => {
                let made = run(wasm, &json!({ "do": "create", "did": did }));
                (Place::Wasm(wasm, made["keys"].as_str().unwrap().to_owned()), made["publish"].clone())
            }
        };
        let client = world.client().with_token(&access);
        let owner = Self { world, did, client, place, sent: RefCell::default() };
        owner.publish(&publish);
        owner
    }

    fn post(&self, nsid: &str, input: &Value) -> Value {
        self.sent.borrow_mut().extend(input.to_string().into_bytes());
        self.client.post(nsid, input).ok().json()
    }

    fn publish(&self, input: &Value) {
        let _ = self.post("com.atproto.repo.putRecord", input);
        let _ = self.client.send("POST", "/xrpc/agent.identity.createAlias", &[], Vec::new()).unwrap().ok();
    }

    /// Begins the next epoch of its keys.
    fn rotate(&mut self) {
        let publish = match &mut self.place {
            Place::Here(custody) => {
                custody.rotate(None, &SystemEntropy, now()).unwrap();
                custody.put_record()
            }
            Place::Wasm(wasm, keys) => {
                let made = run(wasm, &json!({ "do": "rotate", "keys": keys }));
                made["keys"].as_str().unwrap().clone_into(keys);
                made["publish"].clone()
            }
        };
        self.publish(&publish);
    }

    /// What its host says of its keys to whoever asks.
    fn keys(&self) -> Value {
        self.world.client().get("agent.identity.getKeys", &[("agent", self.did.as_str())]).ok().json()
    }

    /// The agent as another sees it who has seen it before.
    fn seen_by(&self, before: Option<&Seen>) -> Peer {
        Peer::read(&self.did, &self.keys(), before).unwrap()
    }

    /// The key that it signs messages with, by the directory.
    fn signing_key(&self) -> String {
        let state = Client::new(self.world.plc_url()).path(&format!("/{}/data", self.did)).ok().json();
        state["verificationMethods"]["atproto"].as_str().unwrap().to_owned()
    }

    /// Seals a text and sends it.
    fn tell(&self, to: &Owner<'_>, text: &str) {
        let (id, content) = (Tid::from_parts(now(), 1), json!({ "kind": "text", "text": text }));
        let record = json!({ "$type": "agent.comms.message", "content": content });
        let input = match &self.place {
            Place::Here(custody) => {
                custody.send_message(id, &record, &[&to.seen_by(None)], &SystemEntropy, now()).unwrap()
            }
            Place::Wasm(wasm, keys) => {
                let others = json!([{ "did": to.did, "keys": to.keys() }]);
                run(wasm, &json!({ "do": "seal", "keys": keys, "id": id, "record": record, "to": others }))
            }
        };
        let sent = self.post("agent.comms.sendMessage", &input);
        assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    }

    /// The text of a message.
    fn open(&self, parcel: &Value, from: &Owner<'_>) -> String {
        let record = match &self.place {
            Place::Here(custody) => custody.open_message(parcel, &from.did, &from.signing_key()).unwrap(),
            Place::Wasm(wasm, keys) => run(
                wasm,
                &json!({
                    "do": "open", "keys": keys, "parcel": parcel, "sender": from.did,
                    "senderKey": from.signing_key(),
                }),
            ),
        };
        record["content"]["text"].as_str().unwrap().to_owned()
    }

    /// Takes the message that waits, which the host has not opened.
    fn take(&self) -> Value {
        let claimed = self.post("agent.comms.claimMessages", &json!({}));
        let [item] = &claimed["items"].as_array().unwrap()[..] else { panic!("{claimed}") };
        assert!(item.get("record").is_none(), "{item}");
        let done = json!({ "results": [{ "leaseId": item["leaseId"], "outcome": "done" }] });
        let _ = self.post("agent.comms.ackMessages", &done);
        item["parcel"].clone()
    }

    /// Its keys, as they are stored.
    fn exported(&self) -> Vec<u8> {
        match &self.place {
            Place::Here(custody) => custody.export().unwrap().to_vec(),
            Place::Wasm(_, keys) => BASE64.decode(keys.as_bytes()).unwrap(),
        }
    }
}

fn run(wasm: &Client, asked: &Value) -> Value {
    wasm.send("POST", "/test/owner", &[], asked.to_string().into_bytes()).unwrap().ok().json()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// The secrets in exported keys: four of 32 bytes in each epoch's byte string of 128.
fn secrets(exported: &[u8]) -> Vec<Vec<u8>> {
    fn collect(value: &Ipld, found: &mut Vec<Vec<u8>>) {
        match value {
            Ipld::Bytes(bytes) if bytes.len() == 128 => found.extend(bytes.chunks(32).map(<[u8]>::to_vec)),
            Ipld::List(items) => items.iter().for_each(|item| collect(item, found)),
            Ipld::Map(fields) => fields.values().for_each(|field| collect(field, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&cbor::decode(exported).unwrap(), &mut found);
    found
}

#[test]
fn owners_write_each_other_natively_and_in_wasm_and_their_host_learns_nothing() {
    let host = Setup::new().plain().start();
    let elsewhere = Setup::new().plc_of(&host).start();
    let wasm = elsewhere.client();
    let (mut robin, mut wren) = (Owner::new(&host, "robin", None), Owner::new(&host, "wren", Some(&wasm)));
    let [first, second, third, last] = TEXTS;

    // Sealed natively and opened in Wasm, and the other way round, by the stronger of the suites.
    robin.tell(&wren, first);
    let to_wren = wren.take();
    assert_eq!(to_wren["body"]["recipients"][0]["suite"], "hpke-xwing-hkdf-sha256-chacha20poly1305");
    assert_eq!(wren.open(&to_wren, &robin), first);
    wren.tell(&robin, second);
    let to_robin = robin.take();
    assert_eq!(robin.open(&to_robin, &wren), second);

    // The next epoch of each goes on from the last for whoever has seen that, and what came before stays readable.
    let seen = (robin.seen_by(None).seen(), wren.seen_by(None).seen());
    wren.rotate();
    robin.rotate();
    assert_eq!(robin.seen_by(Some(&seen.0)).seen().epoch(), 2);
    assert_eq!(wren.seen_by(Some(&seen.1)).seen().epoch(), 2);
    robin.tell(&wren, third);
    assert_eq!([wren.open(&wren.take(), &robin), wren.open(&to_wren, &robin)], [third, first]);
    wren.tell(&robin, last);
    assert_eq!([robin.open(&robin.take(), &wren), robin.open(&to_robin, &wren)], [last, second]);

    // Keys move from one place to the other: what Wasm has stored opens here, and the other way round.
    let exported = [robin.exported(), wren.exported()];
    wren.place = Place::Here(Box::new(Custody::import(&exported[1]).unwrap()));
    robin.place = Place::Wasm(&wasm, BASE64.encode(&exported[0]));
    assert_eq!((wren.open(&to_wren, &robin), robin.open(&to_robin, &wren)), (first.into(), second.into()));

    let mut search = Search::new();
    for (name, text) in ["first", "second", "third", "last"].into_iter().zip(TEXTS) {
        search = search.word(name, text);
    }
    let secrets: Vec<Vec<u8>> = exported.iter().flat_map(|exported| secrets(exported)).collect();
    assert_eq!(secrets.len(), 16);
    for secret in secrets {
        search = search.bytes("a secret", &secret);
    }
    assert_eq!(search.found_below(&host.folder()), BTreeMap::new());
    for seen in [robin.sent.take(), wren.sent.take(), host.log().into_bytes()] {
        assert!(search.found_in(&seen).is_empty());
    }
    // It is in the files of the host that was searched.
    assert!(!Search::new().word("keys", "agent.identity.keys").found_below(&host.folder()).is_empty());
}
