//! Events for those who ask for them, a page at a time: `agent.relay.listEvents`.

use murmuration_platform::Store;

use crate::RelayError;
use crate::cursor::{Opening, opening};
use crate::feed::{Message, Refusal, refusal};
use crate::filter::Filter;
use crate::limits::{MAX_PAGE_BYTES, TURN_SCAN_BYTES};
use crate::log::Log;
use crate::telling::{Telling, payload};

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
        let mut page = match opening(cursor, log.head(), log.earliest()) {
            Opening::Replay { after } => Self { cursor: after, ..Self::default() },
            Opening::Outdated { after } => Self { cursor: after, outdated: true, ..Self::default() },
            _ => Self { cursor: log.head(), ..Self::default() },
        };
        let (mut scanned, mut bytes) = (0, 0);
        while !page.at_head && scanned < TURN_SCAN_BYTES {
            let batch = log.read(store, page.cursor)?;
            for (seq, frame) in &batch.frames {
                if page.events.len() >= limit || bytes >= MAX_PAGE_BYTES {
                    return Ok(Ok(page));
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
        Ok(Ok(page))
    }
}
