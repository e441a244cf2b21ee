//! The relay of one host: the log, its subscribers and its watchdog, as one object.

mod peers;

use murmuration_firehose::{Event, Frame, Glance, Seq};
use murmuration_keys::seal::Keks;
use murmuration_platform::{Entropy, Store, StoreError};
use murmuration_syntax::{Did, Nsid};

use crate::RelayError;
use crate::crawl::Crawl;
use crate::feed::{Feed, Pump, Reads, Refusal, Sockets, SubscriberId, refusal};
use crate::filter::{Filter, Sight};
use crate::holdings::{self, Holdings};
use crate::hooks::{Delivery, HookView, Hooks, NewHook, Outcome, ResealedHooks};
use crate::limits::{KNOWN_PAIRS, PUMP_BACKSTOP_MS};
use crate::log::{Log, LogConfig, Scope};
use crate::page::Page;
use crate::peers::Peers;
use crate::published::{self, Published};
use crate::waiting::Waiting;
use crate::wire::{Ack, Push, Told};

pub use peers::TakenIn;

/// The relay of one host.
///
/// Every method is one synchronous turn. Dropped and opened again between any two of them, it goes on as if nothing had
/// been: what it must know is in the storage and in the attachments of its sockets ([`Relay::restore`]).
#[derive(Debug)]
pub struct Relay {
    log: Log,
    feed: Feed,
    crawl: Crawl,
    holdings: Holdings,
    waiting: Waiting,
    hooks: Hooks,
    peers: Peers,
    /// Whether there may be something for the public index that it was not poked for.
    poke: bool,
}

