//! The way of the events to the relay.

use std::rc::Rc;

use murmuration_account::{Account, AccountError, MAX_COLLECTIONS, Push};
use murmuration_relay::limits::MAX_TOLD_COLLECTIONS;
use murmuration_relay::wire::{self, Item};
use murmuration_xrpc::XrpcError;
use worker::{Method, Request, RequestInit};

use super::Agent;
use crate::clock::wait;
use crate::stubs::Stubs;

/// Milliseconds from one push of an account to its next. What is written meanwhile leaves together: the relay stores it in
/// one row, with one flush. The first event after a quiet time waits for nothing.
const PAUSE_MS: u32 = 10;
/// The same while many write to the account at once.
const CROWDED_PAUSE_MS: u32 = 50;

// The relay takes what the account names.
const _: () = assert!(MAX_COLLECTIONS <= MAX_TOLD_COLLECTIONS);

/// Begins to push, unless that goes on already. Runs behind the answer.
pub(super) fn start(agent: &Rc<Agent>) {
    if agent.pushing.get() {
        return;
    }
    let this = Rc::clone(agent);
    agent.state.wait_until(async move { push_all(&this).await });
}

/// Pushes until the relay has everything, or does not take it. The alarm tries again.
pub(super) async fn push_all(agent: &Agent) {
    if agent.pushing.replace(true) {
        return;
    }
    match drain(agent).await {
        Ok(()) => {}
        // Deleted while it paused.
        Err(error) if error.error() == "RepoNotFound" => {}
        Err(error) => worker::console_warn!("the relay did not take an event: {error}"),
    }
    agent.pushing.set(false);
}

async fn drain(agent: &Agent) -> Result<(), XrpcError> {
    let account = &agent.awake().await?.account;
    while let Some(push) = account.next_push()? {
        let next = push.ord + u64::try_from(push.drafts.len()).map_err(XrpcError::internal)?;
        send(agent, account, &push).await?;
        account.events_taken(next)?;
        wait(if agent.crowded.take() { CROWDED_PAUSE_MS } else { PAUSE_MS }).await;
    }
    Ok(())
}

async fn send(agent: &Agent, account: &Account, push: &Push) -> Result<(), XrpcError> {
    let made_at = push.made_at / 1000;
    let items = (push.ord..).zip(&push.drafts).map(|(ord, draft)| Item { ord, made_at, draft }).collect();
    let push = wire::Push { did: account.did()?, fresh: push.fresh, items };
    // What came with an import is in no event. Told before this one, so that nothing is lost in between.
    if push.brings_another_repository() {
        tell(agent, account).await?;
    }
    let body = push.encode().map_err(XrpcError::internal)?;
    let answer = post(agent, "https://internal/append", &body).await?;
    wire::Ack::decode(&answer).map(drop).map_err(XrpcError::internal)
}

/// Tells the relay which collections the account holds.
async fn tell(agent: &Agent, account: &Account) -> Result<(), XrpcError> {
    let collections = match account.collections() {
        // It has been deleted since.
        Err(AccountError::Vacant) => Vec::new(),
        other => other?,
    };
    if collections.is_empty() {
        return Ok(());
    }
    let told = wire::Told { did: account.did()?, collections };
    let body = told.encode().map_err(XrpcError::internal)?;
    post(agent, "https://internal/told", &body).await.map(drop)
}

/// Sends something to the relay, and reads its answer.
pub(super) async fn post(agent: &Agent, url: &str, body: &[u8]) -> Result<Vec<u8>, XrpcError> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(js_sys::Uint8Array::from(body).into()));
    let request = Request::new_with_init(url, &init).map_err(XrpcError::internal)?;
    let mut answer = Stubs::new(&agent.env).relay(request).await?;
    // Read to its end: an answer that nobody reads keeps both objects awake.
    let body = answer.bytes().await.map_err(XrpcError::internal)?;
    match answer.status_code() {
        200..=299 => Ok(body),
        status => Err(XrpcError::internal(format!("the relay answered {status}"))),
    }
}
