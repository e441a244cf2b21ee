//! Peers: what the operator may say of them, who they are, and what they are asked.

use std::collections::BTreeMap;
use std::future::ready;

use data_encoding::BASE64;
use murmuration_data::{cid_of_cbor, json as data};
use murmuration_keys::{Curve, SigningKey};
use murmuration_lexicons::{Catalog, output};
use murmuration_platform::{Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse};
use murmuration_relay::{Found, NewPeer, PeerHost, PeerView, Trust};
use murmuration_repo::{Commit, car, empty_root};
use murmuration_syntax::{Did, Rev};
use murmuration_xrpc::http::{Body, Request, Verb};
use murmuration_xrpc::peers::{
    Asked, asked, find, find_out, identify, latest_commit, listed, put, stream_url,
};
use murmuration_xrpc::{Config, XrpcError};
use serde_json::{Value, json};

use crate::world;
use crate::world::{World, block_on, config};

const PEER: &str = "https://peer.example.com";

/// Answers by URL, all with 200; who asks for another is told 400.
struct Pages(BTreeMap<String, Vec<u8>>);

impl Outbound for Pages {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let answer = match self.0.get(&request.url) {
            _ if !request.url.starts_with(PEER) => Err(OutboundError::Unreachable(request.url)),
            Some(body) if body.len() > request.max_bytes => Err(OutboundError::TooLarge(request.max_bytes)),
            Some(body) => Ok(OutboundResponse { status: 200, headers: Vec::new(), body: body.clone() }),
            None => Ok(OutboundResponse { status: 400, headers: Vec::new(), body: Vec::new() }),
        };
        Box::pin(ready(answer))
    }
}

fn ask(config: &Config, authorization: Option<&str>, nsid: &str, input: &Value) -> Result<Asked, XrpcError> {
    let method = find(&format!("/xrpc/{nsid}")).unwrap();
    let is_put = nsid.ends_with("putPeer");
    let request = Request {
        verb: if is_put { Verb::Post } else { Verb::Get },
        nsid: nsid.to_owned(),
        query: Vec::new(),
        authorization: authorization.map(str::to_owned),
        content_type: is_put.then(|| "application/json".to_owned()),
        body: if is_put { input.to_string().into_bytes() } else { Vec::new() },
    };
    asked(config, Catalog::builtin(), method, &request, 0)
}

fn peer(trust: Trust) -> NewPeer {
    NewPeer { host: PeerHost::parse("peer.example.com").unwrap(), did: None, trust, allow: Vec::new() }
}

#[test]
fn only_the_operator_speaks_of_peers_and_only_in_their_words() {
    let config = config(&[]).unwrap();
    let operator = format!("Basic {}", BASE64.encode(format!("admin:{}", config.admin_password).as_bytes()));
    let stranger = format!("Basic {}", BASE64.encode(b"admin:guess"));
    let ask = |who: Option<&str>, nsid, input: &Value| ask(&config, who, nsid, input);
    let good =
        json!({ "host": "Peer.example.com", "trust": "allowlist", "allowDids": ["did:web:a.example"] });
    for who in [None, Some(stranger.as_str()), Some("Bearer x")] {
        assert_eq!(ask(who, "agent.relay.putPeer", &good).unwrap_err().status(), 401);
        assert_eq!(ask(who, "agent.relay.listPeers", &Value::Null).unwrap_err().status(), 401);
    }
    let operator = Some(operator.as_str());
    let Asked::Put(new) = ask(operator, "agent.relay.putPeer", &good).unwrap() else { panic!() };
    assert_eq!((new.host.as_str(), new.trust, new.allow.len()), ("peer.example.com", Trust::Allowlist, 1));
    let Asked::List(after, limit) = ask(operator, "agent.relay.listPeers", &Value::Null).unwrap() else {
        panic!()
    };
    assert_eq!((after.as_str(), limit), ("", 50));
    for (input, error) in [
        (json!({ "host": "https://peer.example.com", "trust": "open" }), "HostUnreachable"),
        (json!({ "host": "peer.example.com", "trust": "blind" }), "InvalidRequest"),
        (json!({ "host": "peer.example.com" }), "InvalidRequest"),
        (json!({ "host": "a.example", "trust": "open", "allowDids": ["a.example"] }), "InvalidRequest"),
    ] {
        assert_eq!(ask(operator, "agent.relay.putPeer", &input).unwrap_err().error(), error, "{input}");
    }
    assert!(find("/xrpc/agent.relay.describeRelay").is_none() && find("/append").is_none());
}

