//! The object's one alarm.
//!
//! It is set before events may be lost: with the first commit after a quiet time. While it is pending, later commits
//! set nothing, for setting it is a billed row; when it fires and everything was taken, nothing is written at all. So a
//! busy account pays one row for it every [`RETRY_MICROS`], and an idle one none.
//!
//! The pending alarm is also the only note of whether the relay has everything: a woken object whose alarm is not set
//! knows that its events were taken. The lowest bit of the alarm's milliseconds tells such an alarm (odd) from one that
//! only waits (even): for a message to deliver, for a memory whose time ends or whose vector is missing, for what a memory had in the blob storage, for the end of a token by
//! which somebody reads the inbox, for blobs to collect, for the day on which a deactivated account is to be deleted, for a change of the DID document that may have died, or for what a
//! rotation of the agent's keys has left to do, in the storage or in the DID document.

use std::cell::Cell;
use std::rc::Rc;

use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::keys::SEALED_STORES;
use murmuration_xrpc::agent::memory;
use murmuration_xrpc::host::Host;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::State;

use super::{Agent, embedding, ending, inbox, index, messages, outbox, outside};
use crate::blobs::{BlobStore, Bucket};
use crate::entropy::SystemEntropy;

/// Microseconds from a commit to the alarm that sees its events off.
const RETRY_MICROS: u64 = 20 * 1_000_000;
/// Microseconds to the alarm after a push that failed, at the least; see [`backoff`].
const LEAST_BACKOFF_MICROS: u64 = 5 * 1_000_000;
/// Microseconds to it at the most: a relay that stays away costs each account that waits for it a row every ten minutes.
const MOST_BACKOFF_MICROS: u64 = 10 * 60 * 1_000_000;
/// Microseconds from a rotation of keys to when the alarm has the DID document follow it, if nobody else has: what a request to the
/// PLC directory takes at the worst, twice over.
const NAMING_MICROS: u64 = 20 * 1_000_000;
/// Microseconds that an alarm lies ahead at the most. workerd keeps it as nanoseconds in 64 bits, which end in 2262; what is due
/// later is looked at again, for a row a year.
const FURTHEST_MICROS: u64 = 365 * 24 * 60 * 60 * 1_000_000;

/// Messages that have come, and that were sent, which one alarm drops at the most: of each some four rows are written.
const MAX_DROPPED: u32 = 100;

/// Memories, and entries of the working state, that one alarm deletes at most because their time is over: of each some five rows are
/// written.
const MAX_EXPIRED: u32 = 100;

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
    /// What is to be pending so that something fires at `at` (microseconds, two milliseconds more at the most) or before;
    /// `None` if that which is does it.
    fn sooner(self, at: u64, unsent: bool) -> Option<Self> {
        // Rounded up, so that it does not fire before the time that it is for.
        let millis = at.div_ceil(1000);
        let (odd, even) = (millis | 1, (millis + 1) & !1);
        if self.0.is_some_and(|pending| if unsent { pending % 2 == 1 } else { pending <= odd.max(even) }) {
            return None;
        }
        // One that says of the relay that it may lack something goes on to say it when it is set to fire before its time.
        Some(Self(Some(if unsent || self.says_unsent() { odd } else { even })))
    }

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

    /// Sees that it fires at `at` or before. Runs in the turn that needs it: the request to the storage is made before anything
    /// is awaited.
    async fn set(&self, state: &State, at: u64, unsent: bool) -> Result<(), XrpcError> {
        let Some(sooner @ Pending(Some(millis))) = self.0.get().sooner(at, unsent) else { return Ok(()) };
        // An alarm for something else gives way: this one sees to that as well, and sets the next.
        self.0.set(sooner);
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
        let touched = (awake.account.blobs_touched()?, awake.account.keys_touched()?);
        self.wait_for_what_is_due(touched).await
    }

    /// Sets the alarm to try again what has failed.
    pub(super) async fn retry(&self) -> Result<(), XrpcError> {
        let last_turn = match self.awake().await {
            Ok(awake) => awake.account.last_turn().ok(),
            Err(_) => None,
        };
        let now = self.now();
        self.alarm.set(&self.state, now + backoff(last_turn, now), true).await
    }

    /// Sets the alarm for what time alone brings: the deletion of an account at rest, a change of the DID document that died,
    /// the next try to deliver a message, the end of a token by which somebody reads the inbox, and, if `blobs` and `keys`, the next collection and what a rotation has left to do.
    async fn wait_for_what_is_due(&self, (blobs, keys): (bool, bool)) -> Result<(), XrpcError> {
        let awake = self.awake().await?;
        let sweep = match blobs {
            true => awake.account.next_sweep(awake.config.blob_patience_micros())?,
            false => None,
        };
        let (keys, naming) = match keys {
            true => (awake.account.keys_due(SEALED_STORES)?, awake.account.unnamed_since()?),
            false => (None, None),
        };
        // What has failed since is tried again as all that has.
        let naming = naming.map(|at| at + NAMING_MICROS).filter(|at| *at > self.now());
        let comms = awake.account.comms()?;
        let (message, old) = (comms.next_due()?, comms.next_drop(self.now())?);
        let readers = self.readers.due(self);
        let (deletion, document) = (awake.account.deletion_due()?, awake.account.document_due()?);
        let (memory, vectors) = (awake.account.memory_due()?, awake.account.embedding_due()?);
        let apart = awake.account.memory_blob_due()?;
        let due = [deletion, document, sweep, message, old, memory, vectors, apart, keys, naming, readers];
        let due = due.into_iter().flatten().min();
        if let Some(at) = due {
            let now = self.now();
            self.alarm.set(&self.state, at.clamp(now, now + FURTHEST_MICROS), false).await?;
        }
        Ok(())
    }
}

