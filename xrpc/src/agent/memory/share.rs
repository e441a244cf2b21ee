//! Who reads which memories. To share and to read what is shared crosses to other agents and begins in the host
//! (`crate::host`), and comes back here as an internal call. A memory that is shared as it is made or changed has its readers looked up
//! before the turn.

use murmuration_account::Mind;
use murmuration_comms::default_thread;
use murmuration_memory::MemoryError;
use murmuration_syntax::{Did, RepoPath};
use serde_json::{Value as Json, json as object};

use super::super::internal::comms::{self, Made, Outgoing, Reader};
use super::super::{Args, Call, Context, Reply, read};
use super::{bad_cursor, limit, own_path, reading, view, with_cursor};
use crate::XrpcError;
use crate::http::{Request, Response};
use crate::method::Method;

/// What came of a turn that has shared a memory.
#[derive(Default)]
pub(in crate::agent) struct Shared {
    /// Those of whom it was asked, as their lexicon has them.
    pub(in crate::agent) shares: Vec<Json>,
    /// The messages to those who are new.
    pub(in crate::agent) notices: Vec<Made>,
}

impl Shared {
    /// The answer with the shares, if there are any.
    pub(super) fn into_reply(self, mut answer: Json) -> Result<Reply, XrpcError> {
        let Self { shares, notices } = self;
        if let (Some(fields), false) = (answer.as_object_mut(), shares.is_empty()) {
            fields.insert("shares".into(), shares.into());
        }
        let response = Response::json(&answer)?;
        Ok(if notices.is_empty() { Reply::Changed(response) } else { Reply::Sent(response, notices) })
    }
}

/// With whom a call shares what it keeps, if its caller may make it.
///
/// # Errors
/// What the caller is to see, as without this.
pub fn share_with(context: &Context<'_>, method: &Method, request: &Request) -> Result<Vec<Did>, XrpcError> {
    let keeps = matches!(method.nsid, "agent.memory.createMemory" | "agent.memory.updateMemory");
    if !keeps || !request.body.windows(SHARE_WITH.len()).any(|window| window == SHARE_WITH.as_bytes()) {
        return Ok(Vec::new());
    }
    let Call { input, .. } = read(context, method, request)?;
    // Whatever else is wrong with the call, the turn finds it.
    if input.text("privacy") == Some("public") {
        return Ok(Vec::new());
    }
    subjects(&context.account.profile()?.did, &input, SHARE_WITH)
}

/// Those whom a list names.
pub(crate) fn subjects(own: &Did, input: &Args, name: &str) -> Result<Vec<Did>, XrpcError> {
    let to = input.texts(name).into_iter().map(Did::parse).collect::<Result<Vec<_>, _>>();
    let mut to = to.map_err(|error| XrpcError::invalid(error.to_string()))?;
    to.sort();
    to.dedup();
    match to.contains(own) {
        true => Err(XrpcError::invalid("A memory is not shared with its own agent")),
        false => Ok(to),
    }
}

/// Runs a turn that keeps something and shares it: both, or neither.
pub(super) fn sharing<T>(
    context: &Context<'_>,
    turn: impl FnOnce() -> Result<T, XrpcError>,
) -> Result<T, XrpcError> {
    if context.readers.is_empty() { turn() } else { context.account.together(turn) }
}

/// A row for each reader and the messages to those who are new. Runs in a transaction.
pub(in crate::agent) fn share(
    context: &Context<'_>,
    mind: &Mind<'_>,
    path: &RepoPath,
    to: &[Reader],
) -> Result<Shared, XrpcError> {
    share_believing(context, mind, path, to, false)
}

/// The same; `believe` says whether keys count that do not go on from those that the agent has seen before.
pub(in crate::agent) fn share_believing(
    context: &Context<'_>,
    mind: &Mind<'_>,
    path: &RepoPath,
    to: &[Reader],
    believe: bool,
) -> Result<Shared, XrpcError> {
    if to.is_empty() {
        return Ok(Shared::default());
    }
    let (own, now) = (&context.account.profile()?.did, context.clock.now_micros());
    let readers = to.iter().map(|reader| comms::recipient(context, reader, believe, now));
    let readers = readers.collect::<Result<Vec<_>, _>>()?;
    let new = mind.memories.share(mind.keeper(), path, &readers)?;
    let told = to.iter().filter(|reader| new.contains(&reader.did));
    let notices = told.map(|reader| comms::send(context, notice(own, path, reader)));
    let notices = notices.collect::<Result<Vec<_>, XrpcError>>()?;
    let shares = mind.memories.shares(Some(path), None, ALL)?;
    let named = shares.iter().filter(|share| to.iter().any(|reader| reader.did == share.reader));
    Ok(Shared { shares: named.map(|share| view::share(own, share)).collect(), notices })
}

