//! The object's one alarm.
//!
//! It is set before events may be lost: with the first commit after a quiet time. While it is pending, later commits
//! set nothing, for setting it is a billed row; when it fires and everything was taken, nothing is written at all. So a
//! busy account pays one row for it every [`RETRY_MICROS`], and an idle one none.
//!
//! The pending alarm is also the only note of whether the relay has everything: a woken object whose alarm is not set
//! knows that its events were taken. The lowest bit of the alarm's milliseconds tells such an alarm (odd) from one that
//! only waits (even): for blobs to collect, for the day on which a deactivated account is to be deleted, or for a change of
//! the DID document that may have died.

use std::cell::Cell;
use std::rc::Rc;

use murmuration_xrpc::XrpcError;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::State;

use super::{Agent, ending, outbox};
use crate::blobs::BlobStore;

/// Microseconds from a commit to the alarm that sees its events off.
const RETRY_MICROS: u64 = 20 * 1_000_000;
/// Microseconds to the alarm after a push that failed.
const BACKOFF_MICROS: u64 = 5 * 1_000_000;
/// Microseconds that an alarm lies ahead at the most. workerd keeps it as nanoseconds in 64 bits, which end in 2262; what is due
/// later is looked at again, for a row a year.
const FURTHEST_MICROS: u64 = 365 * 24 * 60 * 60 * 1_000_000;

#[wasm_bindgen]
extern "C" {
    type AlarmStorage;

    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    fn get_alarm(this: &AlarmStorage) -> Result<js_sys::Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &AlarmStorage, at: f64) -> Result<js_sys::Promise, JsValue>;
}

/// What an alarm was set for, and when it fires, in milliseconds; `None` if none is set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pending(Option<u64>);

impl Pending {
    /// Whether the relay may lack an event.
    pub(super) const fn says_unsent(self) -> bool {
        matches!(self.0, Some(at) if at % 2 == 1)
    }
}

/// The alarm as it is known in memory.
#[derive(Default)]
pub(super) struct Alarm(Cell<Pending>);

impl Alarm {
    /// Reads it from storage.
    pub(super) async fn read(&self, state: &State) -> Result<Pending, XrpcError> {
        let promise = storage(state).get_alarm().map_err(fault)?;
        let at = JsFuture::from(promise).await.map_err(fault)?;
        // The guard of the outbox may have set it meanwhile.
        if self.0.get() == Pending::default() {
            self.0.set(Pending(at.as_f64().and_then(to_millis)));
        }
        Ok(self.0.get())
    }

    /// Forgets it: it went with the storage.
    pub(super) fn forget(&self) {
        self.0.set(Pending::default());
    }

    /// Sees that it fires at `at` (microseconds, two milliseconds more at the most) or before. Runs in the turn that needs it: the request to the storage
    /// is made before anything is awaited.
    async fn set(&self, state: &State, at: u64, unsent: bool) -> Result<(), XrpcError> {
        // Rounded up, so that it does not fire before the time that it is for.
        let millis = (at.div_ceil(1000) + 1) & !1 | u64::from(unsent);
        let settled =
            self.0.get().0.is_some_and(|pending| if unsent { pending % 2 == 1 } else { pending <= millis });
        if settled {
            return Ok(());
        }
        // An earlier alarm for something else gives way: the outbox's sees to that as well, and sets the next.
        self.0.set(Pending(Some(millis)));
        let promise = storage(state).set_alarm(to_float(millis)).map_err(fault)?;
        JsFuture::from(promise).await.map(drop).map_err(fault)
    }
}

impl Agent {
    /// Sees to the alarm after something was written.
    pub(super) async fn mind(&self) -> Result<(), XrpcError> {
        let awake = self.awake().await?;
        let deleted = awake.account.is_deleted()?;
        if deleted || awake.account.has_unsent()? {
            self.alarm.set(&self.state, self.now() + RETRY_MICROS, true).await?;
        }
        if deleted {
            return Ok(());
        }
        let touched = awake.account.blobs_touched()?;
        self.wait_for_what_is_due(touched).await
    }

    /// Sets the alarm for what time alone brings: the deletion of an account at rest, a change of the DID document that died,
    /// and, if `blobs`, the next collection.
    async fn wait_for_what_is_due(&self, blobs: bool) -> Result<(), XrpcError> {
        let awake = self.awake().await?;
        let sweep = match blobs {
            true => awake.account.next_sweep(awake.config.blob_patience_micros())?,
            false => None,
        };
        let due = [awake.account.deletion_due()?, awake.account.document_due()?, sweep];
        let due = due.into_iter().flatten().min();
        if let Some(at) = due {
            let now = self.now();
            self.alarm.set(&self.state, at.clamp(now, now + FURTHEST_MICROS), false).await?;
        }
        Ok(())
    }
}

/// What the alarm does: deletes the account if its time has come, or else pushes what is unsent, collects blobs, and sets
/// itself again if anything is left.
pub(super) async fn fire(agent: &Rc<Agent>) {
    // While an alarm runs none is pending, so a woken account would believe that all was taken.
    if agent.awake.get().is_none() {
        agent.alarm.0.set(Pending(Some(1)));
    }
    let outcome = async {
        let awake = agent.awake().await?;
        agent.alarm.0.set(Pending::default());
        if awake.account.is_deleted()? {
            return ending::run(agent).await;
        }
        awake.account.say_document_if_due(agent.now())?;
        if awake.account.delete_if_due(agent.now())? {
            // Before what may fail, and in the same turn: a crash from here on leaves an alarm that ends what was begun.
            agent.mind().await?;
            return ending::run(agent).await;
        }
        outbox::push_all(agent).await;
        if awake.account.has_unsent()? {
            agent.alarm.set(&agent.state, agent.now() + BACKOFF_MICROS, true).await?;
        }
        collect_blobs(agent).await?;
        agent.wait_for_what_is_due(true).await
    };
    match outcome.await {
        Ok(()) => {}
        Err(error) if error.error() == "RepoNotFound" => {}
        // Set again rather than thrown: the platform gives up after six throws.
        Err(error) => {
            worker::console_error!("alarm: {error}");
            if let Err(error) = agent.alarm.set(&agent.state, agent.now() + BACKOFF_MICROS, true).await {
                worker::console_error!("alarm: {error}");
            }
        }
    }
}

async fn collect_blobs(agent: &Agent) -> Result<(), XrpcError> {
    let awake = agent.awake().await?;
    let condemned = awake.account.condemned_blobs(agent.now(), awake.config.blob_patience_micros())?;
    if condemned.is_empty() {
        return Ok(());
    }
    let blobs = BlobStore::open(&agent.env).map_err(XrpcError::internal)?;
    for (cid, key) in condemned {
        blobs.delete(&key).await.map_err(XrpcError::internal)?;
        awake.account.forget_blob(&cid, &key)?;
    }
    Ok(())
}

fn storage(state: &State) -> AlarmStorage {
    JsValue::from(state.storage().as_raw()).unchecked_into()
}

fn fault(error: JsValue) -> XrpcError {
    XrpcError::internal(format!("the object's alarm: {error:?}"))
}

#[allow(clippy::as_conversions)]
fn to_millis(at: f64) -> Option<u64> {
    // INVARIANT: a positive count of milliseconds far below 2^53; `as` saturates besides.
    (at > 0.0).then_some(at as u64)
}

#[allow(clippy::as_conversions)]
fn to_float(millis: u64) -> f64 {
    // INVARIANT: milliseconds since 1970 stay far below 2^53, where every whole number is a float.
    millis as f64
}
