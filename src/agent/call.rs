//! A call of the object, from its request to its answer.

use std::rc::Rc;

use futures_util::future::FutureExt as _;
use murmuration_lexicons::Catalog;
use murmuration_platform::Clock;
#[cfg(feature = "test-routes")]
use murmuration_xrpc::agent::internal::comms::CommsCall;
use murmuration_xrpc::agent::internal::comms::Reader;
use murmuration_xrpc::agent::internal::{self, InternalCall};
use murmuration_xrpc::agent::{self, Context, Reply, import as repo, index as profile, memory};
use murmuration_xrpc::http as plain;
use murmuration_xrpc::inbox::PATH;
use murmuration_xrpc::limits;
use murmuration_xrpc::method::{Method, Place};
use murmuration_xrpc::{XrpcError, table};
use web_sys::Response;

use super::{Agent, Awake, embedding, ending, inbox, index, outbox, outside, turn};
use crate::blobs::{BlobStore, Bucket};
use crate::entropy::SystemEntropy;
use crate::http::{self, Asked};
use crate::import;
use crate::limits::BYPASS_HEADER;
use crate::request::Incoming;
use crate::stubs::names_internal_host;
#[cfg(feature = "test-routes")]
use crate::test_routes::Break;

/// Bytes of the longest internal call: four times the longest body of a method that reads JSON.
const MAX_CALL_BYTES: usize = 4_000_000;

/// Answers what the Worker has sent.
pub(super) async fn answer(agent: &Rc<Agent>, request: Incoming) -> Response {
    let asked = Asked::of(&request);
    let inner = names_internal_host(request.url());
    if !inner && request.path() == PATH {
        let opened = inbox::subscribe(agent, &request).boxed_local().await;
        return opened.map_or_else(|error| http::give(http::refusal(&error), asked), Into::into);
    }
    let outcome = match inner {
        // Boxed, as in `route`: they are rare.
        true if request.path() == import::PATH => take_over(agent, &request).boxed_local().await,
        true => internally(agent, &request).boxed_local().await,
        false => outwardly(agent, &request).await,
    };
    let response = outcome.unwrap_or_else(|error| http::refusal(&error));
    if !matches!(response.body, plain::Body::Stream(..)) {
        return http::give(response, asked);
    }
    let read = BlobStore::open(&agent.env).map(|blobs| blobs.reader(memory::MAX_BLOB_BYTES));
    http::give_reading(response, asked, &read.unwrap_or_default())
}

/// Answers an XRPC request, which the Worker has forwarded as it came.
async fn outwardly(agent: &Rc<Agent>, request: &Incoming) -> Result<plain::Response, XrpcError> {
    let nsid = request.path().strip_prefix(http::XRPC).unwrap_or_default();
    let method = table::find(nsid).ok_or_else(XrpcError::not_implemented)?;
    let plain = http::read(request, method.max_json).await?;
    let (Place::Agent { run, .. } | Place::Wide { own: run, .. }) = method.place else {
        return Err(XrpcError::not_implemented());
    };
    let awake = agent.awake().await?;
    // What a crash has left unsent need not wait for the alarm.
    if awake.account.has_unsent().unwrap_or(false) {
        outbox::start(agent);
    }
    // Boxed, and only where vectors may be wanted.
    let ready = match memory::may_embed(method) {
        true => embedding::ask(agent, awake, method, &plain).boxed_local().await,
        false => None,
    };
    let readers = readers(agent, awake, method, &plain).await?;
    let vectors = || ready.clone();
    let answer = |clock: &dyn Clock| {
        let mut context = Context { clock, readers: &readers, ..context(agent, awake) };
        if ready.is_some() {
            context.embedder = &vectors;
        }
        agent::answer(&context, method, run, &plain)
    };
    let reply = with_blobs(agent, awake, answer).await?;
    inbox::tend(agent);
    match reply? {
        Reply::Now(response) => {
            // Whatever wakes an object after the host has got a new key-encryption key begins to seal anew, and a search with another
            // embedder to embed anew.
            if awake.account.is_behind() || awake.account.embedding_due().is_ok_and(|due| due.is_some()) {
                agent.mind().await?;
            }
            Ok(response)
        }
        Reply::Changed(response) => {
            agent.mind().await?;
            outbox::start(agent);
            Ok(response)
        }
        Reply::Sent(response, notices) => {
            agent.mind().await?;
            let did = awake.account.did()?;
            let tell =
                outside::with_host(agent, true, None, async |host| host.tell_of_shares(&did, notices).await);
            // What was kept is kept; who was not told is told later.
            if let Err(error) = tell.boxed_local().await {
                worker::console_warn!("those with whom a memory is shared: {error}");
            }
            outbox::start(agent);
            Ok(response)
        }
        Reply::AfterWrite(mut writes, finish) => {
            let shown = || request.header(BYPASS_HEADER);
            writes.unlimited = !awake.config.rate_limits || awake.config.bypasses_limits(shown().as_deref());
            let limited = !writes.unlimited;
            let profile = profile::concerns(&writes);
            let response = finish(turn::write(agent, writes).await?)?;
            if profile {
                index::start(agent);
            }
            let status = if limited { awake.account.write_budget(agent.now())? } else { None };
            let headers = status.as_ref().map(limits::headers).into_iter().flatten();
            Ok(headers.fold(response, |response, (name, value)| response.with(name, value)))
        }
    }
}

