//! Compaction goes on by itself: what one call has left, and what is to be done every so many days.
//!
//! There is one job for each strategy, in one sealed row with what they have done so far. A run that is not done goes on with the
//! object's alarm, [`PAUSE`] after its last turn. Nothing is noted of where it is: what was dropped is gone, and what is left is found
//! anew in each turn, for the time at which the run began. So a turn that dies has done nothing, and the next one does it.

use std::collections::BTreeMap;

use murmuration_data::cbor::{Reader, Writer};
use murmuration_data::{DataError, Kind};
use murmuration_platform::{Param, StoreError};
use murmuration_syntax::{Did, Nsid};

use crate::loaded::Loaded;
use crate::operation::int;
use crate::row::uint;
use crate::{Compaction, Keeper, Memories, MemoryError, Policy, Strategy};

/// Reads 1 row.
const DUE: &str = "SELECT due FROM memory_upkeep WHERE id = 1";
/// Reads 1 row.
const SELECT: &str = "SELECT jobs FROM memory_upkeep WHERE id = 1";
/// Writes 1 row.
const STORE: &str = "INSERT INTO memory_upkeep (id, due, jobs) VALUES (1, ?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET due = excluded.due, jobs = excluded.jobs";

/// A compaction that goes on, or comes again, and what it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What it does.
    pub policy: Policy,
    /// Days from the beginning of a run to the next; 0 if there is none.
    pub every_days: u16,
    /// When the run that is not done began, in microseconds since the Unix epoch.
    pub running_since: Option<u64>,
    /// When the next one begins.
    pub next: Option<u64>,
    /// Runs that are done.
    pub runs: u64,
    /// When the last of them was.
    pub last: Option<u64>,
    /// Memories that have gone.
    pub dropped: u64,
    /// Digests that were made.
    pub digests: u64,
}

impl Job {
    /// When something is to be done for it.
    fn due(&self, now: u64) -> Option<u64> {
        self.running_since.map(|_| now.saturating_add(PAUSE)).or(self.next)
    }
}

impl Memories {
    /// Begins a run, and does its first turn. With `every_days` it comes again after so many; 0 ends that, and `None` leaves it as it is.
    /// Writes 1 row, and what [`Memories::preview`] says.
    ///
    /// # Errors
    /// When what is kept does not open. Nothing was written then.
    pub fn compact(
        &self,
        keeper: Keeper<'_>,
        policy: &Policy,
        every_days: Option<u16>,
    ) -> Result<Compaction, MemoryError> {
        self.change(keeper, |loaded| {
            let mut jobs = self.jobs(loaded, keeper.ring.did())?;
            let before = jobs.remove(&policy.strategy);
            let every_days = every_days.or(before.as_ref().map(|job| job.every_days)).unwrap_or_default();
            let (runs, last, dropped, digests) =
                before.map(|job| (job.runs, job.last, job.dropped, job.digests)).unwrap_or_default();
            let policy = policy.clone();
            let mut job = Job {
                policy,
                every_days,
                running_since: Some(keeper.now),
                next: None,
                runs,
                last,
                dropped,
                digests,
            };
            let done = self.turn(loaded, keeper, &mut job)?;
            jobs.insert(job.policy.strategy, job);
            self.store_jobs(loaded, keeper, &jobs)?;
            Ok(done)
        })
    }

    /// Does a turn of each job that is due. Writes what [`Memories::compact`] writes, for all of them together 1 row more.
    ///
    /// # Errors
    /// When what is kept does not open. Nothing was written then.
    pub fn tend(&self, keeper: Keeper<'_>) -> Result<(), MemoryError> {
        self.change(keeper, |loaded| {
            let mut jobs = self.jobs(loaded, keeper.ring.did())?;
            for job in jobs.values_mut() {
                if job.next.is_some_and(|at| at <= keeper.now) {
                    job.running_since = Some(keeper.now);
                }
                if job.running_since.is_some() {
                    self.turn(loaded, keeper, job)?;
                }
            }
            self.store_jobs(loaded, keeper, &jobs)
        })
    }

    /// When something is to be done by itself, in microseconds since the Unix epoch. Writes nothing, and reads once.
    ///
    /// # Errors
    /// The storage's.
    pub fn next_upkeep(&self) -> Result<Option<u64>, MemoryError> {
        if let Some(known) = self.next_upkeep.get() {
            return Ok(known);
        }
        let row = self.store.query(DUE, &[])?.pop();
        let next = row.map(|mut row| row.opt_int(0)).transpose()?.flatten().map(uint);
        self.next_upkeep.set(Some(next));
        Ok(next)
    }

