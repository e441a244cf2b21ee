//! The inbox: parcels that have come, each once.

use std::cmp::Ordering;

use murmuration_data::{CID_BYTES, Cid, cid_from_bytes, cid_to_bytes};
use murmuration_envelope::KeptKey;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Nsid, Tid};

use crate::comms::{Comms, DEAD, DONE, Memory, OPEN, Place, QUARANTINED, int, uint};
use crate::limits::{
    DROP_PAUSE_MICROS, MAX_OPEN, MAX_OPEN_BYTES, MAX_OPEN_BYTES_OF_SENDER, MAX_OPEN_OF_SENDER,
    MAX_QUARANTINED, MAX_QUARANTINED_OF_SENDER, QUARANTINE_STAY_MICROS, ROOM_SECONDS,
};
use crate::news::Fresh;
use crate::open::Waiting;
use crate::quarantine::Quarantined;
use crate::task::REQUEST;
use crate::{CommsError, Header, Lease, Parcel, TaskChange, Verdict};

/// Reads 1 row.
const SELECT_CID: &str = "SELECT cid FROM inbox WHERE sender = ?1 AND id = ?2";
/// Reads 3 rows: what is in a place of a thread, before it and behind it.
const NEIGHBOURS: &str = "SELECT seq, cid, CASE WHEN seq > ?3 THEN parcel END FROM inbox \
     WHERE thread = ?1 AND sender = ?2 AND seq BETWEEN ?3 - 1 AND ?3 + 1";
/// Writes 3 rows: the message, its name, and its place in the thread; of a request, one more.
const INSERT: &str = "INSERT INTO inbox \
     (sender, id, thread, seq, cid, type, priority, at, expires_at, state, due, leased, attempts, task, task_at, parcel, ord, \
     kept) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?8, 0, 0, ?11, ?12, ?13, ?14, ?15)";
/// The columns of an [`Item`].
macro_rules! item_columns {
    () => {
        "ord, state, at, attempts, leased, due, reason, parcel, kept"
    };
}
pub(crate) use item_columns;
/// Reads the rows that it answers with, and those between them.
const LIST: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM inbox WHERE ord < ?1 AND (?2 IS NULL OR type = ?2) AND (?3 IS NULL OR sender = ?3) \
     AND (?4 IS NULL OR thread = ?4) AND (?5 IS NULL OR (state = ?5 AND (leased = 1 AND due > ?6) = ?7)) \
     ORDER BY ord DESC LIMIT ?8 + 0"
);

/// What became of a parcel that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// It is in the inbox.
    Delivered,
    /// It was there already.
    Duplicate,
    /// It waits until the agent allows its sender.
    Quarantined,
}

/// A parcel that may come in ([`Comms::admit`]).
#[derive(Debug)]
pub struct Arrival<'a> {
    parcel: &'a Parcel,
    bytes: &'a [u8],
    cid: [u8; CID_BYTES],
    place: Place,
    /// What it is dropped for.
    gives_way: Option<Quarantined>,
}

/// A message in the inbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// Its place in the order of arrival: the number of the news that it has come.
    pub ord: i64,
    /// How it stands.
    pub state: State,
    /// When it came, in microseconds since the Unix epoch.
    pub received_at: u64,
    /// How often it was handed out.
    pub attempts: u32,
    /// The lease that it is under.
    pub lease: Option<Lease>,
    /// Why it was given back, or is dead.
    pub reason: Option<String>,
    /// The parcel, in DAG-CBOR.
    pub parcel: Vec<u8>,
    /// Its data key, where that is kept under the agent's own key of a later epoch than it was sealed in.
    pub kept: Option<KeptKey>,
}

/// How a message in the inbox stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It waits to be handed out.
    Pending,
    /// It is handed out.
    Leased,
    /// It waits until the agent allows its sender.
    Quarantined,
    /// The agent has dealt with it.
    Done,
    /// It was given up.
    Dead,
}