#[test]
fn a_peer_is_the_host_that_it_says_it_is() {
    let config = config(&[]).unwrap();
    let about = |did: &str| {
        let url = format!("{PEER}/xrpc/com.atproto.server.describeServer");
        Pages(BTreeMap::from([(url, json!({ "did": did }).to_string().into_bytes())]))
    };
    let identify = |pages: &Pages, new| block_on(identify(&config, pages, new));
    let told = identify(&about("did:web:peer.example.com"), peer(Trust::Open)).unwrap();
    assert_eq!(told.did.unwrap().as_str(), "did:web:peer.example.com");
    for did in ["did:web:example.com", "did:plc:abc", "", "peer.example.com"] {
        let error = identify(&about(did), peer(Trust::Verified)).unwrap_err();
        assert_eq!(error.error(), "IdentityMismatch", "{did}");
    }
    let nothing = Pages(BTreeMap::new());
    assert_eq!(identify(&nothing, peer(Trust::Open)).unwrap_err().error(), "HostUnreachable");
    assert!(identify(&nothing, peer(Trust::Blocked)).is_ok(), "one that is not visited need not be there");
    let own = config.public_url.split_once("://").unwrap().1;
    let own = NewPeer { host: PeerHost::parse(own).unwrap(), ..peer(Trust::Blocked) };
    assert_eq!(identify(&nothing, own).unwrap_err().error(), "IdentityMismatch");
    assert_eq!(stream_url(PEER, 7), format!("{PEER}/xrpc/com.atproto.sync.subscribeRepos?cursor=7"));
}

#[test]
fn what_is_known_of_an_account_comes_from_its_document() {
    let world = World::new();
    let (_, made) = world.create("alice");
    let did = world::did(&made["did"]);
    let find_out = |did: &Did, fresh| block_on(find_out(&world.host().resolver(), did, fresh));
    let Found::Account(identity) = find_out(&did, false) else { panic!() };
    assert_eq!((identity.pds, identity.fresh), (world.host().config.public_url.clone(), false));
    assert_eq!(identity.handle.unwrap().as_str(), "alice.test");
    assert!(matches!(find_out(&did, true), Found::Account(identity) if identity.fresh));
    let nobody = Did::parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    assert!(matches!(find_out(&nobody, false), Found::Nobody));
    world.network.plc_is_away.set(true);
    assert!(matches!(find_out(&did, true), Found::NoAnswer));
    assert!(matches!(find_out(&nobody, false), Found::NoAnswer));
}

#[test]
fn the_latest_commit_is_asked_for_and_what_is_none_is_none() {
    let did = Did::parse("did:web:localhost%3A2583").unwrap();
    let key = SigningKey::from_bytes(Curve::K256, &[1; 32]).unwrap();
    let commit = Commit::sign(&did, empty_root(), Rev::from_parts(1_795_410_052_123_456, 0), &key).unwrap();
    let (block, cid) = (commit.encode(), commit.cid());
    let latest = format!("{PEER}/xrpc/com.atproto.sync.getLatestCommit?did=did:web:localhost%253A2583");
    let blocks = format!("{PEER}/xrpc/com.atproto.sync.getBlocks?did=did:web:localhost%253A2583&cids={cid}");
    let file = |block: &[u8]| {
        let mut file = car::header_without_roots();
        car::block(&mut file, &cid_of_cbor(block), block);
        file
    };
    let says = json!({ "cid": cid.to_string(), "rev": commit.rev.to_string() }).to_string().into_bytes();
    let shown = |pages: &[(&String, Vec<u8>)]| {
        let pages = pages.iter().map(|(url, body)| ((*url).clone(), body.clone())).collect();
        block_on(latest_commit(&Pages(pages), PEER, &did, 0))
    };
    let event = shown(&[(&latest, says.clone()), (&blocks, file(&block))]).unwrap();
    assert_eq!((event.did, event.rev), (did.clone(), commit.rev));
    for pages in [
        vec![],
        vec![(&latest, says.clone())],
        vec![(&latest, b"{\"cid\":7}".to_vec()), (&blocks, file(&block))],
        vec![(&latest, says.clone()), (&blocks, b"no file".to_vec())],
        vec![(&latest, says.clone()), (&blocks, file(b"\xa0"))],
        vec![(&latest, says), (&blocks, vec![0; 1 << 20])],
    ] {
        assert!(shown(&pages).is_none());
    }
}

#[test]
fn answers_are_as_the_lexicon_has_them() {
    let quiet = PeerView {
        host: "a.example".into(),
        did: None,
        trust: Trust::Blocked,
        allow: Vec::new(),
        cursor: 0,
        accounts: 0,
        failures: 0,
        problem: None,
        news_at: 0,
    };
    let loud = PeerView {
        host: "b.example:8443".into(),
        did: Some("did:web:b.example".into()),
        trust: Trust::Allowlist,
        allow: vec!["did:web:c.example".into()],
        problem: Some("away".into()),
        news_at: 1_795_410_052_123,
        ..quiet.clone()
    };
    let checked = |nsid: &str, body: Body| {
        let Body::Json(text) = body else { panic!() };
        let answer: Value = serde_json::from_str(&text).unwrap();
        output(Catalog::builtin(), nsid, &data::from_value(&answer).unwrap()).unwrap();
        answer
    };
    let one = checked("agent.relay.putPeer", put(&loud).unwrap().body);
    assert_eq!(one["peer"]["allowDids"], json!(["did:web:c.example"]));
    let both = [quiet, loud];
    let page = checked("agent.relay.listPeers", listed(&both, 2).unwrap().body);
    assert_eq!(
        (page["cursor"].as_str(), page["peers"].as_array().unwrap().len()),
        (Some("b.example:8443"), 2)
    );
    assert_eq!(checked("agent.relay.listPeers", listed(&both, 3).unwrap().body).get("cursor"), None);
}
