//! The outside of an account that ends: a real relay, and a shelf of blobs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::ready;
use std::rc::Rc;

use murmuration_account::Account;
use murmuration_firehose::{Event, Frame};
use murmuration_platform::sqlite::SqliteStore;
use murmuration_relay::wire::{Item, Push};
use murmuration_relay::{LogConfig, Message, Relay, Scope, Sockets, SubscriberId};
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::ending::Remains;
use murmuration_xrpc::host::Task;

use super::Faults;
use super::bucket::Bucket;

/// What lies outside of the objects.
pub struct Outside {
    pub blobs: RefCell<BTreeSet<String>>,
    /// Blobs whose bytes cannot be deleted.
    pub stuck: RefCell<BTreeSet<String>>,
    store: SqliteStore,
    relay: RefCell<Relay>,
    faults: Rc<Faults>,
}

impl Outside {
    pub fn new(faults: Rc<Faults>) -> Self {
        let store = SqliteStore::open().unwrap();
        let relay = Relay::open(&store, LogConfig::default(), &[]).unwrap();
        Self {
            blobs: RefCell::default(),
            stuck: RefCell::default(),
            store,
            relay: RefCell::new(relay),
            faults,
        }
    }

    /// What a reader of the whole stream is told of an account.
    pub fn told(&self, did: &Did) -> Vec<Event> {
        let batch = self.relay.borrow().log().read(&self.store, 0, Scope::Own).unwrap();
        assert!(batch.at_head);
        let events = batch.frames.iter().map(|(_, frame)| match Frame::decode(frame).unwrap() {
            Frame::Event { event, .. } => event,
            other => panic!("{other:?}"),
        });
        events.filter(|event| event.did() == did).collect()
    }

    /// Pushes an account's next turn, if there is one. Fails as the network does.
    pub fn push(&self, account: &Account) -> Result<bool, XrpcError> {
        let Some(push) = account.next_push()? else { return Ok(false) };
        let did = account.did()?;
        let items = (push.ord..).zip(&push.drafts).map(|(ord, draft)| Item { ord, made_at: 0, draft });
        let turn = Push { did, fresh: push.fresh, items: items.collect() };
        let taken =
            self.faults.call(|| self.relay.borrow_mut().append(&self.store, &Nobody, &turn, 1).unwrap());
        taken.ok_or_else(|| XrpcError::internal("the relay does not answer"))?;
        account.events_taken(push.ord + u64::try_from(push.drafts.len()).unwrap())?;
        Ok(true)
    }
}

/// The remains of one account.
pub struct Left<'a> {
    pub outside: &'a Outside,
    pub bucket: &'a Bucket,
    pub account: &'a Account,
    pub wiped: Cell<bool>,
}

impl Left<'_> {
    fn done(&self, act: impl FnOnce()) -> Task<'_, Result<(), XrpcError>> {
        let answer = self.outside.faults.call(act);
        Box::pin(ready(answer.ok_or_else(|| XrpcError::internal("no answer"))))
    }
}

impl Remains for Left<'_> {
    fn announce(&self) -> Task<'_, Result<(), XrpcError>> {
        let outcome = loop {
            match self.outside.push(self.account) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        Box::pin(ready(outcome))
    }

    fn purge<'a>(&'a self, did: &'a Did, before: u64) -> Task<'a, Result<(), XrpcError>> {
        let outside = self.outside;
        assert!(
            matches!(outside.told(did).last(), Some(Event::Account(event)) if event.inactive.is_some()),
            "what an account said is purged before it is said that the account is gone"
        );
        self.done(|| outside.relay.borrow_mut().purge(&outside.store, did.as_str(), before).unwrap())
    }

    fn delete_blob<'a>(&'a self, key: &'a str) -> Task<'a, Result<(), XrpcError>> {
        if self.outside.stuck.borrow().contains(key) {
            return Box::pin(ready(Err(XrpcError::internal("the bytes stay"))));
        }
        self.done(|| {
            self.outside.blobs.borrow_mut().remove(key);
            self.bucket.bytes.borrow_mut().remove(key);
        })
    }

    fn wipe(&self) -> Task<'_, Result<(), XrpcError>> {
        assert!(self.account.left_blobs(None).unwrap().is_empty(), "the books go before the bytes");
        assert!(self.account.left_memory_blobs("").unwrap().is_empty(), "the books go before the bytes");
        self.done(|| self.wiped.set(true))
    }
}

/// Nobody reads along.
struct Nobody;

impl Sockets for Nobody {
    fn buffered(&self, _: SubscriberId) -> u64 {
        0
    }
    fn send(&self, _: &[SubscriberId], _: Message<'_>) {}
    fn wake(&self, _: &[SubscriberId]) {}
    fn keep(&self, _: SubscriberId, _: &str) {}
    fn close(&self, _: SubscriberId, _: u16, _: &str) {}
}
