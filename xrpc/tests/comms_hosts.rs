//! Messages between agents of two hosts.

use data_encoding::BASE64URL_NOPAD;
use murmuration_syntax::Did;
use serde_json::{Value, json};

use crate::world::agents::texts;
use crate::world::ask::claims;
use crate::world::block_on;
use crate::world::hosts::{Hosts, Weather};

#[test]
fn a_stranger_of_another_host_waits_until_it_is_allowed_and_is_answered_at_once() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let sent = hosts.here.tell(&hosts.alice, &hosts.bob.did, "greetings from afar");
    assert_eq!(sent["receipts"][0]["state"], "delivered");
    // What went over says nothing of it.
    let deliveries = hosts.deliveries.borrow();
    assert_eq!(deliveries.len(), 1);
    assert!(!deliveries[0].1.to_string().contains("afar"));
    assert!(hosts.there.claim(&hosts.bob).is_empty());
    let (_, waiting) = hosts.there.look(&hosts.bob, "listInbox", &[("state", "quarantined")]);
    assert_eq!(texts(waiting["items"].as_array().unwrap()), ["greetings from afar"]);
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "allowed");
    let items = hosts.there.claim(&hosts.bob);
    assert_eq!(texts(&items), ["greetings from afar"]);
    hosts.there.done(&hosts.bob, &items);

    // Bob answers in the thread: Alice has written to him there, so he is no stranger to her.
    let (_, keys) = hosts.here.proof(hosts.alice.did.as_str(), "agent.identity.keys", "self");
    *hosts.there.network.peer.borrow_mut() = Some(Box::new(move |request| {
        request.url.contains("sync.getRecord").then(|| (200, Vec::new(), keys.clone()))
    }));
    let answer = hosts.there.tell(&hosts.bob, &hosts.alice.did, "greetings back");
    assert_eq!(answer["receipts"][0]["state"], "queued");
    let asked = hosts.there.network.asked.borrow().last().cloned().unwrap();
    assert_eq!(asked.url, "https://pds.example/xrpc/agent.comms.deliver");
    let input: Value = serde_json::from_slice(&asked.body).unwrap();
    let (code, state) = hosts.here.ask("agent.comms.deliver", Some(&asked.headers[0].1), &[], &input);
    assert_eq!((code, &state["state"]), (200, &json!("delivered")));
    assert_eq!(texts(&hosts.here.claim(&hosts.alice)), ["greetings back"]);
}

#[test]
fn a_clear_no_of_the_other_host_is_for_good() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    hosts.weather.set(Weather::Status(413, None));
    let sent = hosts.here.tell(&hosts.alice, &hosts.bob.did, "large");
    assert_eq!(sent["receipts"][0]["state"], "rejected");
    hosts.weather.set(Weather::Fine);
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "blocked");
    let sent = hosts.here.tell(&hosts.alice, &hosts.bob.did, "please");
    assert_eq!(sent["receipts"][0]["state"], "rejected");
    assert!(sent["receipts"][0]["reason"].as_str().unwrap().starts_with("NotAllowed"));
}