    /// The jobs, and what each has done. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn upkeep(&self, keeper: Keeper<'_>) -> Result<Vec<Job>, MemoryError> {
        self.look(keeper, Vec::new(), |loaded| {
            Ok(self.jobs(loaded, keeper.ring.did())?.into_values().collect())
        })
    }

    /// A turn of a run, and the end of it when nothing is left.
    fn turn(
        &self,
        loaded: &mut Loaded,
        keeper: Keeper<'_>,
        job: &mut Job,
    ) -> Result<Compaction, MemoryError> {
        let began = job.running_since.unwrap_or(keeper.now);
        let done = self.compact_some(loaded, keeper, &job.policy, began)?;
        job.dropped += u64::try_from(done.dropped.len()).unwrap_or_default();
        job.digests += done.digests;
        job.next = (job.every_days > 0).then(|| began.saturating_add(u64::from(job.every_days) * DAY));
        if done.left == 0 || done.dropped.is_empty() {
            job.running_since = None;
            job.runs += 1;
            job.last = Some(keeper.now);
        }
        Ok(done)
    }

    fn jobs(&self, loaded: &Loaded, did: &Did) -> Result<BTreeMap<Strategy, Job>, MemoryError> {
        let Some(mut row) = self.store.query(SELECT, &[])?.pop() else { return Ok(BTreeMap::new()) };
        let opened = loaded.secret.open(&place(did), &row.blob(0)?)?;
        let mut reader = Reader::new(&opened);
        let data = |_: DataError| corrupt();
        let mut jobs = BTreeMap::new();
        for _ in 0..reader.array().map_err(data)? / JOB_ITEMS {
            let job = read(&mut reader)?;
            jobs.insert(job.policy.strategy, job);
        }
        reader.end().map_err(data)?;
        Ok(jobs)
    }

    /// Writes 1 row.
    fn store_jobs(
        &self,
        loaded: &Loaded,
        keeper: Keeper<'_>,
        jobs: &BTreeMap<Strategy, Job>,
    ) -> Result<(), MemoryError> {
        let mut writer = Writer::new();
        writer.array(jobs.len() * JOB_ITEMS);
        jobs.values().for_each(|job| write(&mut writer, job));
        let sealed = loaded.secret.seal(&place(keeper.ring.did()), writer.as_bytes(), keeper.entropy);
        let due = jobs.values().filter_map(|job| job.due(keeper.now)).min();
        self.store.query(STORE, &[due.map_or(Param::Null, int), Param::Blob(&sealed)])?;
        self.next_upkeep.set(Some(due));
        Ok(())
    }
}

fn write(writer: &mut Writer, job: &Job) {
    let strategy = match job.policy.strategy {
        Strategy::Digest => 0,
        Strategy::Expire => 1,
        Strategy::Dedupe => 2,
    };
    writer.uint(strategy);
    match &job.policy.collection {
        Some(collection) => writer.text(collection.as_str()),
        None => writer.null(),
    };
    writer.uint(job.policy.age).uint(job.policy.below.into()).uint(job.every_days.into());
    for moment in [job.running_since, job.next, job.last] {
        match moment {
            Some(moment) => writer.uint(moment),
            None => writer.null(),
        };
    }
    writer.uint(job.runs).uint(job.dropped).uint(job.digests);
}

fn read(reader: &mut Reader<'_>) -> Result<Job, StoreError> {
    let data = |_: DataError| corrupt();
    let strategy = match reader.uint().map_err(data)? {
        0 => Strategy::Digest,
        1 => Strategy::Expire,
        2 => Strategy::Dedupe,
        _ => return Err(corrupt()),
    };
    let collection = match reader.peek().map_err(data)? {
        Kind::Null => reader.null().map(|()| None).map_err(data)?,
        _ => Some(Nsid::parse(reader.text().map_err(data)?).map_err(|_| corrupt())?),
    };
    let age = reader.uint().map_err(data)?;
    let mut small = || u16::try_from(reader.uint().map_err(data)?).map_err(|_| corrupt());
    let (below, every_days) = (small()?, small()?);
    let mut moment = || match reader.peek().map_err(data)? {
        Kind::Null => reader.null().map(|()| None).map_err(data),
        _ => reader.uint().map(Some).map_err(data),
    };
    let (running_since, next, last) = (moment()?, moment()?, moment()?);
    let (runs, dropped, digests) =
        (reader.uint().map_err(data)?, reader.uint().map_err(data)?, reader.uint().map_err(data)?);
    let policy = Policy { strategy, collection, age, below };
    Ok(Job { policy, every_days, running_since, next, runs, last, dropped, digests })
}

/// What the jobs are sealed for.
fn place(did: &Did) -> String {
    format!("upkeep {did}")
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("the upkeep of the memories is not as it was written".into())
}

/// Microseconds between two turns of a run: between two others may come.
const PAUSE: u64 = 1_000_000;

/// A day, in microseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// Items that a job has in its row.
const JOB_ITEMS: usize = 11;
