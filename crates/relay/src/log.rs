//! The log: numbers events, keeps their frames, gives them back from any place, and lets the old ones go.
//!
//! Beside the host's own events it keeps those of other hosts ([`crate::peers`]), under numbers of the same count and in rows of
//! their own; who reads the host's own reads past them ([`Scope`]).
//!
//! One billed row a push, whatever it holds; see [`crate::partition`] for where it goes. Memory follows the storage: it
//! changes only after a transaction has held.

use std::collections::BTreeSet;

use murmuration_firehose::{MAX_DRAFT_BYTES, Seq, frame};
use murmuration_platform::{Store, transaction};

use crate::known::Known;
use crate::limits::{
    BATCH_BYTES, BATCH_ROWS, CLOCK_MARGIN_MS, DEFAULT_RETENTION_MS, KNOWN_ACCOUNTS, LOG_BYTES,
    PARTITION_BYTES, PARTITIONS_PER_RETENTION, ROW_BYTES,
};
use crate::pack::{Pack, unpack};
use crate::partition::{Head, Partition};
use crate::wire::{Ack, Item, Push};
use crate::{RelayError, partition, schema};

/// How the log is kept. The host sets the retention; the rest is for tests to make small.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// Milliseconds that an event is kept at the least.
    pub retention_ms: u64,
    /// Bytes of a partition.
    pub partition_bytes: u64,
    /// Bytes of the whole log, roughly.
    pub log_bytes: u64,
    /// Bytes of a row's body.
    pub row_bytes: usize,
    /// Accounts whose last event is remembered.
    pub known_accounts: usize,
    /// Rows that a replay reads at a time.
    pub batch_rows: u32,
    /// Bytes that a replay reads at a time.
    pub batch_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            retention_ms: DEFAULT_RETENTION_MS,
            partition_bytes: PARTITION_BYTES,
            log_bytes: LOG_BYTES,
            row_bytes: ROW_BYTES,
            known_accounts: KNOWN_ACCOUNTS,
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
        }
    }
}

/// The log of one host.
#[derive(Debug)]
pub struct Log {
    config: LogConfig,
    /// Oldest first; the last one is written to.
    partitions: Vec<Partition>,
    /// The number of the last event, or what a number was last given to; 0 on a new host.
    head: u64,
    /// The last row of the last partition.
    tail: Option<Head>,
    /// The time of the last row, wherever it is: time in the log does not step back.
    last_at: u64,
    known: Known,
}

/// Which events a reader reads.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// The host's own: `com.atproto.sync.subscribeRepos`.
    Own,
    /// Those of its peers, too: `agent.relay`.
    All,
}

/// What an append has done.
#[derive(Debug)]
pub struct Appended {
    /// The answer to the agent.
    pub ack: Ack,
    /// The new frames, for those who follow live.
    pub frames: Vec<(Seq, Vec<u8>)>,
}

/// Frames with their numbers.
pub(crate) type Frames = Vec<(Seq, Vec<u8>)>;

/// A stretch of the log.
#[derive(Debug, Default)]
pub struct Batch {
    /// Frames in order.
    pub frames: Vec<(Seq, Vec<u8>)>,
    /// Which of them are a peer's.
    pub of_peers: BTreeSet<Seq>,
    /// Whether the log ends with them.
    pub at_head: bool,
}

impl Log {
    /// Opens the log, making its tables on a new host. Reads a row a partition, and two.
    ///
    /// # Errors
    /// [`RelayError::Store`] when the storage fails.
    pub fn open(store: &dyn Store, config: LogConfig) -> Result<Self, RelayError> {
        schema::migrate(store)?;
        let partitions = partition::list(store)?;
        let newest = partitions.last();
        let tail = newest.map(|partition| partition.last(store)).transpose()?.flatten();
        let floor = newest.map_or(0, |partition| partition.first_seq.saturating_sub(1));
        let head = tail.map_or(floor, |row| row.last);
        let last_at = tail.map_or(0, |row| row.at).max(newest.map_or(0, |partition| partition.first_at));
        let known = Known::new(head + 1, config.known_accounts);
        Ok(Self { config, partitions, head, tail, last_at, known })
    }

    /// The number of the last event; 0 if there never was one.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Milliseconds that an event is kept at the least.
    #[must_use]
    pub const fn retention_ms(&self) -> u64 {
        self.config.retention_ms
    }

    /// Numbers and stores what is new in a push, in one transaction. One row written, unless a frame is huge or a
    /// partition is full.
    ///
    /// # Errors
    /// [`RelayError::Push`] when it is malformed; [`RelayError::Exhausted`]; [`RelayError::Store`].
    pub fn append(
        &mut self,
        store: &dyn Store,
        push: &Push<'_>,
        now_ms: u64,
    ) -> Result<Appended, RelayError> {
        self.append_with(store, push, now_ms, |_| Ok(()))
    }

