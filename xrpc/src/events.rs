//! The host's events for agents, which the relay's object tells: what a caller of `agent.relay.subscribeEvents` or
//! `listEvents` asks for, and what the second and `describeRelay` answer.

use murmuration_data::{Ipld, json};
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_relay::limits::{
    MAX_EVENT_BYTES, MAX_UPDATE_BYTES, MAX_WANTED_COLLECTIONS, MAX_WANTED_DIDS, MAX_WANTED_TOPICS,
};
use murmuration_relay::{Filter, Log, Page, Refusal};
use serde_json::json as object;

use crate::XrpcError;
use crate::agent::Args;
use crate::http::{Body, Response};

/// The subprotocol that this stream speaks, whether it is asked for or not.
pub const SUBPROTOCOL: &str = "xrpc.v1.json";

const STREAM: &str = "agent.relay.subscribeEvents";
const LIST: &str = "agent.relay.listEvents";
const DESCRIBE: &str = "agent.relay.describeRelay";
const FILTER: &str = "agent.relay.subscribeEvents#filter";
/// The parameter that is read as the other stream reads it.
const CURSOR: &str = "cursor";

/// Whether a client offers the subprotocol, in its header of that name.
#[must_use]
pub fn offers_subprotocol(header: &str) -> bool {
    header.split(',').any(|offer| offer.trim() == SUBPROTOCOL)
}

/// The filter in the parameters of a request.
///
/// # Errors
/// `InvalidFilter`.
pub fn filter_of_query(catalog: &Catalog, query: &[(String, String)]) -> Result<Filter, Refusal> {
    let query: Vec<_> = query.iter().filter(|(name, _)| name != CURSOR).cloned().collect();
    filter(&Args::new(lexicons::params(catalog, STREAM, &query).map_err(|error| invalid(&error))?))
}

/// The filter in a message of a client.
///
/// # Errors
/// `InvalidFilter`.
pub fn filter_of_message(catalog: &Catalog, text: &str) -> Result<Filter, Refusal> {
    if text.len() > MAX_UPDATE_BYTES {
        return Err(Refusal::new(INVALID, format!("a message may have {MAX_UPDATE_BYTES} bytes")));
    }
    let mut message = Args::new(json::parse(text.as_bytes()).map_err(|error| invalid(&error))?);
    let payload = message.take("payload").unwrap_or(Ipld::Null);
    let kind = match &payload {
        Ipld::Map(fields) => fields.get("$type"),
        _ => None,
    };
    if message.text("$type") != Some("message") || kind != Some(&Ipld::String(FILTER.to_owned())) {
        return Err(Refusal::new(INVALID, format!("a message must have a payload of the type {FILTER}")));
    }
    lexicons::object(catalog, FILTER, &payload).map_err(|error| invalid(&error))?;
    filter(&Args::new(payload))
}

/// What a caller of `agent.relay.listEvents` asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The cursor, as it was sent.
    pub cursor: Option<String>,
    /// Which events.
    pub filter: Filter,
    /// How many, at the most.
    pub limit: usize,
    /// How long to wait for one, milliseconds.
    pub wait_ms: u64,
}

impl Ask {
    /// Reads the parameters.
    ///
    /// # Errors
    /// `InvalidRequest`, `InvalidFilter`.
    pub fn of_query(catalog: &Catalog, query: &[(String, String)]) -> Result<Self, XrpcError> {
        let (cursors, query): (Vec<_>, Vec<_>) = query.iter().cloned().partition(|(name, _)| name == CURSOR);
        let params = lexicons::params(catalog, LIST, &query);
        let args = Args::new(params.map_err(|error| XrpcError::invalid(error.to_string()))?);
        let limit = args.number("limit").unwrap_or(1);
        Ok(Self {
            cursor: cursors.into_iter().next().map(|(_, value)| value),
            filter: filter(&args).map_err(refused)?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            wait_ms: u64::from(args.number("waitSeconds").unwrap_or(0)) * 1000,
        })
    }
}

/// The answer of `agent.relay.listEvents`.
#[must_use]
pub fn listed(page: &Page) -> Response {
    Response::ok(Body::Json(page.json()))
}

/// The answer of `agent.relay.describeRelay`.
///
/// # Errors
/// 400 for a parameter that no query may have.
pub fn described(catalog: &Catalog, query: &[(String, String)], log: &Log) -> Result<Response, XrpcError> {
    lexicons::params(catalog, DESCRIBE, query).map_err(|error| XrpcError::invalid(error.to_string()))?;
    Response::json(&object!({
        "seq": log.head(),
        "oldestSeq": log.earliest(),
        "retentionSeconds": log.retention_ms() / 1000,
        "maxWantedCollections": MAX_WANTED_COLLECTIONS,
        "maxWantedDids": MAX_WANTED_DIDS,
        "maxWantedTopics": MAX_WANTED_TOPICS,
        "maxMessageBytes": MAX_EVENT_BYTES,
    }))
}

/// The error of an answer over HTTP.
#[must_use]
pub fn refused(refusal: Refusal) -> XrpcError {
    XrpcError::named(refusal.error, refusal.message)
}

/// The filter in what the lexicon has let through.
pub(crate) fn filter(args: &Args) -> Result<Filter, Refusal> {
    let filter = Filter::parse(&args.texts("wantedCollections"), &args.texts("wantedDids"));
    let filter = filter.and_then(|filter| filter.with_topics(&args.texts("wantedTopics")));
    let filter = filter.map_err(|error| invalid(&error))?;
    let bytes = args.number("maxMessageBytes").unwrap_or(0);
    Ok(filter
        .with_records(args.flag("includeRecords").unwrap_or(false))
        .at_most(usize::try_from(bytes).unwrap_or(usize::MAX)))
}

fn invalid(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(INVALID, error.to_string())
}

/// The error's name in the lexicon.
const INVALID: &str = "InvalidFilter";