/// Which messages are listed: all for which nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// How they stand.
    pub state: Option<State>,
    /// Of which type.
    pub kind: Option<&'a Nsid>,
    /// Who sent them.
    pub sender: Option<&'a Did>,
    /// In which thread.
    pub thread: Option<&'a str>,
}

impl Comms {
    /// Whether a parcel may come in: into the inbox or into quarantine, as the verdict says. `None` if it is here already. `bytes` are its
    /// DAG-CBOR; the proof was verified before. Writes nothing, and spends one of the messages that its sender may send in this minute.
    ///
    /// # Errors
    /// [`CommsError::Conflict`] when another parcel has its id or its place in the thread, or it breaks the chain of `prev`;
    /// [`CommsError::Expired`],
    /// [`CommsError::Future`], and [`CommsError::Busy`] when its sender sends too fast or has too much waiting.
    pub fn admit<'a>(
        &self,
        parcel: &'a Parcel,
        bytes: &'a [u8],
        verdict: Verdict,
        now: u64,
    ) -> Result<Option<Arrival<'a>>, CommsError> {
        let header = parcel.header();
        let sender = header.from.as_str();
        let cid = stored(&crate::cid_of(bytes))?;
        if let Some(known) = self.received(sender, header.id)? {
            return if known == cid { Ok(None) } else { Err(CommsError::Conflict) };
        }
        parcel.check_time(now)?;
        self.check_chain(header, &cid)?;
        let place = if verdict == Verdict::Accept { Place::Inbox } else { Place::Quarantine };
        let gives_way = self.room(&*self.memory()?, sender, place, bytes.len(), now)?;
        self.charge(sender, place, now)?;
        Ok(Some(Arrival { parcel, bytes, cid, place, gives_way }))
    }

    /// Puts a parcel where it may be. What it says of a task holds with it, if it may be said. `kept` is its data key, if it was
    /// sealed to an epoch that has ended by now. Nothing else happens between [`Comms::admit`] and this.
    ///
    /// # Errors
    /// The storage's.
    pub fn receive(
        &self,
        arrival: &Arrival<'_>,
        task: Option<&TaskChange>,
        kept: Option<&KeptKey>,
        now: u64,
    ) -> Result<Delivery, CommsError> {
        let Arrival { parcel, bytes, cid, place, gives_way } = arrival;
        let header = parcel.header();
        let (sender, id) = (header.from.as_str(), header.id.to_string());
        let is_request = header.kind.as_str() == REQUEST;
        let kept = kept.map(KeptKey::to_bytes);
        let (number, delivery) = self.change(|memory| {
            if let Some(other) = gives_way {
                self.drop_quarantined(memory, other)?;
            }
            let number = memory.number(now);
            let row = [
                Param::Text(sender),
                Param::Text(&id),
                Param::Text(&header.thread),
                Param::Int(header.seq.into()),
                Param::Blob(cid),
                Param::Text(header.kind.as_str()),
                Param::Int(header.priority.into()),
                int(now),
                header.expires_at.map_or(Param::Null, int),
                Param::Int(if *place == Place::Inbox { OPEN } else { QUARANTINED }),
                if is_request { Param::Int(0) } else { Param::Null },
                if is_request { int(now) } else { Param::Null },
                Param::Blob(bytes),
                int(number),
                kept.as_deref().map_or(Param::Null, Param::Blob),
            ];
            self.store.query(INSERT, &row)?;
            match place {
                Place::Inbox => {
                    let message = Waiting {
                        ord: i64::try_from(number).map_err(|_| corrupt())?,
                        due: now,
                        attempts: 0,
                        kind: header.kind.as_str().to_owned(),
                        at: now,
                        expires_at: header.expires_at,
                        priority: header.priority.into(),
                        bytes: length(bytes.len()),
                    };
                    memory.opens((header.thread.clone(), sender.to_owned()), header.seq.into(), message);
                }
                Place::Quarantine => {
                    memory.enter_quarantine(sender, 1);
                    if let Some(at) = header.expires_at {
                        memory.drops(at.max(now.saturating_add(DROP_PAUSE_MICROS)));
                    }
                }
            }
            self.drop_if_tight(memory, now)?;
            task.map_or(Ok(()), |change| self.hear_of_task(change, now))?;
            Ok((number, if *place == Place::Inbox { Delivery::Delivered } else { Delivery::Quarantined }))
        })?;
        self.note(Fresh::Came(number));
        Ok(delivery)
    }

    /// Messages, the last to come first, before `before`. A page of large ones is shorter than `limit`.
    ///
    /// # Errors
    /// The storage's.
    pub fn list(
        &self,
        filter: &Filter<'_>,
        before: Option<i64>,
        limit: u32,
        now: u64,
    ) -> Result<Vec<Item>, CommsError> {
        let (state, leased) = match filter.state {
            None => (Param::Null, 0),
            Some(State::Pending) => (Param::Int(OPEN), 0),
            Some(State::Leased) => (Param::Int(OPEN), 1),
            Some(State::Quarantined) => (Param::Int(QUARANTINED), 0),
            Some(State::Done) => (Param::Int(DONE), 0),
            Some(State::Dead) => (Param::Int(DEAD), 0),
        };
        let params = [
            Param::Int(before.unwrap_or(MAX_ORD)),
            text(filter.kind.map(Nsid::as_str)),
            text(filter.sender.map(Did::as_str)),
            text(filter.thread),
            state,
            int(now),
            Param::Int(leased),
            Param::Int(limit.into()),
        ];
        let rows = self.store.query_within(LIST, &params, MAX_PAGE_BYTES)?;
        rows.into_iter().map(|mut row| Ok(item(&mut row, 0, now)?)).collect()
    }

    /// Refuses a parcel whose place in the thread is taken, or that does not follow the one before it there or is not the one
    /// that the next follows: the sender has put two into one place.
    fn check_chain(&self, header: &Header, cid: &[u8; CID_BYTES]) -> Result<(), CommsError> {
        let sender = Param::Text(header.from.as_str());
        let place = [Param::Text(&header.thread), sender, Param::Int(header.seq.into())];
        if let Some((last, cid)) = self.beginning(&header.thread, header.from.as_str())? {
            let follows = header.seq > last.saturating_add(1) || header.prev == Some(cid);
            if header.seq <= last || !follows {
                return Err(CommsError::Conflict);
            }
        }
        for mut row in self.store.query(NEIGHBOURS, &place)? {
            let holds = match row.int(0)?.cmp(&header.seq.into()) {
                Ordering::Less => header.prev == Some(self::cid(&row.blob(1)?)?),
                Ordering::Equal => false,
                Ordering::Greater => Parcel::from_cbor(&row.blob(2)?)?.header().prev == Some(self::cid(cid)?),
            };
            if !holds {
                return Err(CommsError::Conflict);
            }
        }
        Ok(())
    }

    /// Whether there is room for a message of a sender, and what gives way to it. A quarantine that is full takes from whom most of it
    /// is, the oldest first, for one who has less in it: so many strangers as there are places have one each, and whoever sends more
    /// loses it first. What has come lately stays, so that a flood writes no more rows than there are places in that time.
    fn room(
        &self,
        memory: &Memory,
        sender: &str,
        place: Place,
        bytes: usize,
        now: u64,
    ) -> Result<Option<Quarantined>, CommsError> {
        self.check_storage()?;
        let full = |reason| CommsError::Busy { reason, seconds: ROOM_SECONDS };
        let (of_sender, of_all) = memory.waiting(sender);
        let bytes = length(bytes);
        if place == Place::Inbox {
            if of_sender.open >= MAX_OPEN_OF_SENDER || of_all.open >= MAX_OPEN {
                return Err(full(TOO_MANY));
            }
            let too_many = of_sender.bytes.saturating_add(bytes) > MAX_OPEN_BYTES_OF_SENDER
                || of_all.bytes.saturating_add(bytes) > MAX_OPEN_BYTES;
            return if too_many { Err(full("too many bytes wait")) } else { Ok(None) };
        }
        if of_sender.quarantined >= MAX_QUARANTINED_OF_SENDER {
            return Err(full(TOO_MANY));
        }
        if of_all.quarantined < MAX_QUARANTINED {
            return Ok(None);
        }
        let largest = memory.largest_in_quarantine();
        if of_sender.quarantined >= largest {
            return Err(full(TOO_MANY));
        }
        let stays = now.saturating_sub(QUARANTINE_STAY_MICROS);
        let of_largest = |other: &Quarantined| memory.waiting(&other.sender).0.quarantined == largest;
        let mut gives_way = self.quarantined()?.into_iter().filter(of_largest);
        gives_way.next().filter(|other| other.at <= stays).map(Some).ok_or_else(|| full(TOO_MANY))
    }

    /// The CID of what a sender has sent under an id, if it came.
    pub(crate) fn received(&self, sender: &str, id: Tid) -> Result<Option<[u8; CID_BYTES]>, CommsError> {
        let row = self.store.query(SELECT_CID, &[Param::Text(sender), Param::Text(&id.to_string())])?.pop();
        row.map(|mut row| row.blob(0)?.try_into().map_err(|_| corrupt().into())).transpose()
    }
}