    /// As [`Log::append`], in one transaction with what `beside` writes for the new frames. It is not called where none is new.
    pub(crate) fn append_with(
        &mut self,
        store: &dyn Store,
        push: &Push<'_>,
        now_ms: u64,
        beside: impl FnOnce(&Frames) -> Result<(), RelayError>,
    ) -> Result<Appended, RelayError> {
        push.check()?;
        let did = push.did.as_str();
        let known = self.known_ord(store, push)?;
        let is_new = |item: &&Item<'_>| known.is_none_or(|known| item.ord > known);
        let new = push.items.iter().filter(is_new);
        let (packs, frames) = self.packed(new.map(|item| (item.ord, item.draft)))?;
        if !packs.is_empty() {
            self.store_packs(store, did, &packs, now_ms, || beside(&frames))?;
        }
        let last = push.items.last().map_or(0, |item| item.ord);
        let through = known.map_or(last, |known| known.max(last));
        if let Some(seq) = packs.first().map(|pack| pack.first.get()) {
            self.known.learn(did, through, seq);
        }
        let sequenced = u32::try_from(frames.len()).map_err(|_| RelayError::Push("size"))?;
        let duplicates =
            u32::try_from(push.items.len() - frames.len()).map_err(|_| RelayError::Push("size"))?;
        let first = frames.first().map(|(seq, _)| *seq);
        Ok(Appended { ack: Ack { through, first, sequenced, duplicates }, frames })
    }

    /// Numbers and stores events of another host, each under its number there, in one transaction with what `beside` writes.
    /// One row written for as many as fit one.
    ///
    /// # Errors
    /// [`RelayError::Exhausted`]; [`RelayError::Store`]; what `beside` gives.
    pub(crate) fn merge(
        &mut self,
        store: &dyn Store,
        host: &str,
        drafts: &[(u64, Vec<u8>)],
        now_ms: u64,
        beside: impl FnOnce(&Frames) -> Result<(), RelayError>,
    ) -> Result<Frames, RelayError> {
        let (packs, frames) = self.packed(drafts.iter().map(|(ord, draft)| (*ord, draft.as_slice())))?;
        let beside = || beside(&frames);
        if packs.is_empty() {
            transaction(store, beside)?;
        } else {
            self.store_packs(store, &partition::of_peer(host), &packs, now_ms, beside)?;
        }
        Ok(frames)
    }

    /// The rows for these drafts, and their frames, under the next numbers.
    fn packed<'d>(
        &self,
        drafts: impl Iterator<Item = (u64, &'d [u8])>,
    ) -> Result<(Vec<Pack>, Frames), RelayError> {
        let (mut packs, mut frames) = (Vec::<Pack>::new(), Vec::new());
        let mut next = self.head;
        for (ord, draft) in drafts {
            next += 1;
            let seq = Seq::new(next).ok_or(RelayError::Exhausted)?;
            let bytes = frame(draft, seq)?;
            match packs.last_mut() {
                Some(pack) if pack.has_room(&bytes, self.config.row_bytes) => pack.push(seq, ord, &bytes)?,
                _ => packs.push(Pack::new(seq, ord, &bytes)?),
            }
            frames.push((seq, bytes));
        }
        Ok((packs, frames))
    }

    /// At most a batch of frames after the number `after` (0 for the beginning), for a replay.
    ///
    /// # Errors
    /// [`RelayError::Outrun`] when events after `after` have been dropped: a reader that goes on would miss them.
    /// [`RelayError::Store`].
    pub fn read(&self, store: &dyn Store, after: u64, scope: Scope) -> Result<Batch, RelayError> {
        if after >= self.head {
            return Ok(Batch { at_head: true, ..Batch::default() });
        }
        let wanted = after + 1;
        if wanted < self.earliest() {
            return Err(RelayError::Outrun(after));
        }
        let skip = self.partitions.iter().rposition(|partition| partition.first_seq <= wanted).unwrap_or(0);
        for partition in self.partitions.iter().skip(skip) {
            let heads = partition.from(store, wanted, self.config.batch_rows, scope)?;
            let Some(first) = heads.first() else { continue };
            let budget = first.size + self.config.batch_bytes;
            let end = heads.iter().take_while(|row| row.seq == first.seq || row.size <= budget).last();
            let end = end.unwrap_or(first);
            let mut batch = Batch { at_head: end.last == self.head, ..Batch::default() };
            for (seq, own, body) in partition.bodies(store, first.seq, end.seq, scope)? {
                let fresh = unpack(seq, &body)?.into_iter().filter(|(seq, _)| seq.get() > after);
                for (seq, frame) in fresh {
                    batch.of_peers.extend((!own).then_some(seq));
                    batch.frames.push((seq, frame.to_vec()));
                }
            }
            return Ok(batch);
        }
        // Everything after the place was purged, or is not of the scope.
        Ok(Batch { at_head: true, ..Batch::default() })
    }

    /// The lowest number that may still be in the log: a reader at or after the one before it misses nothing.
    #[must_use]
    pub fn earliest(&self) -> u64 {
        self.partitions.first().map_or(1, |partition| partition.first_seq)
    }

