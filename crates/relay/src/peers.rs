//! Peers: other hosts, whose events are merged into the stream of `agent.relay`.
//!
//! ```text
//!   the alarm ─► Visit ─► a socket to the peer, from its cursor ─► Session ─► frames, so many and no more
//!                                                                               │
//!   identities, by the host's resolver ◄── wants ── judge ◄─────────────────────┘  a few events a turn
//!                                                     │ verdicts
//!                                                     ▼
//!             one transaction: a row of the log, the accounts' heads, the peer's cursor ─► readers of events
//! ```
//!
//! A peer is *visited*: its stream is read from where the last visit ended, for some seconds at most, and let go. An object that
//! holds a socket of its own making does not sleep, so none is held.
//!
//! Nothing that a peer says is believed because it says so. An event counts when the account's DID document names that peer as
//! its host; a commit and a `#sync` when the account's key has signed it and it follows from the last one; see
//! [`judge`]. What is believed is stored with the cursor behind it, in one transaction, so that no crash repeats or loses it. What is
//! not is passed over, and never asked for again.
//!
//! An account whose commits do not follow from each other is *out of step*: its commits are not told until a `#sync` mends that,
//! its own or one made of the latest commit that its host shows when it is asked.
//!
//! An account of which nothing was heard for long is forgotten; see [`sweep`].
//!
//! What a peer can cost is bounded on every side: frames, bytes and seconds of a visit, bytes of a day, look-ups, accounts, and the
//! number of peers, which only the operator adds.

mod account;
mod frame;
mod host;
mod judge;
mod session;
mod store;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use murmuration_platform::{Store, StoreError, transaction};
use murmuration_syntax::Did;

use crate::limits::{
    MAX_PEER_ACCOUNTS, MAX_PEERS, MAX_VERIFIED_ACCOUNTS, PEER_BACKOFF_SECONDS, PEER_BUSY_PAUSE_MS,
    PEER_MAX_PAUSE_MS, PEER_PAUSE_MS, PEER_SESSION_BYTES, PEER_SLACK_MS, PEER_SWEEP_MS, PEERS_DAY_BYTES,
};

pub(crate) use account::mends;
pub use host::PeerHost;
pub use judge::{End, Found, Identities, Identity, Want};
pub(crate) use judge::{Judge, Verdicts};
pub use session::{Haul, Session};
use sweep::Sweep;

/// How far a peer is trusted. Whatever it is, each event is verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust {
    /// The events of its accounts are merged, up to the number of accounts that a stranger may bring.
    Open,
    /// Those of certain accounts.
    Allowlist,
    /// As [`Trust::Open`]; the operator knows the host, and it may bring many accounts.
    Verified,
    /// It is not visited.
    Blocked,
}

impl Trust {
    /// The name in the lexicon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Allowlist => "allowlist",
            Self::Verified => "verified",
            Self::Blocked => "blocked",
        }
    }

    /// Reads the lexicon's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Allowlist, Self::Verified, Self::Blocked].into_iter().find(|t| t.name() == name)
    }
}

/// A peer as the operator wants it.
#[derive(Clone, Debug)]
pub struct NewPeer {
    /// The host.
    pub host: PeerHost,
    /// Who it says that it is.
    pub did: Option<Did>,
    /// How far it is trusted.
    pub trust: Trust,
    /// The accounts whose events are merged, where it is by a list.
    pub allow: Vec<Did>,
}

/// A peer as the operator sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerView {
    /// The host.
    pub host: String,
    /// Who it says that it is.
    pub did: Option<String>,
    /// How far it is trusted.
    pub trust: Trust,
    /// The accounts whose events are merged, where it is by a list.
    pub allow: Vec<String>,
    /// How far its stream was read.
    pub cursor: u64,
    /// Accounts that it has brought.
    pub accounts: u64,
    /// Visits that went wrong, one after another.
    pub failures: u32,
    /// How the last one did.
    pub problem: Option<String>,
    /// When something of it was last read, milliseconds; 0 for never.
    pub news_at: u64,
}