#[test]
fn nobody_is_sealed_to_who_publishes_no_keys_or_is_not_known() {
    let hosts = Hosts::new();
    let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": "x" } });
    let send = |to: &str, privacy: &str| {
        let input = json!({ "record": record, "to": [to], "privacy": privacy });
        let (code, answer) = hosts.here.call(&hosts.alice, "sendMessage", &input);
        (code, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(send(hosts.bob.did.as_str(), "private"), (400, "NoRecipientKey".into()));
    // In the open it goes, and waits there.
    assert_eq!(send(hosts.bob.did.as_str(), "public"), (200, String::new()));
    assert_eq!(send("did:plc:abcdefghijklmnopqrstuvwx", "public"), (400, "RecipientNotFound".into()));
    hosts.here.network.plc_is_away.set(true);
    assert_eq!(send("did:plc:zzzzzzzzzzzzzzzzzzzzzzzz", "private").0, 502);
}

#[test]
fn a_delivery_is_believed_when_token_header_and_proof_agree() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let parcel = hosts.parcel("one");
    let mallory = hosts.here.agent("mallory");
    hosts.share_the_directory();
    let carol = hosts.there_agent("zoe");
    let (inbox, lxm) = (hosts.inbox(), "agent.comms.deliver");
    let refused = |token: &str, parcel: &Value, code: u16, error: &str| {
        assert_eq!(hosts.deliver(token, parcel), (code, error.to_owned()));
    };
    // For somebody else, for something else, for nobody in particular.
    let token = hosts.token(&hosts.alice, hosts.bob.did.as_str(), lxm);
    refused(&token, &parcel, 401, "BadJwtAudience");
    refused(&hosts.token(&hosts.alice, "did:web:far.example", lxm), &parcel, 401, "BadJwtAudience");
    let token = hosts.token(&hosts.alice, &inbox, "com.atproto.repo.uploadBlob");
    refused(&token, &parcel, 401, "BadJwtLexiconMethod");
    refused("x.y.z", &parcel, 401, "BadJwt");
    let token = hosts.token(&hosts.alice, "did:plc:abcdefghijklmnopqrstuvwx#agent_inbox", lxm);
    refused(&token, &parcel, 400, "RecipientNotFound");
    let token = hosts.token(&hosts.alice, &format!("{}#agent_inbox", carol.did), lxm);
    refused(&token, &parcel, 400, "InvalidProof");
    // The token of another who has got hold of it.
    refused(&hosts.token(&mallory, &inbox, lxm), &parcel, 400, "InvalidProof");
    // The sender's own, with another header, body or signature.
    for (at, value) in [
        ("/header/priority", json!(5)),
        ("/header/from", json!(mallory.did)),
        ("/header/to/0", json!(carol.did)),
        ("/proof/kid", json!(format!("{}#atproto", mallory.did))),
        ("/proof/alg", json!("ES256")),
        ("/body/epoch", json!(7)),
    ] {
        let mut changed = parcel.clone();
        *changed.pointer_mut(at).unwrap() = value;
        let (code, error) = hosts.deliver(&hosts.token(&hosts.alice, &inbox, lxm), &changed);
        assert_eq!(code, 400, "{at}");
        assert!(["InvalidProof", "InvalidParcel"].contains(&error.as_str()), "{at}: {error}");
    }
    // Not even a place in quarantine was taken.
    let (_, list) = hosts.there.look(&hosts.bob, "listInbox", &[("state", "quarantined")]);
    assert_eq!(list["items"], json!([]));

    let token = hosts.token(&hosts.alice, &inbox, lxm);
    assert_eq!(hosts.deliver(&token, &parcel), (200, "quarantined".into()));
    refused(&token, &parcel, 401, "BadJwt");
    let again = hosts.token(&hosts.alice, &inbox, lxm);
    assert_eq!(hosts.deliver(&again, &parcel), (200, "duplicate".into()));
}

/// What an object remembers of tokens goes with it, and may: docs/decisions/0013.
#[test]
fn a_token_that_was_used_and_forgotten_brings_nothing_that_its_sender_does_not_want() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "allowed");
    let mallory = hosts.here.agent("mallory");
    hosts.share_the_directory();
    let (parcel, foreign) = (hosts.parcel("one"), hosts.parcel_of(&mallory, "mine"));
    let token = hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
    assert_eq!(hosts.deliver(&token, &parcel), (200, "delivered".into()));
    assert_eq!(hosts.deliver(&token, &parcel), (401, "BadJwt".into()));
    let again = |parcel: &Value| {
        hosts.there.objects.crash(&hosts.bob.did);
        hosts.deliver(&token, parcel)
    };
    assert_eq!(again(&parcel), (200, "duplicate".into()));
    assert_eq!(again(&foreign), (400, "InvalidProof".into()));
    let second = hosts.parcel("two");
    assert_eq!(again(&second), (200, "delivered".into()));
    assert_eq!(again(&second), (200, "duplicate".into()));
    assert_eq!(texts(&hosts.there.claim(&hosts.bob)), ["one", "two"]);
}

#[test]
fn a_token_must_have_a_name_and_be_in_its_time() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let parcel = hosts.parcel("one");
    let token = hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
    hosts.there.pass_minutes(5);
    assert_eq!(hosts.deliver(&token, &parcel), (401, "JwtExpired".into()));
    // Without a `jti` it could be used again; and the signature covers that there is none.
    let mut claims = claims(&token);
    claims.as_object_mut().unwrap().remove("jti");
    let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let (head, rest) = token.split_once('.').unwrap();
    let bare = format!("{head}.{claims}.{}", rest.split_once('.').unwrap().1);
    assert_eq!(hosts.deliver(&bare, &parcel).0, 401);
    // It is for a minute, and another for clocks that differ.
    let living = |seconds: u64| {
        let exp = (hosts.there.now_millis() / 1000 + seconds).to_string();
        let query = [("aud", &*hosts.inbox()), ("lxm", "agent.comms.deliver"), ("exp", &exp)];
        let (code, answer) =
            hosts.here.get_as(Some(&hosts.alice.token), "com.atproto.server.getServiceAuth", &query);
        assert_eq!(code, 200, "{answer}");
        hosts.deliver(answer["token"].as_str().unwrap(), &parcel)
    };
    hosts.here.pass_minutes(5);
    assert_eq!(living(121), (401, "BadJwt".into()));
    assert_eq!(living(119), (200, "quarantined".into()));
}

#[test]
fn a_sender_that_is_nobody_is_refused_for_good_and_one_whose_directory_is_away_for_now() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let parcel = hosts.parcel("one");
    let token = hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
    let (head, signature) = (token.split('.').next().unwrap(), token.rsplit('.').next().unwrap());
    let mut claims = claims(&token);
    claims["iss"] = json!("did:plc:abcdefghijklmnopqrstuvwx");
    let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let token = format!("{head}.{claims}.{signature}");
    assert_eq!(hosts.deliver(&token, &parcel), (400, "InvalidProof".into()));
    hosts.there.network.plc_is_away.set(true);
    assert_eq!(hosts.deliver(&token, &parcel), (502, "UpstreamFailure".into()));
}

#[test]
fn an_account_that_rests_takes_no_messages() {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    let parcel = hosts.parcel("one");
    let (code, _) =
        hosts.there.post_as(Some(&hosts.bob.token), "com.atproto.server.deactivateAccount", &json!({}));
    assert_eq!(code, 200);
    let token = hosts.token(&hosts.alice, &hosts.inbox(), "agent.comms.deliver");
    assert_eq!(hosts.deliver(&token, &parcel), (400, "RecipientNotFound".into()));
    let unknown: Did = "did:plc:abcdefghijklmnopqrstuvwx".parse().unwrap();
    assert!(block_on(hosts.here.host().carry_due(&unknown)).is_err());
}
