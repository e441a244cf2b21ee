//! `com.atproto.sync.listReposByCollection`, which the relay's object answers out of what it has seen go by.

use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_syntax::{Did, Nsid};
use serde_json::{Map, Value as Json, json as object};

use crate::XrpcError;
use crate::agent::Args;
use crate::http::Response;

/// Accounts of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 500;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The collection.
    pub collection: Nsid,
    /// The DID that the last page ended with; empty for the first page.
    pub after: String,
    /// Accounts at the most.
    pub limit: u32,
}

/// Answers a query out of what `list` finds, which is in the order of the DIDs.
///
/// # Errors
/// `InvalidRequest` for parameters that are not what the lexicon says; what `list` gives.
pub fn repos_by_collection(
    catalog: &Catalog,
    query: &[(String, String)],
    list: impl FnOnce(&Page) -> Result<Vec<String>, XrpcError>,
) -> Result<Response, XrpcError> {
    let params = lexicons::params(catalog, "com.atproto.sync.listReposByCollection", query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    let params = Args::new(params);
    let after: Option<Did> = params.optional("cursor")?;
    let page = Page {
        collection: params.parsed("collection")?,
        after: after.map(|did| did.to_string()).unwrap_or_default(),
        limit: params.number("limit").unwrap_or(DEFAULT_PAGE),
    };
    let dids = list(&page)?;
    let mut view = Map::new();
    // A page that is not full is the last.
    if dids.len() >= usize::try_from(page.limit).unwrap_or(usize::MAX) {
        view.extend(dids.last().map(|last| ("cursor".to_owned(), Json::from(last.as_str()))));
    }
    let repos: Vec<Json> = dids.iter().map(|did| object!({ "did": did })).collect();
    view.insert("repos".into(), repos.into());
    Response::json(&view)
}