    /// Drops one partition that is old enough, or that the log has no room for. Call again while it answers `true`.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn prune(&mut self, store: &dyn Store, now_ms: u64) -> Result<bool, RelayError> {
        let expired = self.expiry(store)?.is_some_and(|due| due <= now_ms);
        if !expired && !self.is_overfull() {
            return Ok(false);
        }
        let Some(oldest) = self.partitions.first().copied() else { return Ok(false) };
        let successor = (self.partitions.len() == 1).then(|| self.successor(now_ms.max(self.last_at)));
        transaction(store, || {
            if let Some(successor) = &successor {
                successor.create(store)?;
            }
            oldest.drop(store)
        })?;
        self.partitions.remove(0);
        if let Some(successor) = successor {
            self.partitions.push(successor);
            self.tail = None;
        }
        Ok(true)
    }

    /// When [`Log::prune`] will next have something to do; `None` while the log is empty.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn expiry(&self, store: &dyn Store) -> Result<Option<u64>, RelayError> {
        let newest = match (self.partitions.first(), self.partitions.get(1)) {
            (Some(oldest), Some(_)) => oldest.last(store)?.map(|row| row.at).or(Some(oldest.first_at)),
            (Some(_), None) => self.tail.map(|row| row.at),
            (None, _) => None,
        };
        Ok(newest.map(|at| at.saturating_add(self.config.retention_ms)))
    }

    /// Deletes what an account said before its event `ord`, but never the log's last row. Writes a row a row. May be
    /// repeated.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn purge(&self, store: &dyn Store, did: &str, ord: u64) -> Result<(), RelayError> {
        let Some(tail) = self.tail else { return Ok(()) };
        transaction(store, || {
            self.partitions
                .iter()
                .try_for_each(|partition| partition.purge(store, did, ord, tail.seq).map_err(Into::into))
        })
    }

    /// The account's last `ord`, as far as this push needs to know.
    fn known_ord(&mut self, store: &dyn Store, push: &Push<'_>) -> Result<Option<u64>, RelayError> {
        let did = push.did.as_str();
        let recalled = self.known.recall(did);
        if recalled.is_some() || push.fresh {
            return Ok(recalled);
        }
        let made_at = push.items.first().map_or(0, |item| item.made_at);
        let lower = self.first_since(store, made_at.saturating_sub(CLOCK_MARGIN_MS))?;
        Ok(self.known.search(store, &self.partitions, did, lower)?)
    }

    /// The first number that was given at `at` or later; the next one to be given if none was.
    fn first_since(&self, store: &dyn Store, at: u64) -> Result<u64, RelayError> {
        let index = self.partitions.iter().rposition(|partition| partition.first_at < at).unwrap_or(0);
        let Some(partition) = self.partitions.get(index) else { return Ok(self.head + 1) };
        let end = self.partitions.get(index + 1).map_or(self.head + 1, |next| next.first_seq);
        // Time does not step back in the log, so the border lies between `low` (before it) and `high` (not before it).
        let (mut low, mut high) = (partition.first_seq, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match partition.at_or_after(store, middle)? {
                Some(row) if row.at < at => low = row.last + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn store_packs(
        &mut self,
        store: &dyn Store,
        did: &str,
        packs: &[Pack],
        now_ms: u64,
        beside: impl FnOnce() -> Result<(), RelayError>,
    ) -> Result<(), RelayError> {
        let at = now_ms.max(self.last_at);
        let fresh = self.needs_partition(at).then(|| self.successor(at));
        let Some(partition) = fresh.or_else(|| self.partitions.last().copied()) else {
            return Err(RelayError::Push("no partition"));
        };
        let mut size = if fresh.is_some() { 0 } else { self.tail.map_or(0, |row| row.size) };
        let mut tail = self.tail;
        transaction(store, || {
            if let Some(partition) = &fresh {
                partition.create(store)?;
            }
            for pack in packs {
                size += u64::try_from(pack.body.len()).map_err(|_| RelayError::Push("size"))?;
                let row = Head { seq: pack.first.get(), last: pack.last.get(), at, size };
                partition.insert(store, row, did, pack.ord, &pack.body)?;
                tail = Some(row);
            }
            beside()
        })?;
        self.partitions.extend(fresh);
        self.tail = tail;
        self.last_at = at;
        self.head = tail.map_or(self.head, |row| row.last);
        Ok(())
    }

    fn needs_partition(&self, at: u64) -> bool {
        let Some(newest) = self.partitions.last() else { return true };
        let age = at.saturating_sub(newest.first_at);
        self.tail.is_some_and(|row| {
            row.size >= self.config.partition_bytes
                || age >= self.config.retention_ms / PARTITIONS_PER_RETENTION
        })
    }

    fn successor(&self, at: u64) -> Partition {
        let id = self.partitions.last().map_or(1, |newest| newest.id + 1);
        Partition { id, first_seq: self.head + 1, first_at: at }
    }

    fn is_overfull(&self) -> bool {
        let full = u64::try_from(self.partitions.len().saturating_sub(1)).unwrap_or(u64::MAX);
        full.saturating_mul(self.config.partition_bytes) >= self.config.log_bytes
    }
}

// A draft of the greatest size fits a row alone, whatever its number is.
const _: () = assert!(MAX_DRAFT_BYTES + 16 <= ROW_BYTES);
