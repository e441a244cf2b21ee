//! `agent.relay.subscribeEvents`: what a reader asks for, in its request or in a message later on.

use murmuration_data::{Ipld, json};
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_relay::limits::MAX_UPDATE_BYTES;
use murmuration_relay::{Filter, Refusal};

use crate::agent::Args;

/// The subprotocol that this stream speaks, whether it is asked for or not.
pub const SUBPROTOCOL: &str = "xrpc.v1.json";

const STREAM: &str = "agent.relay.subscribeEvents";
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

/// The filter in what the lexicon has let through.
fn filter(args: &Args) -> Result<Filter, Refusal> {
    let filter = Filter::parse(&args.texts("wantedCollections"), &args.texts("wantedDids"));
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