/// Answers the Worker itself.
async fn internally(agent: &Rc<Agent>, request: &Incoming) -> Result<plain::Response, XrpcError> {
    let body = request.bytes(MAX_CALL_BYTES).await.map_err(XrpcError::internal)?;
    let read = || serde_json::from_slice::<InternalCall>(&body).map_err(XrpcError::internal);
    let call = read()?;
    let awake = agent.awake().await?;
    let is_deleted = || awake.account.is_deleted().unwrap_or(false);
    if matches!(call, InternalCall::Destroy) {
        // What tells of a deletion must not go before it has been told.
        if is_deleted() {
            ending::run(agent).await?
        } else {
            agent.wipe().await?
        }
        return Ok(plain::Response::empty());
    }
    // The operator may have taken the profile down.
    let judged = matches!(call, InternalCall::Operator(_));
    #[cfg(feature = "test-routes")]
    let planned = match &call {
        InternalCall::Comms(CommsCall::Take(_)) | InternalCall::AddBlob { .. } => agent.breaks.take(),
        _ => None,
    };
    #[cfg(feature = "test-routes")]
    Break::Before.at(planned);
    let response = match call {
        // They are read anew when they are made again.
        InternalCall::Memory(_) | InternalCall::Ingest(_) => {
            embedding::bring(agent, awake).boxed_local().await;
            let answer =
                |clock: &dyn Clock| internal::answer(&Context { clock, ..context(agent, awake) }, read()?);
            let response = with_blobs(agent, awake, answer).await?;
            inbox::tend(agent);
            response?
        }
        call => inside(agent, awake, call)?,
    };
    #[cfg(feature = "test-routes")]
    Break::After.at(planned);
    agent.mind().await?;
    if judged {
        index::start(agent);
    }
    if is_deleted() {
        // It is deleted whatever becomes of this: the alarm goes on with what is left.
        if let Err(error) = ending::run(agent).await {
            worker::console_warn!("the remains of an account: {error}");
        }
        return Ok(response);
    }
    outbox::start(agent);
    Ok(response)
}

/// Answers a call of the Worker, or of this object to itself, and tells what has happened by it.
pub(super) fn inside(
    agent: &Rc<Agent>,
    awake: &Awake,
    call: InternalCall,
) -> Result<plain::Response, XrpcError> {
    let response = internal::answer(&context(agent, awake), call);
    inbox::tend(agent);
    response
}

/// Those with whom a call shares what it keeps, with what they publish of their keys.
async fn readers(
    agent: &Rc<Agent>,
    awake: &Awake,
    method: &Method,
    request: &plain::Request,
) -> Result<Vec<Reader>, XrpcError> {
    let to = memory::share_with(&context(agent, awake), method, request)?;
    if to.is_empty() {
        return Ok(Vec::new());
    }
    // Boxed: it is rare.
    outside::with_host(agent, true, None, async |host| host.share_with(to).await).boxed_local().await
}

/// Runs a call that may want something of the blob storage.
async fn with_blobs<T>(agent: &Agent, awake: &Awake, call: impl Fn(&dyn Clock) -> T) -> Result<T, XrpcError> {
    let blobs = Bucket(&agent.env);
    memory::with_blobs(&awake.account, &blobs, &agent.clock, async || agent.mind().await, call).await
}

/// Answers an import, which the Worker has sent on with the keys that count.
async fn take_over(agent: &Rc<Agent>, request: &Incoming) -> Result<plain::Response, XrpcError> {
    let method = table::find("com.atproto.repo.importRepo").ok_or_else(XrpcError::not_implemented)?;
    let awake = agent.awake().await?;
    let mut import = repo::begin(&context(agent, awake), method, request.authorization())?;
    let pieces = import::receive(request, &awake.config, &mut import).await?;
    let keys = request.header(import::KEYS).unwrap_or_default();
    let keys: Vec<&str> = keys.split(' ').collect();
    let response = repo::finish(&context(agent, awake), method, import, &pieces, &keys)?;
    agent.mind().await?;
    outbox::start(agent);
    index::start(agent);
    Ok(response)
}

pub(super) fn context<'a>(agent: &'a Agent, awake: &'a Awake) -> Context<'a> {
    Context {
        account: &awake.account,
        config: &awake.config,
        catalog: Catalog::builtin(),
        clock: &agent.clock,
        entropy: &SystemEntropy,
        embedder: &*awake.embedder,
        readers: &[],
    }
}