/// What the alarm does: deletes the account if its time has come, or else pushes what is unsent, delivers messages that are
/// due, tells the directory of the profile, collects blobs, goes on with a rotation of keys, embeds memories, and sets itself
/// again if anything is left.
pub(super) async fn fire(agent: &Rc<Agent>) {
    // While an alarm runs none is pending, so a woken account would believe that all was taken.
    if agent.awake.get().is_none() {
        agent.alarm.0.set(Pending(Some(1)));
    }
    let outcome = async {
        let awake = agent.awake().await?;
        agent.alarm.0.set(Pending::default());
        inbox::tend(agent);
        if awake.account.is_deleted()? {
            return ending::run(agent).await;
        }
        awake.account.say_document_if_due(agent.now())?;
        if awake.account.delete_if_due(agent.now())? {
            // Before what may fail, and in the same turn: a crash from here on leaves an alarm that ends what was begun.
            agent.mind().await?;
            return ending::run(agent).await;
        }
        if awake.account.unnamed_since()?.is_some_and(|at| at + NAMING_MICROS <= agent.now())
            && let Err(error) = name_keys(agent).await
        {
            worker::console_warn!("the DID document does not name new keys yet: {error}");
            agent.retry().await?;
        }
        outbox::push_all(agent).await;
        if awake.account.has_unsent()? {
            agent.retry().await?;
        }
        if awake.account.comms()?.next_due()?.is_some_and(|at| at <= agent.now()) {
            messages::carry(agent).await?;
        }
        let comms = awake.account.comms()?;
        if comms.next_drop(agent.now())?.is_some_and(|at| at <= agent.now()) {
            comms.drop_old(agent.now(), MAX_DROPPED).map_err(XrpcError::from)?;
        }
        awake.account.tend_memories(&SystemEntropy, agent.now(), MAX_EXPIRED)?;
        index::run(agent).await?;
        collect_blobs(agent).await?;
        sweep_memories(agent).await?;
        awake.account.tend_keys(SEALED_STORES, &SystemEntropy, agent.now())?;
        // The last, because it may wait for somebody.
        embedding::run(agent).await?;
        agent.wait_for_what_is_due((true, true)).await
    };
    match outcome.await {
        Ok(()) => {}
        Err(error) if error.error() == "RepoNotFound" => {}
        // Set again rather than thrown: the platform gives up after six throws.
        Err(error) => {
            worker::console_error!("alarm: {error}");
            if let Err(error) = agent.retry().await {
                worker::console_error!("alarm: {error}");
            }
        }
    }
}

