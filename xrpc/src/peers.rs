//! `agent.relay.putPeer` and `listPeers`, which the relay's object answers, and what it asks of its peers beside their streams.

use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{Document, Resolver};
use murmuration_data::parse_cid;
use murmuration_firehose::{SyncEvent, Timestamp};
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_platform::{Outbound, OutboundRequest, Verb};
use murmuration_relay::{Found, Identity, NewPeer, PeerHost, PeerView, Trust};
use murmuration_repo::{Commit, car};
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use crate::agent::{Args, input};
use crate::http::{Request, Response};
use crate::method::Method;
use crate::{Config, XrpcError, auth, table};

/// The method of this path, if it is about peers.
#[must_use]
pub fn find(path: &str) -> Option<&'static Method> {
    let nsid = path.strip_prefix("/xrpc/")?;
    [PUT, LIST].contains(&nsid).then(|| table::find(nsid)).flatten()
}

/// What the operator asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A peer, or another opinion of one. It is not looked at yet.
    Put(NewPeer),
    /// The peers by name, behind one, and how many.
    List(String, usize),
}

/// Reads a request of the operator.
///
/// # Errors
/// What the caller is to see.
pub fn asked(
    config: &Config,
    catalog: &Catalog,
    method: &Method,
    request: &Request,
    now_seconds: u64,
) -> Result<Asked, XrpcError> {
    auth::authenticate(config, method.auth, request.authorization.as_deref(), now_seconds)?;
    let params = lexicons::params(catalog, method.nsid, &request.query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    let input = Args::new(input(catalog, method, request)?);
    if method.nsid == LIST {
        let params = Args::new(params);
        let limit = usize::try_from(params.number("limit").unwrap_or(1)).unwrap_or(1);
        return Ok(Asked::List(params.text("cursor").unwrap_or_default().to_owned(), limit));
    }
    let host = PeerHost::parse(input.text("host").unwrap_or_default())
        .ok_or_else(|| XrpcError::named(UNREACHABLE, "host must be a host name, with a port or without"))?;
    let trust = Trust::from_name(input.text("trust").unwrap_or_default())
        .ok_or_else(|| XrpcError::invalid("trust must be open, allowlist, verified or blocked"))?;
    let allow = input.texts("allowDids").into_iter().filter_map(|did| Did::parse(did).ok()).collect();
    Ok(Asked::Put(NewPeer { host, did: None, trust, allow }))
}

/// Sees that a peer is a host, and the one that its name says. One that is not visited need not be there.
///
/// # Errors
/// `HostUnreachable` without an answer, `IdentityMismatch` where it says that it is another one, or is this host.
pub async fn identify(config: &Config, outbound: &dyn Outbound, new: NewPeer) -> Result<NewPeer, XrpcError> {
    if new.host.is_at(&config.public_url) {
        return Err(XrpcError::named(MISMATCH, "A host is no peer of its own"));
    }
    if new.trust == Trust::Blocked {
        return Ok(new);
    }
    let url =
        format!("{}/xrpc/com.atproto.server.describeServer", new.host.origin(config.allow_private_network));
    let body = get(outbound, url).await.map_err(|reason| XrpcError::named(UNREACHABLE, reason))?;
    let about: Json = serde_json::from_slice(&body).unwrap_or_default();
    let did = about.get("did").and_then(Json::as_str).unwrap_or_default();
    match Did::parse(did).ok().filter(|did| new.host.is_called(did.as_str())) {
        Some(did) => Ok(NewPeer { did: Some(did), ..new }),
        None => Err(XrpcError::named(MISMATCH, format!("The host says that it is {did:?}"))),
    }
}

/// The answer of `putPeer`.
///
/// # Errors
/// None that a caller could cause.
pub fn put(peer: &PeerView) -> Result<Response, XrpcError> {
    Response::json(&json!({ "peer": view(peer) }))
}

/// The answer of `listPeers`, of which so many were asked for.
///
/// # Errors
/// None that a caller could cause.
pub fn listed(peers: &[PeerView], limit: usize) -> Result<Response, XrpcError> {
    let mut answer = Map::new();
    if let Some(last) = peers.last().filter(|_| peers.len() >= limit) {
        answer.insert("cursor".into(), last.host.as_str().into());
    }
    answer.insert("peers".into(), peers.iter().map(view).collect());
    Response::json(&Json::Object(answer))
}

/// What is found out about an account of a peer.
pub async fn find_out(resolver: &Resolver<'_>, did: &Did, fresh: bool) -> Found {
    let purpose = if fresh { Purpose::Refresh } else { Purpose::Authentication };
    match resolver.document(did, purpose).await {
        Ok(document) => identity(&document, fresh).map_or(Found::Nobody, Found::Account),
        Err(error) if error.is_transient() => Found::NoAnswer,
        Err(_) => Found::Nobody,
    }
}

fn identity(document: &Document, fresh: bool) -> Option<Identity> {
    let pds = document.pds().ok()?.to_owned();
    Some(Identity { pds, key: document.signing_key().ok()?, handle: document.handle(), fresh })
}

/// The stream of a peer, from behind a number.
#[must_use]
pub fn stream_url(origin: &str, cursor: u64) -> String {
    format!("{origin}/xrpc/com.atproto.sync.subscribeRepos?cursor={cursor}")
}

/// The latest commit of an account as its host shows it, in the form of the event that says as much; `None` where it shows none.
/// Nothing of it is verified yet.
pub async fn latest_commit(
    outbound: &dyn Outbound,
    origin: &str,
    did: &Did,
    now_micros: u64,
) -> Option<SyncEvent> {
    // The one character of a DID that a query does not carry as it is.
    let name = did.as_str().replace('%', "%25");
    let ask = |what: String| get(outbound, format!("{origin}/xrpc/com.atproto.sync.{what}"));
    let latest = ask(format!("getLatestCommit?did={name}")).await.ok()?;
    let latest: Json = serde_json::from_slice(&latest).ok()?;
    let cid = parse_cid(latest.get("cid")?.as_str()?).ok()?;
    let blocks = ask(format!("getBlocks?did={name}&cids={}", latest.get("cid")?.as_str()?)).await.ok()?;
    let blocks = car::Car::read(&blocks, car::Limits::EVENT).ok()?;
    let block = blocks.blocks.get(&cid)?;
    let commit = Commit::decode(block).ok()?;
    Some(SyncEvent::build(&commit, cid, block, &Timestamp::from_micros(now_micros)))
}

/// What another host answers with 200; else why it does not.
async fn get(outbound: &dyn Outbound, url: String) -> Result<Vec<u8>, String> {
    let request = OutboundRequest {
        verb: Verb::Get,
        url,
        headers: Vec::new(),
        body: Vec::new(),
        max_bytes: ANSWER_BYTES,
        timeout_ms: TIMEOUT_MS,
    };
    match outbound.send(request).await {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(format!("The host answered with status {}", answer.status)),
        Err(error) => Err(error.to_string()),
    }
}

fn view(peer: &PeerView) -> Json {
    let mut view = json!({
        "host": peer.host,
        "trust": peer.trust.name(),
        "cursor": peer.cursor,
        "accounts": peer.accounts,
        "failures": peer.failures,
    });
    let mut set = |name: &str, value: Json| {
        if let Some(view) = view.as_object_mut() {
            view.insert(name.to_owned(), value);
        }
    };
    if let Some(did) = &peer.did {
        set("did", did.as_str().into());
    }
    if peer.trust == Trust::Allowlist {
        set("allowDids", peer.allow.clone().into());
    }
    if let Some(problem) = &peer.problem {
        set("problem", problem.as_str().into());
    }
    if peer.news_at > 0 {
        set("newsAt", Timestamp::from_micros(peer.news_at.saturating_mul(1000)).as_str().into());
    }
    view
}

const PUT: &str = "agent.relay.putPeer";
const LIST: &str = "agent.relay.listPeers";
/// The errors' names in the lexicon.
const UNREACHABLE: &str = "HostUnreachable";
const MISMATCH: &str = "IdentityMismatch";
/// Bytes of an answer of a peer: what a host says of itself, or a commit with what must stand around it.
const ANSWER_BYTES: usize = 64 << 10;
/// Milliseconds that a peer has for an answer.
const TIMEOUT_MS: u32 = 10_000;
