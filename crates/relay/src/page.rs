//! Events for those who ask for them, a page at a time: `agent.relay.listEvents`.

use murmuration_platform::Store;

use crate::RelayError;
use crate::cursor::{Opening, opening};
use crate::feed::{Message, Refusal, refusal};
use crate::filter::Filter;
use crate::limits::{MAX_PAGE_BYTES, TURN_SCAN_BYTES};
use crate::log::{Log, Scope};
use crate::telling::{self, Telling, payload};

/// A page of events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// The events, each a JSON object.
    pub events: Vec<String>,
    /// Where the next page begins: everything up to here was looked at.
    pub cursor: u64,
    /// Whether this is all that there is by now.
    pub at_head: bool,
    /// Whether events between the cursor that was asked for and the first that is kept are gone.
    pub outdated: bool,
}

impl Page {
    /// Reads at most `limit` events that the filter wants, and no more of the log than a turn may.
    pub(crate) fn read(
        store: &dyn Store,
        log: &Log,
        cursor: Option<&str>,
        filter: &Filter,
        limit: usize,
    ) -> Result<Result<Self, Refusal>, RelayError> {
        if let Some(refusal) = refusal(log, cursor) {
            return Ok(Err(refusal));
        }
        let (after, outdated) = match opening(cursor, log.head(), log.earliest()) {
            Opening::Replay { after } => (after, false),
            Opening::Outdated { after } => (after, true),
            _ => (log.head(), false),
        };
        let page = Self::behind(store, log, after, u64::MAX, filter, limit)?;
        Ok(Ok(Self { outdated, ..page }))
    }

    /// The same behind a number, and no further than `through`.
    pub(crate) fn behind(
        store: &dyn Store,
        log: &Log,
        after: u64,
        through: u64,
        filter: &Filter,
        limit: usize,
    ) -> Result<Self, RelayError> {
        let kept_after = log.earliest() - 1;
        let mut page =
            Self { cursor: after.max(kept_after), outdated: after < kept_after, ..Self::default() };
        let (mut scanned, mut bytes) = (0, 0);
        while !page.at_head && scanned < TURN_SCAN_BYTES {
            let batch = log.read(store, page.cursor, Scope::All)?;
            for (seq, frame) in &batch.frames {
                if page.events.len() >= limit || bytes >= MAX_PAGE_BYTES || seq.get() > through {
                    return Ok(page);
                }
                page.cursor = seq.get();
                scanned += frame.len();
                if let Some(Message::Text(message)) = Telling::default().wanted(frame, filter) {
                    bytes += message.len();
                    page.events.push(payload(message).to_owned());
                }
            }
            page.at_head = batch.at_head;
        }
        if page.at_head {
            page.cursor = log.head();
        }
        Ok(page)
    }

    /// The page as the lexicon has it: the output of `agent.relay.listEvents`.
    #[must_use]
    pub fn json(&self) -> String {
        let events = self.events.join(",");
        let info = if self.outdated { format!(",\"info\":{}", telling::outdated()) } else { String::new() };
        format!("{{\"cursor\":{},\"events\":[{events}]{info}}}", self.cursor)
    }
}