/// Microseconds to wait before something that failed is tried again: as long as has been waited since the account's last turn,
/// so that each time is twice as long as the one before, whatever is forgotten in between. An account that cannot even be
/// read will not be by itself.
fn backoff(last_turn: Option<u64>, now: u64) -> u64 {
    last_turn.map_or(MOST_BACKOFF_MICROS, |last| {
        now.saturating_sub(last).clamp(LEAST_BACKOFF_MICROS, MOST_BACKOFF_MICROS)
    })
}

/// Has the DID document follow a rotation of the agent's keys.
async fn name_keys(agent: &Rc<Agent>) -> Result<(), XrpcError> {
    let did = agent.awake().await?.account.did()?;
    outside::with_host(agent, true, None, async |host: &Host<'_>| host.name_keys(&did).await).await
}

async fn collect_blobs(agent: &Agent) -> Result<(), XrpcError> {
    let awake = agent.awake().await?;
    let condemned = awake.account.condemned_blobs(agent.now(), awake.config.blob_patience_micros())?;
    if condemned.is_empty() {
        return Ok(());
    }
    let blobs = BlobStore::open(&agent.env).map_err(XrpcError::internal)?;
    for (cid, key) in condemned {
        match blobs.delete(&key).await {
            Ok(()) => awake.account.forget_blob(&cid, &key)?,
            Err(error) => {
                worker::console_warn!("a blob's bytes: {error}");
                awake.account.put_blob_off(&cid, &key, agent.now())?;
            }
        }
    }
    Ok(())
}

/// Deletes what memories had in the blob storage, and what uploads of which nothing came have left there.
async fn sweep_memories(agent: &Agent) -> Result<(), XrpcError> {
    let account = &agent.awake().await?.account;
    if account.memory_blob_due()?.is_none_or(|due| due > agent.now()) {
        return Ok(());
    }
    if let Some(error) = memory::sweep_blobs(account, &Bucket(&agent.env), &agent.clock).await? {
        worker::console_warn!("bytes that nothing names: {error}");
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000_000;

    #[test]
    fn an_alarm_that_is_early_enough_stays_as_it_is() {
        let odd = Pending::default().sooner(NOW, true).unwrap();
        assert!(odd.says_unsent());
        assert_eq!((odd.sooner(NOW, true), odd.sooner(NOW + 60_000_000, false)), (None, None));
        // A push that is to come sooner does not pay for it.
        assert_eq!(odd.sooner(NOW - 60_000_000, true), None);
        let even = Pending::default().sooner(NOW, false).unwrap();
        assert!(!even.says_unsent());
        assert_eq!(even.sooner(NOW + 60_000_000, false), None);
        assert!(even.sooner(NOW + 60_000_000, true).is_some_and(Pending::says_unsent));
    }

    #[test]
    fn an_alarm_that_is_set_forward_still_says_that_the_relay_may_lack_something() {
        let odd = Pending::default().sooner(NOW + 60_000_000, true).unwrap();
        let forward = odd.sooner(NOW, false).unwrap();
        assert!(forward.says_unsent() && forward.0 < odd.0);
    }

    #[test]
    fn an_alarm_fires_at_its_time_or_two_milliseconds_later() {
        for at in NOW..NOW + 5_000 {
            for unsent in [false, true] {
                let Some(Pending(Some(millis))) = Pending::default().sooner(at, unsent) else { panic!() };
                assert!((at..=at + 2_000).contains(&(millis * 1000)), "{at} {unsent}");
                assert_eq!(Pending(Some(millis)).sooner(at, unsent), None, "it does for the same");
            }
        }
    }

    #[test]
    fn a_relay_that_stays_away_is_asked_half_as_often_each_time() {
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..12 {
            let wait = backoff(Some(NOW), now);
            waits.push(wait / 1_000_000);
            now += wait;
        }
        assert_eq!(waits, [5, 5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
        assert_eq!(backoff(Some(NOW), NOW - 1), LEAST_BACKOFF_MICROS, "a clock that steps back");
        assert_eq!(backoff(None, NOW), MOST_BACKOFF_MICROS);
    }
}