/// A peer whose turn it is to be visited.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The peer.
    pub host: PeerHost,
    /// Where to begin in its stream.
    pub cursor: u64,
    /// Bytes that may be read of it.
    pub max_bytes: usize,
}

/// What a visit has come to.
#[derive(Clone, Debug, Default)]
pub struct Visited {
    /// Bytes that were read.
    pub bytes: usize,
    /// Whether there is more to be read at once.
    pub more: bool,
    /// What went wrong.
    pub problem: Option<String>,
}

/// The peers of a host.
#[derive(Debug)]
pub(crate) struct Peers {
    peers: BTreeMap<String, Peer>,
    /// The one that is being visited: one at a time.
    visiting: Option<String>,
    /// How far their accounts were looked through for those to be forgotten.
    sweep: Sweep,
}

/// A peer; the columns of its row, and what is of no use after a sleep.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) host: PeerHost,
    did: Option<String>,
    trust: Trust,
    allow: BTreeSet<String>,
    pub(crate) cursor: u64,
    accounts: u64,
    failures: u32,
    problem: Option<String>,
    due_at: u64,
    news_at: u64,
    day_at: u64,
    bytes: u64,
    /// Bytes that were counted since the last visit began.
    counted: u64,
    /// Whether its row is behind.
    dirty: bool,
}

impl Peer {
    fn new(host: PeerHost) -> Self {
        Self {
            host,
            did: None,
            trust: Trust::Blocked,
            allow: BTreeSet::new(),
            cursor: 0,
            accounts: 0,
            failures: 0,
            problem: None,
            due_at: 0,
            news_at: 0,
            day_at: 0,
            bytes: 0,
            counted: 0,
            dirty: false,
        }
    }

    /// Whether the events of an account are merged, if they are true.
    pub(crate) fn admits(&self, did: &Did) -> bool {
        match self.trust {
            Trust::Open | Trust::Verified => true,
            Trust::Allowlist => self.allow.contains(did.as_str()),
            Trust::Blocked => false,
        }
    }

    /// How many more accounts it may bring.
    pub(crate) fn room(&self) -> u64 {
        let limit = if self.trust == Trust::Open { MAX_PEER_ACCOUNTS } else { MAX_VERIFIED_ACCOUNTS };
        limit.saturating_sub(self.accounts)
    }

    /// Counts what was read of it.
    fn count(&mut self, bytes: u64, now_ms: u64) {
        if bytes > 0 {
            self.bytes = self.bytes.saturating_add(bytes);
            self.counted = self.counted.saturating_add(bytes);
            self.news_at = now_ms;
        }
    }

    fn view(&self) -> PeerView {
        PeerView {
            host: self.host.as_str().to_owned(),
            did: self.did.clone(),
            trust: self.trust,
            allow: self.allow.iter().cloned().collect(),
            cursor: self.cursor,
            accounts: self.accounts,
            failures: self.failures,
            problem: self.problem.clone(),
            news_at: self.news_at,
        }
    }
}

