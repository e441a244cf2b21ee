//! Webhooks: events for those who cannot listen, sent to a URL of theirs.
//!
//! A webhook reads the log as a subscriber does, found by the same index of filters. The turn that stores an event which
//! it wants also notes, in its row, from where on it is *owed* something; nothing is kept of a webhook that is owed
//! nothing, so waking looks at no log. What is owed goes out in messages of some events each, one after another and in
//! order. A message that is not taken is sent again, the same, later and later; a webhook that takes nothing for about a
//! day, or answers 410, is given up, and forgotten when a week later somebody wants a webhook. Each message costs a row, and so
//! does the first event after a pause.
//!
//! A message is delivered at least once: after a crash it may come again, the same under the same id. So where it ends is in the
//! row before it is sent: with the first event after a pause, or at what was the log's head when the message before it was taken.
//!
//! An account that is not active *rests*: nothing is sent to its webhooks. What they are owed meanwhile is noted, and sent when
//! the account is active again, as far as the log then reaches.

mod message;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use murmuration_firehose::Seq;
use murmuration_keys::seal::{Keks, NONCE_BYTES};
use murmuration_platform::{Entropy, OutboundRequest, Store, StoreError};
use murmuration_syntax::Did;

use crate::RelayError;
use crate::filter::{Filter, Sight};
use crate::index::Index;
use crate::limits::{
    HOOK_BACKOFF_SECONDS, HOOK_BACKSTOP_MS, HOOK_EVENTS, HOOK_GIVEN_UP_KEPT_MS, MAX_FLYING,
    MAX_HOOK_FAILURES, MAX_HOOK_NAMES, MAX_HOOKS, MAX_HOOKS_OF_ACCOUNT, MAX_RESEALED_HOOKS,
};
use crate::log::Log;
use crate::page::Page;
use message::{SECRET_BYTES, message, secret_text};

/// A webhook that is to be.
#[derive(Clone, Debug)]
pub struct NewHook {
    /// Whose it is.
    pub did: Did,
    /// Where its messages go.
    pub url: String,
    /// Which events it wants.
    pub filter: Filter,
    /// The same as its owner has said it: a JSON object.
    pub wanted: String,
}

/// A webhook as its owner sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookView {
    /// Its name.
    pub id: u64,
    /// Where its messages go.
    pub url: String,
    /// What its owner has said that it wants: a JSON object.
    pub wanted: String,
    /// How it stands.
    pub state: HookState,
    /// Messages that were not taken, one after another.
    pub failures: u32,
    /// When it was made, milliseconds.
    pub created_at: u64,
}

/// How a webhook stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HookState {
    /// Its last message was taken.
    Active,
    /// Its last message was not.
    Failing,
    /// Its owner's account is not active: nothing is sent until it is.
    Paused,
    /// It is given up: nothing is sent to it any more.
    Disabled,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The webhook that it is for.
    pub id: u64,
    /// The request that carries it.
    pub request: OutboundRequest,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The receiver has answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Seconds that it wants to be left alone, where it says so.
        retry_after: Option<u64>,
    },
    /// It has not, or could not be asked.
    Failed,
    /// It was not asked: this host asks it often enough. Seconds until it may be asked again.
    Postponed(u64),
}

/// Secrets of webhooks that were sealed anew.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResealedHooks {
    /// How many.
    pub resealed: usize,
    /// Webhooks whose secrets do not open.
    pub failed: Vec<u64>,
    /// Whether that is all.
    pub done: bool,
}

/// The webhooks of a host.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    hooks: BTreeMap<u64, Hook>,
    /// Those that are not given up, by what they want.
    index: Index,
    /// Where the message ends that is on its way to each.
    flying: BTreeMap<u64, u64>,
    /// The accounts for which nothing is sent.
    resting: BTreeSet<String>,
}

#[derive(Debug)]
struct Hook {
    did: String,
    url: String,
    debt: Debt,
    created_at: u64,
    /// Sealed.
    secret: Vec<u8>,
    filter: Filter,
}

/// What a webhook is owed; the columns of its row that change.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    /// Everything up to here was delivered, and something behind it is owed; `None` while nothing is.
    after: Option<u64>,
    /// What the next message reaches no further than; there is one while something is owed.
    through: Option<u64>,
    failures: u32,
    /// Milliseconds.
    due_at: u64,
}

