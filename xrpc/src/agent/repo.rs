//! `com.atproto.repo`: the records of the account.

use std::rc::Rc;

use murmuration_account::{
    AccountError, CommitRef, Listing, PageRecord, Profile, Receipt, Write, WriteRequest,
};
use murmuration_data::json::{write_encoded, write_text};
use murmuration_data::{Cid, Ipld, write_cid};
use murmuration_syntax::{AtIdentifier, Did, Nsid, RecordKey, RepoPath};
use serde_json::{Map, Value as Json, json as object};

use super::record::{Prepared, Validate, prepare};
use super::{Args, Call, Context, Reply};
use crate::XrpcError;
use crate::http::{Body, Response};

/// Writes of one call (`com.atproto.repo.applyWrites`, and the ops of one commit in `com.atproto.sync.subscribeRepos`).
const MAX_WRITES: usize = 200;
/// Records of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 50;
/// What getRecord says where the account is not on this host, and never otherwise.
pub const NOT_HOSTED: &str = "Could not locate record";

/// `com.atproto.repo.createRecord`
pub fn create_record(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let did = own_repo(context, &call)?;
    let collection: Nsid = call.input.parsed("collection")?;
    let rkey = match call.input.optional("rkey")? {
        Some(rkey) => decent(context, rkey)?,
        None => fresh_rkey(context)?,
    };
    let validate = call.input.flag("validate");
    let prepared = prepare_input(context, &mut call.input, collection, rkey)?;
    let Prepared { path, value, status } = prepared;
    let write = Write::Create { path: path.clone(), value, replaces: validate != Some(false) };
    write_one(&call.input, write, move |receipt| Response::json(&written(&did, &path, &receipt, status)))
}

/// `com.atproto.repo.putRecord`
pub fn put_record(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let did = own_repo(context, &call)?;
    let (collection, rkey) = (call.input.parsed("collection")?, call.input.parsed("rkey")?);
    let rkey = decent(context, rkey)?;
    let swap = match call.input.has("swapRecord") {
        true => Some(call.input.optional::<Cid>("swapRecord")?),
        false => None,
    };
    let Prepared { path, value, status } = prepare_input(context, &mut call.input, collection, rkey)?;
    let write = Write::Put { path: path.clone(), value, swap };
    write_one(&call.input, write, move |receipt| Response::json(&written(&did, &path, &receipt, status)))
}

/// `com.atproto.repo.deleteRecord`
pub fn delete_record(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    own_repo(context, &call)?;
    let path = RepoPath::new(call.input.parsed("collection")?, call.input.parsed("rkey")?);
    let swap = call.input.optional("swapRecord")?;
    let write = Write::Delete { path, swap, must_exist: false };
    write_one(&call.input, write, |receipt| {
        Response::json(
            &receipt.commit.map_or_else(|| object!({}), |commit| object!({ "commit": commit_view(commit) })),
        )
    })
}

/// `com.atproto.repo.applyWrites`
pub fn apply_writes(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let did = own_repo(context, &call)?;
    let validate = Validate::from(call.input.flag("validate"));
    let Some(Ipld::List(items)) = call.input.take("writes") else {
        return Err(XrpcError::invalid("Error: Input must have the property \"writes\""));
    };
    if items.len() > MAX_WRITES {
        return Err(XrpcError::invalid(format!("Too many writes. Max: {MAX_WRITES}")));
    }
    let mut writes = Vec::with_capacity(items.len());
    let mut views = Vec::with_capacity(items.len());
    for item in items {
        let (write, view) = batch_write(context, validate, Args::new(item))?;
        writes.push(write);
        views.push(view);
    }
    let request = WriteRequest { swap_commit: call.input.optional("swapCommit")?, writes, unlimited: false };
    Ok(Reply::AfterWrite(
        request,
        Box::new(move |receipt| {
            let results: Vec<Json> =
                views.iter().zip(&receipt.records).map(|(view, cid)| view.result(&did, *cid)).collect();
            let mut answer = Map::new();
            if let Some(commit) = receipt.commit {
                answer.insert("commit".into(), commit_view(commit));
            }
            answer.insert("results".into(), Json::Array(results));
            Response::json(&answer)
        }),
    ))
}