impl Peers {
    /// Reads a row a peer.
    pub(crate) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let peers = store::all(store)?.into_iter().map(|peer| (peer.host.as_str().to_owned(), peer));
        Ok(Self { peers: peers.collect(), visiting: None, sweep: Sweep::open(store)? })
    }

    /// Adds a peer, or changes what is thought of one. It is visited at once, and goes on where it was. `None` where there are as
    /// many as there may be. Writes 1 row.
    pub(crate) fn put(&mut self, store: &dyn Store, new: NewPeer) -> Result<Option<PeerView>, StoreError> {
        let name = new.host.as_str().to_owned();
        let known = self.peers.get(&name).cloned();
        if known.is_none() && self.peers.len() >= MAX_PEERS {
            return Ok(None);
        }
        let mut peer = known.unwrap_or_else(|| Peer::new(new.host));
        peer.did = new.did.map(Did::into_string).or(peer.did);
        peer.trust = new.trust;
        peer.allow = new.allow.into_iter().map(Did::into_string).collect();
        (peer.failures, peer.problem, peer.due_at) = (0, None, 0);
        store::save(store, &peer)?;
        let view = peer.view();
        self.peers.insert(name, peer);
        Ok(Some(view))
    }

    /// At most so many peers, by name, behind one.
    pub(crate) fn list(&self, after: &str, limit: usize) -> Vec<PeerView> {
        let behind = self.peers.iter().filter(|(host, _)| host.as_str() > after);
        behind.take(limit).map(|(_, peer)| peer.view()).collect()
    }

    /// A peer; `None` if it is none.
    pub(crate) fn get(&self, host: &PeerHost) -> Option<&Peer> {
        self.peers.get(host.as_str())
    }

    /// The peer whose turn it is, if nobody is being visited. It is until [`Peers::visited`].
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Visit> {
        if self.visiting.is_some() {
            return None;
        }
        let share = PEERS_DAY_BYTES / self.followed().count().max(1).try_into().unwrap_or(u64::MAX);
        // A clock that stepped far back must not silence a peer for ever.
        let far = now_ms + 2 * longest_pause_ms().max(DAY_MS);
        let is_due = |peer: &&mut Peer| peer.due_at <= now_ms + PEER_SLACK_MS || peer.due_at > far;
        let followed = self.peers.values_mut().filter(|peer| peer.trust != Trust::Blocked);
        let mut due: Vec<_> = followed.filter(is_due).collect();
        due.sort_by_key(|peer| peer.due_at);
        for peer in due {
            if now_ms.checked_sub(peer.day_at).is_none_or(|age| age >= DAY_MS) {
                (peer.day_at, peer.bytes) = (now_ms, 0);
            }
            let left = share.saturating_sub(peer.bytes);
            if left == 0 {
                peer.due_at = peer.day_at + DAY_MS;
                continue;
            }
            peer.counted = 0;
            self.visiting = Some(peer.host.as_str().to_owned());
            let max_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(PEER_SESSION_BYTES);
            return Some(Visit { host: peer.host.clone(), cursor: peer.cursor, max_bytes });
        }
        None
    }

    /// Those that are visited at all.
    fn followed(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.trust != Trust::Blocked)
    }

    /// A peer as it is after so many bytes of it were judged.
    pub(crate) fn moved(peer: &Peer, verdicts: &Verdicts, bytes: usize, now_ms: u64) -> Peer {
        let mut peer = peer.clone();
        // A cursor behind which nothing is stored can wait for the end of the visit.
        peer.dirty = !verdicts.is_stored() && (peer.dirty || bytes > 0);
        peer.cursor = verdicts.cursor;
        peer.accounts += verdicts.brought();
        peer.count(bytes.try_into().unwrap_or(u64::MAX), now_ms);
        peer
    }

    /// The peers whose accounts have moved to another, as they are then.
    pub(crate) fn left(&self, verdicts: &Verdicts) -> Vec<Peer> {
        let mut left = BTreeMap::new();
        for host in verdicts.left() {
            if let Some(peer) = left.remove(host).or_else(|| self.peers.get(host).cloned()) {
                left.insert(host, Peer { accounts: peer.accounts.saturating_sub(1), ..peer });
            }
        }
        left.into_values().collect()
    }

    /// Writes peers and what was judged: a row for each account that has changed, and one for each peer. To be called within
    /// the transaction that stores what is told; memory follows with [`Peers::keep`].
    pub(crate) fn write(
        store: &dyn Store,
        peers: &[Peer],
        verdicts: &Verdicts,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        for (did, account) in verdicts.changed() {
            account.save(store, did, now_ms)?;
        }
        peers.iter().try_for_each(|peer| store::save(store, peer))
    }

    /// Remembers a peer as it was written.
    pub(crate) fn keep(&mut self, peer: Peer) {
        self.peers.insert(peer.host.as_str().to_owned(), peer);
    }

    /// A visit has ended. Writes 1 row if it went wrong, or brought something with which no row was written yet.
    pub(crate) fn visited(
        &mut self,
        store: &dyn Store,
        host: &PeerHost,
        visited: Visited,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.visiting = None;
        let Some(peer) = self.peers.get_mut(host.as_str()) else { return Ok(()) };
        let mut new = peer.clone();
        let read = u64::try_from(visited.bytes).unwrap_or(u64::MAX);
        let rest = read.saturating_sub(new.counted);
        new.count(rest, now_ms);
        new.dirty |= rest > 0;
        let pause_ms = if visited.problem.is_some() {
            new.dirty = true;
            new.failures = new.failures.saturating_add(1);
            pause_seconds(new.failures) * 1000
        } else {
            new.dirty |= new.failures > 0;
            new.failures = 0;
            // Half as long again as it has been silent, which needs no memory.
            let idle = (now_ms.saturating_sub(new.news_at) / 2).clamp(PEER_PAUSE_MS, PEER_MAX_PAUSE_MS);
            if visited.more { PEER_BUSY_PAUSE_MS } else { idle }
        };
        let problem = visited.problem.map(|problem| problem.chars().take(MAX_PROBLEM_CHARS).collect());
        (new.problem, new.due_at) = (problem, now_ms + pause_ms);
        if new.dirty {
            new.dirty = false;
            store::save(store, &new)?;
        }
        *peer = new;
        Ok(())
    }

    /// Forgets some of the accounts of which nothing was heard for long, if it is time. Answers whether there are more to be looked
    /// at: call again then, in a turn of its own.
    ///
    /// Writes 1 row for each account, or 2 if it was out of step, 1 for each peer whose it was, and 1 for the turn.
    pub(crate) fn forget(&mut self, store: &dyn Store, now_ms: u64) -> Result<bool, StoreError> {
        if self.next_sweep(now_ms).is_none_or(|due| due > now_ms) {
            return Ok(false);
        }
        let (peers, forgotten) = transaction(store, || {
            let forgotten = self.sweep.run(store, &self.peers, now_ms)?;
            let mut peers = Vec::new();
            for (host, count) in &forgotten.of {
                let Some(mut peer) = self.peers.get(host).cloned() else { continue };
                peer.accounts = peer.accounts.saturating_sub(*count);
                store::save(store, &peer)?;
                peers.push(peer);
            }
            Ok::<_, StoreError>((peers, forgotten))
        })?;
        peers.into_iter().for_each(|peer| self.keep(peer));
        self.sweep = forgotten.sweep;
        Ok(forgotten.more)
    }

    /// When accounts are to be looked through, milliseconds; `None` where no peer has brought any.
    fn next_sweep(&self, now_ms: u64) -> Option<u64> {
        let has_accounts = self.peers.values().any(|peer| peer.accounts > 0);
        // As above, for a clock that stepped back.
        let due = if self.sweep.due_at > now_ms + 2 * PEER_SWEEP_MS { now_ms } else { self.sweep.due_at };
        has_accounts.then_some(due.max(now_ms))
    }

    /// When something is to be done about peers next, milliseconds: a visit, or their accounts. While one is being visited, the time
    /// that it would be if this visit never ended.
    pub(crate) fn next_due(&self, now_ms: u64) -> Option<u64> {
        let visit = match self.visiting {
            Some(_) => Some(now_ms + PEER_MAX_PAUSE_MS),
            None => self.followed().map(|peer| peer.due_at.max(now_ms)).min(),
        };
        visit.into_iter().chain(self.next_sweep(now_ms)).min()
    }
}

/// Seconds until a peer is visited again of which so many visits have gone wrong.
fn pause_seconds(failures: u32) -> u64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    PEER_BACKOFF_SECONDS.get(index).copied().unwrap_or_else(|| longest_pause_ms() / 1000)
}

fn longest_pause_ms() -> u64 {
    PEER_BACKOFF_SECONDS.last().copied().unwrap_or_default() * 1000
}

/// Characters of what is kept of how a visit went wrong: strangers have a say in it.
const MAX_PROBLEM_CHARS: usize = 200;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;