impl Relay {
    /// Opens the relay over its storage. `crawlers` are the base URLs of the relays that it asks to crawl the host.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn open(store: &dyn Store, config: LogConfig, crawlers: &[String]) -> Result<Self, RelayError> {
        let log = Log::open(store, config)?;
        Ok(Self {
            log,
            feed: Feed::default(),
            crawl: Crawl::open(store, crawlers)?,
            holdings: Holdings::new(KNOWN_PAIRS),
            waiting: Waiting::default(),
            hooks: Hooks::open(store)?,
            peers: Peers::open(store)?,
            // Of a poke that was lost with the object nobody knows.
            poke: true,
        })
    }

    /// Takes back a socket that was open while the object slept.
    pub fn restore(&mut self, id: SubscriberId, attachment: &str) -> bool {
        self.feed.restore(id, attachment)
    }

    /// Call once after the last [`Relay::restore`]: a host that starts with nobody reading frames asks to be crawled.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn start(&mut self, store: &dyn Store, now_ms: u64) -> Result<(), RelayError> {
        if self.feed.readers_of_frames() == 0 && self.log.head() > 0 {
            self.crawl.want(store, now_ms)?;
        }
        Ok(())
    }

    /// Numbers, stores and publishes what is new in a push. What webhooks are owed for it, and what it says of them, is stored with it.
    ///
    /// # Errors
    /// As [`Log::append`]; then no event was stored, and nothing was sent. After [`RelayError::Store`] the relay is to be opened anew.
    pub fn append(
        &mut self,
        store: &dyn Store,
        sockets: &dyn Sockets,
        push: &Push<'_>,
        now_ms: u64,
    ) -> Result<Ack, RelayError> {
        self.holdings.learn(store, push)?;
        let (hooks, crawl, did) = (&mut self.hooks, &mut self.crawl, push.did.as_str());
        let mut news = News::of(Scope::Own, &self.waiting);
        let appended = self.log.append_with(store, push, now_ms, |frames| {
            news.note(store, hooks, frames, now_ms)?;
            if hooks.has(did) {
                note_standing(store, hooks, did, frames)?;
            }
            Ok(crawl.want(store, now_ms)?)
        })?;
        self.tell(sockets, &appended.frames, news);
        Ok(appended.ack)
    }

    /// Tells new events, which are stored, to all who follow.
    fn tell(&mut self, sockets: &dyn Sockets, frames: &[(Seq, Vec<u8>)], news: News) {
        self.feed.publish(sockets, frames, news.of);
        for sight in news.sights {
            sockets.wake(&self.waiting.take(&sight));
        }
        self.poke = self.poke || news.poke;
    }

    /// Whether the public index is to be poked: it may have something to read. Answers so once.
    pub fn take_poke(&mut self) -> bool {
        std::mem::take(&mut self.poke)
    }

    /// What is for the public index behind a cursor.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn published(&self, store: &dyn Store, after: u64) -> Result<Published, RelayError> {
        Published::read(store, &self.log, after)
    }

    /// Whether another subscriber may come, to read this.
    #[must_use]
    pub fn has_room(&self, reads: &Reads) -> bool {
        self.feed.has_room(reads)
    }

    /// Begins a subscription on a socket that has just been accepted.
    pub fn subscribe(&mut self, sockets: &dyn Sockets, id: SubscriberId, cursor: Option<&str>, reads: Reads) {
        self.feed.add(&self.log, sockets, id, cursor, reads);
    }

    /// A reader has said something. Answers whether it is to be read: a reader of frames has nothing to say, and a reader of
    /// events that says too much is sent away.
    pub fn heed(&mut self, sockets: &dyn Sockets, id: SubscriberId, now_ms: u64) -> bool {
        self.feed.heed(sockets, id, now_ms)
    }

    /// A reader of events wants others from here on; or has asked for what cannot be, and is sent away. Other readers have
    /// nothing to say.
    pub fn want(&mut self, sockets: &dyn Sockets, id: SubscriberId, wanted: Result<Filter, Refusal>) {
        match wanted {
            _ if !self.feed.reads_events(id) => {}
            Ok(filter) => self.feed.want(sockets, id, filter),
            Err(refusal) => self.feed.end(sockets, id, &refusal),
        }
    }

    /// Why a subscription with this cursor cannot begin; see [`refusal`].
    #[must_use]
    pub fn refusal(&self, cursor: Option<&str>) -> Option<Refusal> {
        refusal(&self.log, cursor)
    }

    /// A page of the events that a filter wants, behind a cursor, or why there is none.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn page(
        &self,
        store: &dyn Store,
        cursor: Option<&str>,
        filter: &Filter,
        limit: usize,
    ) -> Result<Result<Page, Refusal>, RelayError> {
        Page::read(store, &self.log, cursor, filter, limit)
    }

    /// Has an answer wait for the next event that the filter wants: [`Sockets::wake`] lets it go. Answers whether there is
    /// room for it. What waits does not survive a sleep, and needs not to: the object does not sleep meanwhile.
    pub fn await_event(&mut self, id: SubscriberId, filter: Filter, until_ms: u64, now_ms: u64) -> bool {
        self.waiting.add(id, filter, until_ms, now_ms)
    }

    /// An answer does not wait any more.
    pub fn give_up(&mut self, id: SubscriberId) {
        self.waiting.remove(id);
    }

    /// A socket is gone.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn unsubscribe(
        &mut self,
        store: &dyn Store,
        id: SubscriberId,
        now_ms: u64,
    ) -> Result<(), RelayError> {
        let readers = self.feed.readers_of_frames();
        let known = self.feed.remove(id);
        if known && readers == 1 && self.feed.readers_of_frames() == 0 && self.log.head() > 0 {
            self.crawl.want(store, now_ms)?;
        }
        Ok(())
    }

    /// Serves those who are behind.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn pump(
        &mut self,
        store: &dyn Store,
        sockets: &dyn Sockets,
        now_ms: u64,
    ) -> Result<Pump, RelayError> {
        self.feed.pump(store, &self.log, sockets, now_ms)
    }

    /// Lets go of one partition that has expired, or else of accounts of peers that are forgotten. Call again while it answers
    /// `true`, in turns of their own.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn prune(&mut self, store: &dyn Store, now_ms: u64) -> Result<bool, RelayError> {
        Ok(self.log.prune(store, now_ms)? || self.peers.forget(store, now_ms)?)
    }

    /// The relays to send `com.atproto.sync.requestCrawl` to, now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_crawls(&mut self, store: &dyn Store, now_ms: u64) -> Result<Vec<String>, StoreError> {
        self.crawl.take_due(store, now_ms)
    }

    /// A relay has accepted the request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn crawl_accepted(&mut self, store: &dyn Store, url: &str) -> Result<(), StoreError> {
        self.crawl.asked(store, url)
    }

    /// When the object must wake by itself for what cannot wait for an expiry: as [`Relay::next_alarm`], but reads
    /// nothing. Enough where an alarm is set already.
    #[must_use]
    pub fn urgent_alarm(&self, now_ms: u64) -> Option<u64> {
        let pump = self.feed.is_behind().then_some(now_ms + PUMP_BACKSTOP_MS);
        let due = [self.crawl.next_due(), self.hooks.next_due(now_ms), self.peers.next_due(now_ms)];
        pump.into_iter().chain(due.into_iter().flatten()).min()
    }

    /// When the object must wake by itself, milliseconds; `None` if it need not.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn next_alarm(&self, store: &dyn Store, now_ms: u64) -> Result<Option<u64>, RelayError> {
        Ok(self.urgent_alarm(now_ms).into_iter().chain(self.log.expiry(store)?).min())
    }

    /// Deletes what an account said before its event `ord`, the one that says it is gone.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn purge(&mut self, store: &dyn Store, did: &str, ord: u64) -> Result<(), RelayError> {
        self.holdings.remove(store, did)?;
        self.hooks.purge(store, did)?;
        self.log.purge(store, did, ord)
    }

    /// Notes what an account holds beside what its events say: all of it, when its repository has become another one.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn told(&mut self, store: &dyn Store, told: &Told) -> Result<(), RelayError> {
        Ok(self.holdings.add(store, told.did.as_str(), told.collections.iter().map(Nsid::as_str))?)
    }

    /// The accounts that hold, or have held, records of a collection: at most `limit`, by DID, behind `after`.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn holders(
        &self,
        store: &dyn Store,
        collection: &Nsid,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, RelayError> {
        Ok(holdings::list(store, collection.as_str(), after, limit)?)
    }

    /// Makes a webhook: itself and its secret, which is shown this once. `None` where there are as many as there may be.
    /// Writes 1 row.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn add_hook(
        &mut self,
        store: &dyn Store,
        new: NewHook,
        keks: &Keks,
        entropy: &dyn Entropy,
        now_ms: u64,
    ) -> Result<Option<(HookView, String)>, RelayError> {
        Ok(self.hooks.add(store, new, keks, entropy, now_ms)?)
    }

    /// Seals secrets of webhooks under the newest key-encryption key, some a call. Writes 1 row for each.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn reseal_hooks(
        &mut self,
        store: &dyn Store,
        keks: &Keks,
        entropy: &dyn Entropy,
    ) -> Result<ResealedHooks, RelayError> {
        Ok(self.hooks.reseal(store, keks, entropy)?)
    }

    /// The webhooks of an account, oldest first.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn hooks(&self, store: &dyn Store, did: &Did) -> Result<Vec<HookView>, RelayError> {
        Ok(self.hooks.list(store, did)?)
    }

    /// Deletes a webhook of an account. Answers whether there was one. Writes 1 row.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn delete_hook(&mut self, store: &dyn Store, did: &Did, id: u64) -> Result<bool, RelayError> {
        Ok(self.hooks.delete(store, did, id)?)
    }

    /// Whether a webhook is to be sent something now.
    #[must_use]
    pub fn owes(&self, now_ms: u64) -> bool {
        self.hooks.owes(now_ms)
    }

    /// The messages to webhooks that are to be sent now. Each is on its way until [`Relay::delivered`].
    ///
    /// # Errors
    /// [`RelayError::Secret`] where one cannot be signed, which is tried again later; [`RelayError::Store`].
    pub fn take_deliveries(
        &mut self,
        store: &dyn Store,
        keks: &Keks,
        now_ms: u64,
    ) -> Result<Vec<Delivery>, RelayError> {
        self.hooks.take(store, &self.log, keks, now_ms)
    }

    /// What has become of a message to a webhook. `jitter` is any number. Writes 1 row.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn delivered(
        &mut self,
        store: &dyn Store,
        id: u64,
        outcome: Outcome,
        jitter: u32,
        now_ms: u64,
    ) -> Result<(), RelayError> {
        self.hooks.done(store, &self.log, id, outcome, jitter, now_ms)
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// The subscribers.
    #[must_use]
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }
}