/// `com.atproto.repo.getRecord`
pub fn get_record(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let profile = shown(context, || XrpcError::invalid(NOT_HOSTED))?;
    let did = &profile.did;
    let path = RepoPath::new(call.params.parsed("collection")?, call.params.parsed("rkey")?);
    let wanted: Option<Cid> = call.params.optional("cid")?;
    let found = context.account.record(&path)?.filter(|record| wanted.is_none_or(|cid| cid == record.cid));
    let Some(record) = found else {
        return Err(XrpcError::named(
            "RecordNotFound",
            format!("Could not locate record: {}", uri(did, &path)),
        ));
    };
    let mut json = String::with_capacity(record.value.len() + VIEW_BYTES);
    let rkey = path.rkey.as_str();
    show(&mut json, did, &path.collection, &PageRecord { rkey, cid: record.cid, value: &record.value })?;
    Ok(Reply::Now(Response::ok(Body::Json(json))))
}

/// `com.atproto.repo.listRecords`
pub fn list_records(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let profile = shown(context, || {
        let repo = call.params.text("repo").unwrap_or_default();
        XrpcError::invalid(format!("Could not find repo: {repo}"))
    })?;
    let did = &profile.did;
    let collection: Nsid = call.params.parsed("collection")?;
    let after: Option<RecordKey> = call.params.optional("cursor")?;
    let mut page = context.account.records(&Listing {
        collection: &collection,
        limit: call.params.number("limit").unwrap_or(DEFAULT_PAGE),
        after: after.as_ref(),
        ascending: call.params.flag("reverse").unwrap_or(false),
    })?;
    let mut json = String::with_capacity(page.size() + page.size() / 2 + VIEW_BYTES);
    json.push_str("{\"records\":[");
    let (start, mut cursor) = (json.len(), String::new());
    while let Some(record) = page.take()? {
        if json.len() > start {
            json.push(',');
        }
        show(&mut json, did, &collection, &record)?;
        record.rkey.clone_into(&mut cursor);
    }
    json.push(']');
    if !cursor.is_empty() {
        json.push_str(",\"cursor\":");
        write_text(&mut json, &cursor);
    }
    json.push('}');
    Ok(Reply::Now(Response::ok(Body::Json(json))))
}

/// The account, if it is active: the records of any other look as those of nobody.
fn shown(context: &Context<'_>, nobody: impl FnOnce() -> XrpcError) -> Result<Rc<Profile>, XrpcError> {
    match context.account.profile() {
        Ok(profile) if profile.inactive().is_none() => Ok(profile),
        Ok(_) | Err(AccountError::Vacant) => Err(nobody()),
        Err(other) => Err(other.into()),
    }
}

/// One item of a batch, as its result will speak of it.
enum View {
    Written { kind: &'static str, path: RepoPath, status: Option<&'static str> },
    Deleted,
}

impl View {
    fn result(&self, did: &Did, cid: Option<Cid>) -> Json {
        match self {
            Self::Deleted => object!({ "$type": "com.atproto.repo.applyWrites#deleteResult" }),
            Self::Written { kind, path, status } => {
                let mut view = Map::new();
                view.insert("$type".into(), format!("com.atproto.repo.applyWrites#{kind}Result").into());
                view.insert("uri".into(), uri(did, path).into());
                view.insert("cid".into(), cid.map(|cid| cid.to_string()).into());
                view.extend(status.map(|status| ("validationStatus".to_owned(), status.into())));
                Json::Object(view)
            }
        }
    }
}

