//! News: what happens to an agent's messages, in order. A message has come, or there is something to say of one that was sent.
//!
//! Each piece has a number: the microsecond in which it happened, or the next one that is free. A message that came has it as
//! its place in the inbox, and a receipt as its time, so that a number costs no row; and whoever knows a number can be told all
//! that came after it. Of a receipt that has changed several times the last is told.
//!
//! Most receipts come soon after the message was sent, and are found behind its name, which says when that was. Those that come later
//! have a row with their number ([`Comms::note_late`]). So a page of news reads about as much as it tells.
//!
//! What has been told lately need not be looked for: [`Comms::fresh`] answers with what has happened since it was asked last. So a
//! reader who has been told everything is told the rest in the very turn that stores it.

use std::collections::BTreeMap;

use murmuration_platform::{Param, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::comms::{Comms, Memory, int, uint};
use crate::inbox::{item, item_columns};
use crate::limits::{LATE_MICROS, MAX_NEWS_BYTES, MAX_NEWS_SCAN};
use crate::outbox::id;
use crate::receipt::unpack;
use crate::{CommsError, DeliveryState, Item, Receipt};

/// Reads the rows that it answers with.
const ITEMS: &str =
    concat!("SELECT ", item_columns!(), " FROM inbox WHERE ord > ?1 ORDER BY ord LIMIT ?2 + 0");
/// Reads 1 row.
const ITEM: &str = concat!("SELECT ", item_columns!(), " FROM inbox WHERE ord = ?1");
/// Reads 1 row.
const LAST_ITEM: &str = "SELECT coalesce(max(ord), 0) FROM inbox";
/// Reads the rows that it answers with.
const SOON: &str = "SELECT id, deliveries FROM sent WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
/// Reads two rows for each that it answers with.
const LATE: &str = "SELECT late_receipt.id, deliveries, late_receipt.at FROM late_receipt \
     JOIN sent ON sent.id = late_receipt.id WHERE late_receipt.at > ?1 ORDER BY late_receipt.at LIMIT ?2 + 0";
/// Writes 1 row.
const INSERT_LATE: &str = "INSERT INTO late_receipt (at, id) VALUES (?1, ?2)";
/// Writes 1 row.
const DELETE_LATE: &str = "DELETE FROM late_receipt WHERE at = ?1 AND id = ?2";
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
    /// Up to which number this is all there is. Behind it goes on who is told more.
    pub through: u64,
    /// Whether nothing comes behind it.
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
                    // What nobody has asked about for so long that it was dropped is no news.
                    let Some(mut row) = self.store.query(ITEM, &[int(number)])?.pop() else { continue };
                    News { number, what: Happened::Came(item(&mut row, 0, now)?) }
                }
                Fresh::Told(id, receipt) => told(id, receipt),
            });
        }
        Ok(news)
    }

    /// The first number from which on nothing that has happened was dropped.
    ///
    /// # Errors
    /// The storage's.
    pub fn earliest(&self) -> Result<u64, CommsError> {
        Ok(self.memory()?.dropped_through.saturating_add(1))
    }

    /// What has happened behind a number, at most `limit` pieces of it and about [`MAX_NEWS_BYTES`]. A page may be empty and not the
    /// last.
    ///
    /// Reads the rows that it tells of, and of what was sent those of [`LATE_MICROS`] before the number, and at most
    /// [`MAX_NEWS_SCAN`] behind it.
    ///
    /// # Errors
    /// The storage's.
    pub fn news(&self, after: u64, limit: usize, now: u64) -> Result<NewsPage, CommsError> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        let rows = self.store.query_within(ITEMS, &[int(after), int(most)], MAX_NEWS_BYTES)?;
        let mut news = Receipts::new();
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
        let mut receipts = Receipts::new();
        end = end.min(self.late(&mut receipts, after, most)?);
        end = end.min(self.soon(&mut receipts, (after, end), limit)?);
        news.append(&mut receipts);
        let mut page = NewsPage { news: Vec::new(), through: end, complete: end == u64::MAX };
        for ((number, _), piece) in news {
            if number > end {
                break;
            }
            if page.news.len() >= limit {
                (page.complete, page.through) = (false, page.news.last().map_or(after, |last| last.number));
                break;
            }
            page.news.push(piece);
        }
        Ok(page)
    }

    /// The first `limit` receipts behind a number that came late. Answers up to which number that is all.
    fn late(&self, receipts: &mut Receipts, after: u64, limit: u64) -> Result<u64, CommsError> {
        let rows = self.store.query(LATE, &[int(after), int(limit)])?;
        let full = u64::try_from(rows.len()).unwrap_or(u64::MAX) >= limit;
        let mut last = after;
        for mut row in rows {
            let id = id(&mut row)?;
            last = uint(row.int(2)?);
            let mut all = unpack(&row.blob(1)?)?.into_iter();
            if let Some(receipt) = all.find(|receipt| receipt.at == last) {
                receipts.insert((last, Some((id, receipt.to.clone()))), told(id, receipt));
            }
        }
        Ok(if full { last } else { u64::MAX })
    }

    /// The first `limit` receipts behind a number that came soon after their messages were sent, up to `end`. Answers up to which
    /// number that is all.
    fn soon(
        &self,
        receipts: &mut Receipts,
        (after, mut end): (u64, u64),
        limit: usize,
    ) -> Result<u64, CommsError> {
        let (mut name, mut scanned) = (Tid::from_parts(after.saturating_sub(LATE_MICROS), 0).to_string(), 0);
        loop {
            let rows = self.store.query(SOON, &[Param::Text(&name), Param::Int(SCAN_PAGE)])?;
            if rows.is_empty() {
                return Ok(end);
            }
            for mut row in rows {
                let id = id(&mut row)?;
                // What becomes of this and of all that follow comes later than what is told.
                if id.micros() > end {
                    return Ok(end);
                }
                if scanned >= MAX_NEWS_SCAN {
                    return Ok(end.min(id.micros().saturating_sub(1)));
                }
                scanned += u32::from(id.micros() > after.saturating_add(1));
                name = id.to_string();
                for receipt in unpack(&row.blob(1)?)? {
                    let news = is_told(&receipt) && !is_late(id, receipt.at);
                    if news && receipt.at > after && receipt.at <= end {
                        receipts.insert((receipt.at, Some((id, receipt.to.clone()))), told(id, receipt));
                    }
                }
                while receipts.len() > limit {
                    let cut = receipts.pop_last().map_or(u64::MAX, |((at, _), _)| at);
                    end = end.min(cut.saturating_sub(1));
                }
            }
        }
    }

    /// Notes that there is something new to say of a receipt. Writes a row if that comes late, and one if it did before.
    pub(crate) fn note_late(&self, id: Tid, before: &Receipt, at: u64) -> Result<(), StoreError> {
        self.forget_late(id, before)?;
        if is_late(id, at) {
            self.store.query(INSERT_LATE, &[int(at), Param::Text(&id.to_string())])?;
        }
        Ok(())
    }

    /// Forgets the number of a receipt that has come late. Writes a row if it has.
    pub(crate) fn forget_late(&self, id: Tid, receipt: &Receipt) -> Result<(), StoreError> {
        if is_told(receipt) && is_late(id, receipt.at) {
            self.store.query(DELETE_LATE, &[int(receipt.at), Param::Text(&id.to_string())])?;
        }
        Ok(())
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

/// Whether a receipt is not found by the name of its message: it has come long after that was made, or before, for whoever sends may
/// choose it.
fn is_late(id: Tid, at: u64) -> bool {
    let made = id.micros();
    at < made || at > made.saturating_add(LATE_MICROS)
}

/// Receipts by their numbers; the rest of the key is for those that happen to have the same.
type Receipts = BTreeMap<(u64, Option<(Tid, Did)>), News>;

/// Messages that are read together.
const SCAN_PAGE: i64 = 128;
/// Pieces of news that are remembered until they are asked for. A call brings no more than a message has recipients.
pub const MAX_FRESH: usize = 256;