/// The message that tells a reader of a memory: its address, and nothing of what it says.
fn notice(own: &Did, path: &RepoPath, reader: &Reader) -> Outgoing {
    let thread = format!("{NOTICES}{}", default_thread(own, std::slice::from_ref(&reader.did)));
    let content = object!({
        "kind": "ref",
        "uri": format!("at://{own}/{path}"),
        "schema": path.collection,
    });
    Outgoing {
        record: object!({ "$type": MESSAGE, "content": content, "thread": thread }),
        sealed: None,
        to: vec![reader.clone()],
        id: None,
        public: false,
        expires_at: None,
        believe: false,
        hand_over: None,
    }
}

/// `agent.memory.revokeShare`
pub fn revoke_share(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let mind = reading(context)?.ok_or(MemoryError::NotFound)?;
    let path = own_path(context, &call.input)?;
    let subjects = call.input.texts("subjects").into_iter().map(Did::parse).collect::<Result<Vec<_>, _>>();
    let subjects = subjects.map_err(|error| XrpcError::invalid(error.to_string()))?;
    let cid = mind.memories.revoke(mind.keeper(), &path, &subjects)?;
    let own = &context.account.profile()?.did;
    let left = mind.memories.shares(Some(&path), None, ALL)?;
    let answer = object!({
        "uri": format!("at://{own}/{path}"),
        "cid": cid.to_string(),
        "shares": left.iter().map(|share| view::share(own, share)).collect::<Vec<_>>(),
    });
    Ok(Reply::Changed(Response::json(&answer)?))
}

/// `agent.memory.listShares`
pub fn list_shares(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let params = &call.params;
    let (Some(mind), own) = (reading(context)?, &context.account.profile()?.did) else {
        return Ok(Reply::Now(Response::json(&object!({ "shares": [] }))?));
    };
    let limit = u32::try_from(limit(params)).unwrap_or(1);
    let after =
        params.text("cursor").map(|cursor| cursor.split_once(' ').ok_or_else(bad_cursor)).transpose()?;
    let path = |text: &str| RepoPath::parse(text).map_err(|_| bad_cursor());
    let (shares, cursor) = if params.text("direction") == Some("received") {
        let after = after.map(|(author, name)| {
            Ok::<_, XrpcError>((Did::parse(author).map_err(|_| bad_cursor())?, path(name)?))
        });
        let after = after.transpose()?;
        let found = mind.memories.received(after.as_ref().map(|(author, path)| (author, path)), limit)?;
        let cursor = found.last().map(|last| format!("{} {}", last.author, last.path));
        (found.iter().map(|received| view::received(own, received)).collect::<Vec<_>>(), cursor)
    } else {
        let of = params.text("uri").map(|_| own_path(context, params)).transpose()?;
        let after = after.map(|(name, reader)| Ok::<_, XrpcError>((path(name)?, reader))).transpose()?;
        let after = after.as_ref().map(|(path, reader)| (path, *reader));
        let found = mind.memories.shares(of.as_ref(), after, limit)?;
        let cursor = found.last().map(|last| format!("{} {}", last.path, last.reader));
        (found.iter().map(|share| view::share(own, share)).collect(), cursor)
    };
    Ok(Reply::Now(Response::json(&with_cursor(object!({ "shares": shares }), cursor))?))
}

/// The field of those with whom a memory is shared as it is kept.
const SHARE_WITH: &str = "shareWith";

pub(in crate::agent) const MESSAGE: &str = "agent.comms.message";

/// What the threads begin with in which an agent tells another what it shares: with each other agent it has one.
pub(in crate::agent) const NOTICES: &str = "agent.memory.shares.";

/// All readers of a memory: 64 at most.
const ALL: u32 = 64;