/// New events, as far as they concern those who do not read the stream.
struct News {
    of: Scope,
    /// Whether somebody waits for one.
    awaited: bool,
    /// What those see of each who wait.
    sights: Vec<Sight>,
    /// Whether the public index is to be poked.
    poke: bool,
}

impl News {
    /// None yet.
    fn of(of: Scope, waiting: &Waiting) -> Self {
        Self { of, awaited: !waiting.is_empty(), sights: Vec::new(), poke: false }
    }

    /// Notes new events with the webhooks that want them: to be stored with the events, for they are told of but once.
    fn note(
        &mut self,
        store: &dyn Store,
        hooks: &mut Hooks,
        frames: &[(Seq, Vec<u8>)],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        for (seq, frame) in frames {
            self.poke = self.poke || published::concerns(store, self.of == Scope::Own, frame)?;
            if !self.awaited && hooks.is_idle() {
                continue;
            }
            if let Some(sight) = Sight::of_frame(frame) {
                hooks.owe(store, *seq, &sight, now_ms)?;
                if self.awaited {
                    self.sights.push(sight);
                }
            }
        }
        Ok(())
    }
}

/// Notes whether an account is active, if it says so: the webhooks of one that is not rest.
fn note_standing(
    store: &dyn Store,
    hooks: &mut Hooks,
    did: &str,
    frames: &[(Seq, Vec<u8>)],
) -> Result<(), StoreError> {
    for (_, frame) in frames {
        // Most frames are commits, whose decoding is not for nothing.
        if Glance::of(frame).is_ok_and(|glance| glance.collections.is_none())
            && let Ok(Frame::Event { event: Event::Account(event), .. }) = Frame::decode(frame)
        {
            hooks.rest(store, did, event.inactive.is_some())?;
        }
    }
    Ok(())
}