impl Hook {
    fn view(&self, id: u64, wanted: String, rests: bool) -> HookView {
        HookView {
            id,
            url: self.url.clone(),
            wanted,
            state: match self.debt.failures {
                MAX_HOOK_FAILURES.. => HookState::Disabled,
                _ if rests => HookState::Paused,
                0 => HookState::Active,
                _ => HookState::Failing,
            },
            failures: self.debt.failures,
            created_at: self.created_at,
        }
    }

    fn owes(&self, now_ms: u64) -> bool {
        self.debt.after.is_some() && self.debt.due_at <= now_ms
    }
}

impl Hooks {
    /// Reads a row a webhook.
    pub(crate) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let mut hooks = Self { resting: store::resting(store)?, ..Self::default() };
        for (id, hook) in store::all(store)? {
            hooks.put(id, hook);
        }
        Ok(hooks)
    }

    fn put(&mut self, id: u64, hook: Hook) {
        if hook.debt.failures < MAX_HOOK_FAILURES {
            self.index.set(id, hook.filter.clone());
        }
        self.hooks.insert(id, hook);
    }

    /// Makes a webhook: itself, and the secret that is shown this once. `None` where its owner, or the host, has as many
    /// as there may be. Writes 1 row, and 1 for each that goes because it was given up.
    pub(crate) fn add(
        &mut self,
        store: &dyn Store,
        new: NewHook,
        keks: &Keks,
        entropy: &dyn Entropy,
        now_ms: u64,
    ) -> Result<Option<(HookView, String)>, StoreError> {
        self.forget_given_up(store, now_ms)?;
        let own = self.hooks.values().filter(|hook| hook.did == new.did.as_str()).count();
        let names = self.index.names() + new.filter.names();
        if own >= MAX_HOOKS_OF_ACCOUNT || self.hooks.len() >= MAX_HOOKS || names > MAX_HOOK_NAMES {
            return Ok(None);
        }
        let (mut number, mut secret, mut nonce) = ([0; 8], [0; SECRET_BYTES], [0; NONCE_BYTES]);
        entropy.fill(&mut number);
        entropy.fill(&mut secret);
        entropy.fill(&mut nonce);
        let id = u64::from_be_bytes(number) & ID_MASK;
        let sealed = keks.seal(nonce, &binding(id, new.did.as_str()), &secret);
        let hook = Hook {
            did: new.did.to_string(),
            url: new.url,
            debt: Debt::default(),
            created_at: now_ms,
            secret: sealed,
            filter: new.filter,
        };
        store::insert(store, id, &hook, &new.wanted)?;
        let view = hook.view(id, new.wanted, self.resting.contains(&hook.did));
        self.put(id, hook);
        Ok(Some((view, secret_text(&secret))))
    }

    /// Deletes those that were given up a while ago: 1 row for each.
    fn forget_given_up(&mut self, store: &dyn Store, now_ms: u64) -> Result<(), StoreError> {
        let old = self.hooks.iter().filter(|(_, hook)| {
            let Debt { failures, due_at, .. } = hook.debt;
            failures >= MAX_HOOK_FAILURES && due_at.saturating_add(HOOK_GIVEN_UP_KEPT_MS) <= now_ms
        });
        for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            store::delete(store, id)?;
            self.forget(id);
        }
        Ok(())
    }

    /// The webhooks of an account, oldest first. Reads a row each.
    pub(crate) fn list(&self, store: &dyn Store, did: &Did) -> Result<Vec<HookView>, StoreError> {
        let own = self.hooks.iter().filter(|(_, hook)| hook.did == did.as_str());
        let rests = self.resting.contains(did.as_str());
        let view = |(id, hook): (&u64, &Hook)| Ok(hook.view(*id, store::wanted(store, *id)?, rests));
        let mut views: Vec<HookView> = own.map(view).collect::<Result<_, StoreError>>()?;
        views.sort_by_key(|view| (view.created_at, view.id));
        Ok(views)
    }

    /// Deletes a webhook of an account. Answers whether there was one. Writes 1 row.
    pub(crate) fn delete(&mut self, store: &dyn Store, did: &Did, id: u64) -> Result<bool, StoreError> {
        if self.hooks.get(&id).is_none_or(|hook| hook.did != did.as_str()) {
            return Ok(false);
        }
        store::delete(store, id)?;
        self.forget(id);
        Ok(true)
    }

    /// Seals secrets anew that are under an older key-encryption key than the newest, at most [`MAX_RESEALED_HOOKS`]. Writes 1 row
    /// for each.
    pub(crate) fn reseal(
        &mut self,
        store: &dyn Store,
        keks: &Keks,
        entropy: &dyn Entropy,
    ) -> Result<ResealedHooks, StoreError> {
        let head = keks.header();
        let mut found = ResealedHooks { done: true, ..ResealedHooks::default() };
        for (id, hook) in self.hooks.iter_mut().filter(|(_, hook)| !hook.secret.starts_with(&head)) {
            if found.resealed >= MAX_RESEALED_HOOKS {
                found.done = false;
                break;
            }
            let name = binding(*id, &hook.did);
            let Ok(secret) = keks.open(&name, &hook.secret) else {
                found.failed.push(*id);
                continue;
            };
            let mut nonce = [0; NONCE_BYTES];
            entropy.fill(&mut nonce);
            let sealed = keks.seal(nonce, &name, &secret);
            store::set_secret(store, *id, &sealed)?;
            hook.secret = sealed;
            found.resealed += 1;
        }
        Ok(found)
    }

    /// Deletes the webhooks of an account that is gone.
    pub(crate) fn purge(&mut self, store: &dyn Store, did: &str) -> Result<(), StoreError> {
        let own = self.hooks.iter().filter(|(_, hook)| hook.did == did);
        for id in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            store::delete(store, id)?;
            self.forget(id);
        }
        self.rest(store, did, false)
    }

    /// Whether an account has webhooks, so that it matters whether it is active.
    pub(crate) fn has(&self, did: &str) -> bool {
        self.hooks.values().any(|hook| hook.did == did)
    }

    /// An account rests from here on, or does not any more. Writes 1 row if that is news.
    pub(crate) fn rest(&mut self, store: &dyn Store, did: &str, rests: bool) -> Result<(), StoreError> {
        if self.resting.contains(did) != rests {
            store::save_rest(store, did, rests)?;
            if rests {
                self.resting.insert(did.to_owned());
            } else {
                self.resting.remove(did);
            }
        }
        Ok(())
    }

    fn forget(&mut self, id: u64) {
        self.index.remove(id);
        self.hooks.remove(&id);
    }

    /// Whether nobody wants anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.index.len() == 0
    }

    /// Notes a new event with those that want it. Writes a row for each that was owed nothing.
    pub(crate) fn owe(
        &mut self,
        store: &dyn Store,
        seq: Seq,
        sight: &Sight,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        for id in self.index.takers(sight) {
            let Some(hook) = self.hooks.get_mut(&id) else { continue };
            if hook.debt.after.is_none() {
                let seq = seq.get();
                let debt = Debt { after: Some(seq - 1), through: Some(seq), due_at: now_ms, ..hook.debt };
                store::save(store, id, &debt)?;
                hook.debt = debt;
            }
        }
        Ok(())
    }

    /// Whether a message is to be sent now.
    pub(crate) fn owes(&self, now_ms: u64) -> bool {
        self.flying.len() < MAX_FLYING && self.due(now_ms).next().is_some()
    }

    /// The webhooks that are owed something by now that is not on its way.
    fn due(&self, now_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let due = self.hooks.iter().filter(move |(id, hook)| {
            hook.owes(now_ms) && !self.flying.contains_key(id) && !self.resting.contains(&hook.did)
        });
        due.map(|(id, hook)| (hook.debt.due_at, *id))
    }

    /// The messages that are to be sent now. Each is on its way until [`Hooks::done`].
    pub(crate) fn take(
        &mut self,
        store: &dyn Store,
        log: &Log,
        keks: &Keks,
        now_ms: u64,
    ) -> Result<Vec<Delivery>, RelayError> {
        let mut due: Vec<_> = self.due(now_ms).collect();
        due.sort_unstable();
        let mut deliveries = Vec::new();
        for (_, id) in due {
            if self.flying.len() >= MAX_FLYING {
                break;
            }
            deliveries.extend(self.message(store, log, keks, id, now_ms)?);
        }
        Ok(deliveries)
    }

    /// The next message of a webhook; `None` if there is nothing for it as far as a turn may look.
    fn message(
        &mut self,
        store: &dyn Store,
        log: &Log,
        keks: &Keks,
        id: u64,
        now_ms: u64,
    ) -> Result<Option<Delivery>, RelayError> {
        let Some(hook) = self.hooks.get_mut(&id) else { return Ok(None) };
        let Some(after) = hook.debt.after else { return Ok(None) };
        let through = hook.debt.through.unwrap_or_else(|| log.head());
        let page = Page::behind(store, log, after, through, &hook.filter, HOOK_EVENTS)?;
        if page.events.is_empty() && !page.outdated {
            // Looked at and not wanted; another turn goes on from there.
            let (after, through) = (Some(page.cursor), Some(log.head()));
            let debt = if page.at_head {
                Debt { after: None, through: None, ..hook.debt }
            } else {
                Debt { after, through, ..hook.debt }
            };
            store::save(store, id, &debt)?;
            hook.debt = debt;
            return Ok(None);
        }
        let secret = keks.open(&binding(id, &hook.did), &hook.secret).map_err(|source| {
            // Not its fault, and nothing that the next event would mend.
            hook.debt.due_at = now_ms + longest_pause() * 1000;
            RelayError::Secret { id, source }
        })?;
        let request = message(&hook.url, id, after, &page, &secret, now_ms);
        self.flying.insert(id, page.cursor);
        Ok(Some(Delivery { id, request }))
    }

    /// Notes what has become of a message. Writes 1 row. `jitter` is any number.
    pub(crate) fn done(
        &mut self,
        store: &dyn Store,
        log: &Log,
        id: u64,
        outcome: Outcome,
        jitter: u32,
        now_ms: u64,
    ) -> Result<(), RelayError> {
        let (Some(through), Some(hook)) = (self.flying.remove(&id), self.hooks.get_mut(&id)) else {
            // It was deleted meanwhile.
            return Ok(());
        };
        let again =
            |failures: u32, seconds: u64| Debt { failures, due_at: now_ms + seconds * 1000, ..hook.debt };
        let failures = hook.debt.failures + 1;
        let debt = match outcome {
            Outcome::Answered { status: 200..=299, .. } => {
                // Where nothing more is wanted by now, the row says so at once.
                let rest = Page::behind(store, log, through, u64::MAX, &hook.filter, 1)?;
                let owed = !(rest.at_head && rest.events.is_empty());
                let (after, through) = (owed.then_some(through), owed.then(|| log.head()));
                Debt { after, through, due_at: now_ms, ..Debt::default() }
            }
            Outcome::Answered { status: 410, .. } => again(MAX_HOOK_FAILURES, 0),
            Outcome::Answered { retry_after: Some(seconds), .. } => {
                again(failures, seconds.clamp(1, longest_pause()))
            }
            Outcome::Answered { .. } | Outcome::Failed => again(failures, pause(failures, jitter)),
            Outcome::Postponed(seconds) => again(hook.debt.failures, seconds.clamp(1, longest_pause())),
        };
        let debt = if debt.failures < MAX_HOOK_FAILURES {
            debt
        } else {
            Debt { after: None, through: None, due_at: now_ms, ..debt }
        };
        store::save(store, id, &debt)?;
        hook.debt = debt;
        if debt.failures >= MAX_HOOK_FAILURES {
            self.index.remove(id);
        }
        Ok(())
    }

    /// When there will be something to do, milliseconds.
    pub(crate) fn next_due(&self, now_ms: u64) -> Option<u64> {
        let due = |(id, hook): (&u64, &Hook)| {
            hook.debt.after.filter(|_| !self.resting.contains(&hook.did))?;
            // What is due now is being seen to; if it is not, because the object has died, the alarm comes to it.
            let seen_to = self.flying.contains_key(id) || hook.debt.due_at <= now_ms;
            Some(if seen_to { now_ms + HOOK_BACKSTOP_MS } else { hook.debt.due_at })
        };
        self.hooks.iter().filter_map(due).min()
    }
}

/// Seconds until a message is sent again that was not taken for the `failures`th time: a fifth more or less, so that
/// receivers that went down together are not asked together.
fn pause(failures: u32, jitter: u32) -> u64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = HOOK_BACKOFF_SECONDS.get(index).copied().unwrap_or_else(longest_pause);
    seconds * (800 + u64::from(jitter % 401)) / 1000
}

fn longest_pause() -> u64 {
    HOOK_BACKOFF_SECONDS.last().copied().unwrap_or_default()
}

/// Whose secret is sealed, and what for.
fn binding(id: u64, did: &str) -> Vec<u8> {
    format!("webhook {id:x} {did}").into_bytes()
}

/// Names of webhooks are below 2^52, so that JavaScript holds them.
const ID_MASK: u64 = (1 << 52) - 1;
