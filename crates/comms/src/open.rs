//! What is open, in memory: the messages of the inbox that wait to be dealt with, and the deliveries that are due.
//!
//! Whoever claims looks at the first of each thread and at nothing that is done, however much of that lies between and whatever types are
//! wanted. It is read once, when the object wakes: the inbox from its floor on, and the few before it that are still open, which are
//! listed beside the floor.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_platform::{Row, StoreError};

use crate::comms::uint;

/// The columns of a [`Waiting`] and of its place.
macro_rules! open_columns {
    () => {
        "ord, thread, sender, seq, due, attempts, type, at, expires_at, priority, length(parcel)"
    };
}
pub(crate) use open_columns;

/// A thread of a sender: its name and whose it is.
pub(crate) type Line = (String, String);

/// A message that waits.
pub(crate) struct Waiting {
    pub(crate) ord: i64,
    pub(crate) due: u64,
    pub(crate) attempts: u32,
    pub(crate) kind: String,
    pub(crate) at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) priority: i64,
    pub(crate) bytes: u64,
}

impl Waiting {
    /// Out of a row, with its thread, its sender and its number there.
    pub(crate) fn read(row: &mut Row) -> Result<(Line, i64, Self), StoreError> {
        let (line, seq) = ((row.text(1)?, row.text(2)?), row.int(3)?);
        let waiting = Self {
            ord: row.int(0)?,
            due: uint(row.int(4)?),
            attempts: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
            kind: row.text(6)?,
            at: uint(row.int(7)?),
            expires_at: row.opt_int(8)?.map(uint),
            priority: row.int(9)?,
            bytes: uint(row.int(10)?),
        };
        Ok((line, seq, waiting))
    }
}

/// The messages of the inbox that are open: what each sender has sent in each thread, in its order.
#[derive(Default)]
pub(crate) struct Open(BTreeMap<Line, BTreeMap<i64, Waiting>>);

impl Open {
    pub(crate) fn insert(&mut self, line: Line, seq: i64, message: Waiting) {
        self.0.entry(line).or_default().insert(seq, message);
    }

    pub(crate) fn remove(&mut self, line: &Line, seq: i64) {
        let Some(messages) = self.0.get_mut(line) else { return };
        messages.remove(&seq);
        if messages.is_empty() {
            self.0.remove(line);
        }
    }

    pub(crate) fn get_mut(&mut self, line: &Line, seq: i64) -> Option<&mut Waiting> {
        self.0.get_mut(line)?.get_mut(&seq)
    }

    /// The first message of a line behind a number.
    pub(crate) fn behind(&self, line: &Line, seq: i64) -> Option<(i64, &Waiting)> {
        self.0.get(line)?.range(seq.saturating_add(1)..).next().map(|(seq, message)| (*seq, message))
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.keys().cloned().collect()
    }

    /// The numbers of all, as they came.
    pub(crate) fn ords(&self) -> Vec<i64> {
        let mut ords: Vec<i64> =
            self.0.values().flat_map(BTreeMap::values).map(|message| message.ord).collect();
        ords.sort_unstable();
        ords
    }
}

/// When messages that were sent are to be tried.
#[derive(Default)]
pub(crate) struct Dues {
    of: BTreeMap<String, u64>,
    order: BTreeSet<(u64, String)>,
}

impl Dues {
    /// Notes when a message is due; not at all any more, if it has ended.
    pub(crate) fn set(&mut self, id: &str, due: Option<u64>) {
        let before = match due {
            Some(due) => self.of.insert(id.to_owned(), due),
            None => self.of.remove(id),
        };
        if let Some(before) = before {
            self.order.remove(&(before, id.to_owned()));
        }
        if let Some(due) = due {
            self.order.insert((due, id.to_owned()));
        }
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.first().map(|(due, _)| *due)
    }

    /// What is due by now.
    pub(crate) fn until(&self, now: u64) -> impl Iterator<Item = &str> {
        self.order.iter().take_while(move |(due, _)| *due <= now).map(|(_, id)| id.as_str())
    }

    /// The first message that is open, by its name.
    pub(crate) fn first(&self) -> Option<&str> {
        self.of.first_key_value().map(|(id, _)| id.as_str())
    }
}
