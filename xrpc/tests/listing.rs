//! `listReposByCollection`: parameters in, pages out.

use murmuration_lexicons::Catalog;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::http::Body;
use murmuration_xrpc::listing::{Page, repos_by_collection};
use serde_json::{Value, json};

const DIDS: [&str; 3] =
    ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", "did:web:c.example"];

fn ask(query: &[(&str, &str)]) -> Result<Value, XrpcError> {
    let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let list = |page: &Page| {
        assert_eq!(page.collection.as_str(), "com.example.note");
        let behind = DIDS.into_iter().filter(|did| *did > page.after.as_str());
        Ok(behind.take(page.limit as usize).map(str::to_owned).collect())
    };
    match repos_by_collection(Catalog::builtin(), &query, list)?.body {
        Body::Json(text) => Ok(serde_json::from_str(&text).unwrap()),
        _ => panic!("not JSON"),
    }
}

#[test]
fn a_full_page_names_where_the_next_begins() {
    let collection = ("collection", "com.example.note");
    let first = ask(&[collection, ("limit", "2")]).unwrap();
    assert_eq!(first, json!({ "cursor": DIDS[1], "repos": [{ "did": DIDS[0] }, { "did": DIDS[1] }] }));
    let second = ask(&[collection, ("limit", "2"), ("cursor", DIDS[1])]).unwrap();
    assert_eq!(second, json!({ "repos": [{ "did": DIDS[2] }] }));
    assert_eq!(ask(&[collection]).unwrap()["repos"].as_array().unwrap().len(), 3);
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let collection = ("collection", "com.example.note");
    for query in [
        &[][..],
        &[("collection", "note")],
        &[collection, ("limit", "0")],
        &[collection, ("limit", "2001")],
        &[collection, ("cursor", "x")],
    ] {
        assert_eq!(ask(query).unwrap_err().error(), "InvalidRequest", "{query:?}");
    }
}