/// An item out of a row, whose columns begin at `first`.
pub(crate) fn item(row: &mut Row, first: usize, now: u64) -> Result<Item, StoreError> {
    let (ord, state) = (row.int(first)?, row.int(first + 1)?);
    let attempts = u32::try_from(row.int(first + 3)?).unwrap_or(u32::MAX);
    let (leased, due) = (row.int(first + 4)? == 1, uint(row.int(first + 5)?));
    let lease =
        (state == OPEN && leased && due > now).then_some(Lease { ord, attempt: attempts, until: due });
    Ok(Item {
        ord,
        state: match state {
            OPEN if lease.is_some() => State::Leased,
            OPEN => State::Pending,
            QUARANTINED => State::Quarantined,
            DONE => State::Done,
            _ => State::Dead,
        },
        received_at: uint(row.int(first + 2)?),
        attempts,
        lease,
        reason: row.opt_text(first + 6)?,
        parcel: row.blob(first + 7)?,
        kept: kept(row, first + 8)?,
    })
}

/// A kept data key out of a row.
pub(crate) fn kept(row: &mut Row, column: usize) -> Result<Option<KeptKey>, StoreError> {
    row.opt_blob(column)?.map(|bytes| KeptKey::from_bytes(&bytes).map_err(|_| corrupt())).transpose()
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Quarantined => "quarantined",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Leased, Self::Quarantined, Self::Done, Self::Dead];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A number of bytes.
pub(crate) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn text(text: Option<&str>) -> Param<'_> {
    text.map_or(Param::Null, Param::Text)
}

/// The 36 bytes of a CID.
pub(crate) fn stored(cid: &Cid) -> Result<[u8; CID_BYTES], CommsError> {
    cid_to_bytes(cid).map_err(|_| CommsError::Form("a link of another kind"))
}

/// A CID out of the storage.
pub(crate) fn cid(bytes: &[u8]) -> Result<Cid, StoreError> {
    cid_from_bytes(bytes).map_err(|_| corrupt())
}

pub(crate) fn corrupt() -> StoreError {
    StoreError::Corrupt("a stored message is none".into())
}

/// Bytes of parcels in one answer, at most, save that the first always comes.
pub(crate) const MAX_PAGE_BYTES: usize = 2_000_000;
const TOO_MANY: &str = "too many messages wait";
/// Behind every `ord`.
const MAX_ORD: i64 = (1 << 53) - 1;
