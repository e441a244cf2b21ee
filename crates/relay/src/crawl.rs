//! Asking relays to crawl this host, and asking again.
//!
//! A relay that has lost a host does not come back by itself. So each configured relay is asked after new events, and
//! when the host starts with nobody connected: at once, if the last time is [`CRAWL_INTERVAL_MS`] ago, else as soon as it
//! is. A request that failed is made again after the same interval. What is due survives in the storage, one row a relay,
//! written two or three times an interval at the most.

use murmuration_platform::{OutboundRequest, Param, Store, StoreError, Verb};

use crate::limits::{CRAWL_ANSWER_BYTES, CRAWL_INTERVAL_MS, CRAWL_TIMEOUT_MS};
use crate::partition::int;

/// Reads a row a relay.
const SELECT_CRAWLS: &str = "SELECT relay, asked_at, due_at FROM crawl";
/// Writes 1 row.
const UPSERT_CRAWL: &str = "INSERT INTO crawl (relay, asked_at, due_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (relay) DO UPDATE SET asked_at = excluded.asked_at, due_at = excluded.due_at";

/// The relays that this host wants to be crawled by.
#[derive(Debug)]
pub struct Crawl {
    relays: Vec<Relay>,
}

#[derive(Debug)]
struct Relay {
    url: String,
    /// Milliseconds; 0 for never.
    asked_at: u64,
    /// Milliseconds; `None` when there is nothing to ask for.
    due_at: Option<u64>,
}

impl Crawl {
    /// Reads when each of these relays was asked. With none configured, reads nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(store: &dyn Store, urls: &[String]) -> Result<Self, StoreError> {
        let mut relays: Vec<Relay> =
            urls.iter().map(|url| Relay { url: url.clone(), asked_at: 0, due_at: None }).collect();
        if relays.is_empty() {
            return Ok(Self { relays });
        }
        for mut row in store.query(SELECT_CRAWLS, &[])? {
            let url = row.text(0)?;
            if let Some(relay) = relays.iter_mut().find(|relay| relay.url == url) {
                relay.asked_at = u64::try_from(row.int(1)?).unwrap_or(0);
                relay.due_at = row.opt_int(2)?.map(|due| u64::try_from(due).unwrap_or(0));
            }
        }
        Ok(Self { relays })
    }

    /// There is something to crawl: new events, or a start with nobody connected.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn want(&mut self, store: &dyn Store, now_ms: u64) -> Result<(), StoreError> {
        for relay in self.relays.iter_mut().filter(|relay| relay.due_at.is_none()) {
            let due = relay.earliest(now_ms);
            // What is due now is asked for in this very turn or the next, which writes the row.
            if due > now_ms {
                relay.save(store, relay.asked_at, Some(due))?;
            }
            relay.due_at = Some(due);
        }
        Ok(())
    }

    /// When the next relay is to be asked.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.relays.iter().filter_map(|relay| relay.due_at).min()
    }

    /// Takes the relays that are to be asked now. Each counts as asked from here on, and is asked again in an interval
    /// unless [`Crawl::asked`] says that it has answered.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_due(&mut self, store: &dyn Store, now_ms: u64) -> Result<Vec<String>, StoreError> {
        let mut due = Vec::new();
        for relay in &mut self.relays {
            // A clock that stepped far back must not silence the host for ever.
            let is_due = relay.due_at.is_some_and(|at| at <= now_ms || at > now_ms + 2 * CRAWL_INTERVAL_MS);
            if is_due {
                let again = now_ms + CRAWL_INTERVAL_MS;
                relay.save(store, now_ms, Some(again))?;
                (relay.asked_at, relay.due_at) = (now_ms, Some(again));
                due.push(relay.url.clone());
            }
        }
        Ok(due)
    }

    /// A relay has accepted the request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn asked(&mut self, store: &dyn Store, url: &str) -> Result<(), StoreError> {
        for relay in self.relays.iter_mut().filter(|relay| relay.url == url) {
            relay.save(store, relay.asked_at, None)?;
            relay.due_at = None;
        }
        Ok(())
    }
}

/// The request itself: `com.atproto.sync.requestCrawl` of this host, sent to the relay at `url`. Any 2xx accepts it.
#[must_use]
pub fn crawl_request(url: &str, hostname: &str) -> OutboundRequest {
    OutboundRequest {
        verb: Verb::Post,
        url: format!("{}/xrpc/com.atproto.sync.requestCrawl", url.trim_end_matches('/')),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        // A host name has no character that JSON would escape.
        body: format!(r#"{{"hostname":"{hostname}"}}"#).into_bytes(),
        max_bytes: CRAWL_ANSWER_BYTES,
        timeout_ms: CRAWL_TIMEOUT_MS,
    }
}

impl Relay {
    fn earliest(&self, now_ms: u64) -> u64 {
        if self.asked_at == 0 || self.asked_at > now_ms {
            return now_ms;
        }
        now_ms.max(self.asked_at + CRAWL_INTERVAL_MS)
    }

    fn save(&self, store: &dyn Store, asked_at: u64, due_at: Option<u64>) -> Result<(), StoreError> {
        let due_at = due_at.map(int).transpose()?.map_or(Param::Null, Param::Int);
        store.query(UPSERT_CRAWL, &[Param::Text(&self.url), Param::Int(int(asked_at)?), due_at]).map(drop)
    }
}