fn batch_write(
    context: &Context<'_>,
    validate: Validate,
    mut item: Args,
) -> Result<(Write, View), XrpcError> {
    let kind = item.text("$type").unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    let collection: Nsid = item.parsed("collection")?;
    if kind == "delete" {
        let path = RepoPath::new(collection, item.parsed("rkey")?);
        return Ok((Write::Delete { path, swap: None, must_exist: true }, View::Deleted));
    }
    let rkey = match item.optional("rkey")? {
        Some(rkey) => decent(context, rkey)?,
        None => fresh_rkey(context)?,
    };
    let record = item.take("value").unwrap_or(Ipld::Null);
    let Prepared { path, value, status } = prepare(context.catalog, validate, collection, rkey, record)?;
    let at = path.clone();
    match kind.as_str() {
        "create" => Ok((
            Write::Create { path, value, replaces: false },
            View::Written { kind: "create", path: at, status },
        )),
        "update" => Ok((Write::Update { path, value }, View::Written { kind: "update", path: at, status })),
        _ => Err(XrpcError::invalid("Invalid applyWrites write: unknown $type")),
    }
}

fn prepare_input(
    context: &Context<'_>,
    input: &mut Args,
    collection: Nsid,
    rkey: RecordKey,
) -> Result<Prepared, XrpcError> {
    let record = input.take("record").unwrap_or(Ipld::Null);
    prepare(context.catalog, Validate::from(input.flag("validate")), collection, rkey, record)
}

fn write_one(
    input: &Args,
    write: Write,
    finish: impl FnOnce(Receipt) -> Result<Response, XrpcError> + 'static,
) -> Result<Reply, XrpcError> {
    let request =
        WriteRequest { swap_commit: input.optional("swapCommit")?, writes: vec![write], unlimited: false };
    Ok(Reply::AfterWrite(request, Box::new(finish)))
}

/// The caller's own DID, after checking that `repo` names it.
fn own_repo(context: &Context<'_>, call: &Call) -> Result<Did, XrpcError> {
    let profile = context.account.profile()?;
    let own = match call.input.parsed::<AtIdentifier>("repo")? {
        AtIdentifier::Did(did) => did == profile.did,
        AtIdentifier::Handle(handle) => handle.as_str().eq_ignore_ascii_case(profile.handle.as_str()),
    };
    if own { Ok(profile.did.clone()) } else { Err(XrpcError::auth_required("Authentication Required")) }
}

/// A key that a client has chosen, if it may.
fn decent(context: &Context<'_>, rkey: RecordKey) -> Result<RecordKey, XrpcError> {
    context.config.refused_words.check_key(rkey.as_str()).map(|()| rkey)
}

fn fresh_rkey(context: &Context<'_>) -> Result<RecordKey, XrpcError> {
    let tid = context.account.fresh_tid(context.clock.now_micros())?;
    RecordKey::parse(&tid.to_string()).map_err(XrpcError::internal)
}

fn written(did: &Did, path: &RepoPath, receipt: &Receipt, status: Option<&'static str>) -> Json {
    let mut view = Map::new();
    view.insert("uri".into(), uri(did, path).into());
    let cid = receipt.records.last().copied().flatten();
    view.insert("cid".into(), cid.map(|cid| cid.to_string()).into());
    view.extend(receipt.commit.map(|commit| ("commit".to_owned(), commit_view(commit))));
    view.extend(status.map(|status| ("validationStatus".to_owned(), status.into())));
    Json::Object(view)
}

fn commit_view(commit: CommitRef) -> Json {
    object!({ "cid": commit.cid.to_string(), "rev": commit.rev.to_string() })
}

/// Appends a record as it is shown, straight from its encoding.
fn show(json: &mut String, did: &Did, collection: &Nsid, record: &PageRecord<'_>) -> Result<(), XrpcError> {
    json.push_str("{\"uri\":\"at://");
    // None of these has a character that JSON would escape.
    for part in [did.as_str(), "/", collection.as_str(), "/", record.rkey, "\",\"cid\":\""] {
        json.push_str(part);
    }
    write_cid(json, &record.cid);
    json.push_str("\",\"value\":");
    write_encoded(json, record.value).map_err(XrpcError::internal)?;
    json.push('}');
    Ok(())
}

/// Bytes that a record takes in an answer beyond those of its value, about: its URI, its CID, quotes.
const VIEW_BYTES: usize = 320;

fn uri(did: &Did, path: &RepoPath) -> String {
    format!("at://{did}/{path}")
}
