//! News: what happens to an agent's messages, in order. A message has come, or there is something to say of one that was sent.
//!
//! Each piece has a number: the microsecond in which it happened, or the next one that is free. A message that came has it as
//! its place in the inbox, and a receipt as its time, so that a number costs no row; and whoever knows a number can be told all
//! that came after it. Of a receipt that has changed several times the last is told.
//!
//! What has been told lately need not be looked for: [`Comms::fresh`] answers with what has happened since it was asked last. So a
//! reader who has been told everything is told the rest in the very turn that stores it.

use std::collections::BTreeMap;

use murmuration_platform::StoreError;
use murmuration_syntax::Tid;

use crate::comms::{Comms, Memory, int, uint};
use crate::inbox::{corrupt, item, item_columns};
use crate::limits::MAX_NEWS_BYTES;
use crate::receipt::unpack;
use crate::{CommsError, DeliveryState, Item, Receipt};

/// Reads the rows that it answers with.
const ITEMS: &str =
    concat!("SELECT ", item_columns!(), " FROM inbox WHERE ord > ?1 ORDER BY ord LIMIT ?2 + 0");
/// Reads 1 row.
const ITEM: &str = concat!("SELECT ", item_columns!(), " FROM inbox WHERE ord = ?1");
/// Reads 1 row.
const LAST_ITEM: &str = "SELECT coalesce(max(ord), 0) FROM inbox";
/// Reads all that was sent: who asks for what has happened after a number asks seldom, and an index would be a row written for each
/// message.
const RECEIPTS: &str = "SELECT id, deliveries FROM sent";
/// Reads a few rows.
const LATELY: &str = "SELECT deliveries FROM sent ORDER BY id DESC LIMIT 16";

/// A piece of news.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// Its number.
    pub number: u64,
    /// What has happened.
    pub what: Happened,
}

/// What has happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happened {
    /// A message has come.
    Came(Item),
    /// There is something to say of a message that was sent.
    Told {
        /// The message.
        id: Tid,
        /// How it stands with one of its recipients.
        receipt: Receipt,
    },
}

/// News behind a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewsPage {
    /// In order.
    pub news: Vec<News>,
    /// Whether this is all.
    pub complete: bool,
}

/// What has happened and was not asked for yet.
#[derive(Debug)]
pub(crate) enum Fresh {
    Came(u64),
    Told(Tid, Receipt),
}

impl Comms {
    /// The number of the last that has happened, or `now`, if that is more: whatever happens from here on has a higher one.
    ///
    /// # Errors
    /// The storage's.
    pub fn latest(&self, now: u64) -> Result<u64, CommsError> {
        let mut memory = self.memory()?;
        memory.last_number = memory.last_number.max(now);
        Ok(memory.last_number)
    }

    /// What has happened since this was asked last, of what this object remembers: no more than [`MAX_FRESH`] pieces.
    ///
    /// # Errors
    /// The storage's.
    pub fn fresh(&self, now: u64) -> Result<Vec<News>, CommsError> {
        let fresh: Vec<_> = self.fresh.borrow_mut().drain(..).collect();
        let mut news = Vec::with_capacity(fresh.len());
        for piece in fresh {
            news.push(match piece {
                Fresh::Came(number) => {
                    let row = self.store.query(ITEM, &[int(number)])?.pop();
                    let item = item(&mut row.ok_or_else(corrupt)?, 0, now)?;
                    News { number, what: Happened::Came(item) }
                }
                Fresh::Told(id, receipt) => told(id, receipt),
            });
        }
        Ok(news)
    }

    /// What has happened behind a number, at most `limit` pieces of it and about [`MAX_NEWS_BYTES`].
    ///
    /// Reads all that was sent.
    ///
    /// # Errors
    /// The storage's.
    pub fn news(&self, after: u64, limit: usize, now: u64) -> Result<NewsPage, CommsError> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        let rows = self.store.query_within(ITEMS, &[int(after), int(most)], MAX_NEWS_BYTES)?;
        let mut news = BTreeMap::new();
        for mut row in rows {
            let item = item(&mut row, 0, now)?;
            let number = uint(item.ord);
            news.insert((number, None), News { number, what: Happened::Came(item) });
        }
        let last = uint(crate::comms::one(&*self.store, LAST_ITEM)?.int(0)?);
        // Up to where everything is known.
        let mut end = match news.last_key_value() {
            Some(((number, _), _)) if *number < last => *number,
            _ => u64::MAX,
        };
        let mut receipts = BTreeMap::new();
        for mut row in self.store.query(RECEIPTS, &[])? {
            let id = Tid::parse(&row.text(0)?).map_err(|_| corrupt())?;
            for receipt in unpack(&row.blob(1)?)? {
                if receipt.at > after && receipt.at <= end && is_told(&receipt) {
                    receipts.insert((receipt.at, Some((id, receipt.to.clone()))), told(id, receipt));
                }
            }
            while receipts.len() > limit {
                let cut = receipts.pop_last().map_or(u64::MAX, |((at, _), _)| at);
                end = end.min(cut.saturating_sub(1));
            }
        }
        news.append(&mut receipts);
        let mut page = NewsPage { news: Vec::new(), complete: end == u64::MAX };
        for ((number, _), piece) in news {
            if number > end || page.news.len() >= limit {
                page.complete = false;
                break;
            }
            page.news.push(piece);
        }
        Ok(page)
    }

    /// Notes that something has happened.
    pub(crate) fn note(&self, piece: Fresh) {
        let mut fresh = self.fresh.borrow_mut();
        if fresh.len() >= MAX_FRESH {
            fresh.pop_front();
        }
        fresh.push_back(piece);
    }

    /// The number of the last that is known to have happened, when nothing is remembered: of receipts those of the latest messages
    /// are looked at. A later one counts only until the clock has passed it.
    pub(crate) fn last_number(&self) -> Result<u64, StoreError> {
        let mut last = uint(crate::comms::one(&*self.store, LAST_ITEM)?.int(0)?);
        for mut row in self.store.query(LATELY, &[])? {
            last = unpack(&row.blob(0)?)?.iter().map(|receipt| receipt.at).fold(last, u64::max);
        }
        Ok(last)
    }
}

impl Memory {
    /// The number of what happens now.
    pub(crate) fn number(&mut self, now: u64) -> u64 {
        self.last_number = now.max(self.last_number.saturating_add(1));
        self.last_number
    }
}

fn told(id: Tid, receipt: Receipt) -> News {
    News { number: receipt.at, what: Happened::Told { id, receipt } }
}

/// Whether there is anything to say: nobody needs to hear that a message is about to be tried for the first time.
fn is_told(receipt: &Receipt) -> bool {
    receipt.attempts > 0 || receipt.state != DeliveryState::Queued
}

/// Pieces of news that are remembered until they are asked for. A call brings no more than a message has recipients.
pub const MAX_FRESH: usize = 256;
