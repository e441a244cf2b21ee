//! The limits of messages, each with its unit and its source.
//!
//! Those of the lexicons are in `lexicons/agent/comms`; the others are ours.

use murmuration_envelope::MAX_ENVELOPE_BYTES;
use murmuration_rate::Rule;

/// Recipients of a parcel, at most (`agent.comms.defs#header`).
pub const MAX_TO: usize = 64;

/// Bytes of a thread's name, at most (`agent.comms.defs#header`).
pub const MAX_THREAD_BYTES: usize = 64;

/// Bytes of a DID in a header, at most: with `#atproto` behind it, it is the name of a key, which has 256
/// (`agent.crypto.defs#proof`).
pub const MAX_HEADER_DID_BYTES: usize = 248;

/// Bytes of the largest header and proof: 65 DIDs, and less than 1 KiB for all that is not one.
pub const MAX_HEADER_BYTES: usize = 65 * (MAX_HEADER_DID_BYTES + 3) + 1024;

/// Bytes of a parcel in DAG-CBOR, at most: an envelope, its header and its proof.
pub const MAX_PARCEL_BYTES: usize = MAX_ENVELOPE_BYTES + MAX_HEADER_BYTES;

/// Bytes of a parcel in JSON, at most: base 64 takes four bytes for three, and names and blanks the rest.
pub const MAX_PARCEL_JSON_BYTES: usize = 2 * MAX_PARCEL_BYTES;

/// Microseconds that another host's clock may be ahead of ours.
pub const MAX_SKEW_MICROS: u64 = 5 * 60 * SECOND;

/// Messages that a sender may send to an agent in a minute.
pub const RATE: Rule = Rule::new(120, 60);

/// The same for a stranger, whose messages go into quarantine.
pub const STRANGER_RATE: Rule = Rule::new(10, 60);

/// Senders whose rates are remembered, of each kind.
pub const MAX_RATED: usize = 4096;

/// Tokens of other hosts that are remembered, at most: those of a minute in which each of 64 senders sends all it may.
pub const MAX_TOKENS: usize = 8192;

/// Messages that wait in an inbox, at most.
pub const MAX_OPEN: u32 = 10_000;

/// The same of one sender.
pub const MAX_OPEN_OF_SENDER: u32 = 1_000;

/// Bytes of the parcels that wait in an inbox, at most: a twentieth of what the storage of an object may hold.
pub const MAX_OPEN_BYTES: u64 = 512 * MIB;

/// The same of one sender: 78 of the largest.
pub const MAX_OPEN_BYTES_OF_SENDER: u64 = 32 * MIB;

/// Bytes of an object's storage from which on what is done is dropped before its time. An object may have 10 GB
/// (<https://developers.cloudflare.com/durable-objects/platform/limits/>).
pub const TIGHT_STORED_BYTES: u64 = 6 * 1024 * MIB;

/// Bytes of an object's storage from which on no message is taken or sent.
pub const MAX_STORED_BYTES: u64 = 8 * 1024 * MIB;

/// Microseconds after which what is done is dropped when a message finds the storage nearly full: not each time.
pub const TIGHT_PAUSE_MICROS: u64 = 60 * SECOND;

/// Messages that wait in quarantine, at most.
pub const MAX_QUARANTINED: u32 = 256;

/// The same of one sender.
pub const MAX_QUARANTINED_OF_SENDER: u32 = 16;

/// Microseconds for which a message in quarantine gives way to no other: an hour.
pub const QUARANTINE_STAY_MICROS: u64 = 60 * 60 * SECOND;

/// Seconds after which one that found no room may come again.
pub const ROOM_SECONDS: u64 = 60;

/// How often a message is handed out before it is given up.
pub const MAX_ATTEMPTS: u32 = 8;

/// Microseconds that a message waits for those before it in its thread that have not come: time for the first retries.
pub const GAP_WAIT_MICROS: u64 = 60 * SECOND;

/// Bytes of the messages in one page of news, at most, save that the first always comes: what a reader may have before it.
pub const MAX_NEWS_BYTES: usize = 256 * 1024;

/// Microseconds after a message was sent in which what becomes of it is found by its name: those of the first retries. A row is
/// written for what comes later.
pub const LATE_MICROS: u64 = 2 * 60 * SECOND;

/// Messages that were sent behind a number that a page of news looks at, besides those of [`LATE_MICROS`] before it, of which there are
/// as many as an account may send in that time.
pub const MAX_NEWS_SCAN: u32 = 1_024;

/// Gaps that are reported of a thread.
pub const MAX_GAPS: usize = 100;

/// Microseconds for which a message is tried to be delivered, unless it expires before.
pub const MAX_AGE_MICROS: u64 = 3 * 24 * 60 * 60 * SECOND;

/// Microseconds after which a parcel is refused that has not come: no sender tries for so long, clocks considered.
pub const TOO_OLD_MICROS: u64 = MAX_AGE_MICROS + 24 * 60 * 60 * SECOND;

/// Microseconds for which a message is kept when all is done with it: a month.
pub const RETENTION_MICROS: u64 = 30 * 24 * 60 * 60 * SECOND;

/// Microseconds for which a handoff is kept by its giver, and what is in the thread that it has handed over: half a year, as for a
/// task that nobody has ended.
pub const HANDED_MICROS: u64 = OPEN_TASK_MICROS;

/// Microseconds for which a task is kept that nobody has ended, since it was last spoken of: half a year.
pub const OPEN_TASK_MICROS: u64 = 183 * 24 * 60 * 60 * SECOND;

/// Microseconds after which it is forgotten where a sender's messages in a thread began that were all dropped: a year.
pub const FORGET_MICROS: u64 = 366 * 24 * 60 * 60 * SECOND;

/// The same of the agent's own messages. Longer, so that whoever counts anew is read by those who have forgotten, too.
pub const FORGET_OWN_MICROS: u64 = FORGET_MICROS + 61 * 24 * 60 * 60 * SECOND;

/// Microseconds between two looks for what is old.
pub const DROP_PAUSE_MICROS: u64 = 24 * 60 * 60 * SECOND;

// What is dropped cannot come again.
const _: () = assert!(TOO_OLD_MICROS < RETENTION_MICROS);

/// Microseconds to the first retry of a delivery.
pub const FIRST_RETRY_MICROS: u64 = 2 * SECOND;

/// Microseconds between two retries, at most: so that those of three days are fewer than a queue makes, which is 100.
pub const MOST_RETRY_MICROS: u64 = 2 * 60 * 60 * SECOND;

/// Tries that the other host answers with a fault of its own before a delivery keeps those behind it in its thread waiting no longer: a
/// minute of them. So long does its reader wait for it, too ([`GAP_WAIT_MICROS`]).
pub const STEP_ASIDE_FAULTS: u32 = 6;

/// Tries of any outcome before it does so: one and a half hours. A host that does not answer does not answer to those behind
/// it either; but it may be the message that it dies of.
pub const STEP_ASIDE_TRIES: u32 = 12;

/// Microseconds after a try in which the next is not made before its time, because something was sent or got through.
pub const FLUSH_PAUSE_MICROS: u64 = 2 * SECOND;

/// Messages that are tried again because something else got through, at once.
pub const MAX_FLUSH: usize = 32;

/// Tries of one ticket that the queue makes before it gives up (`max_retries` in `wrangler.toml`, the most there may be).
pub const MAX_TICKET_RETRIES: u32 = 100;

/// Microseconds after the time of a try for which the queue may be late before the alarm takes the delivery back: a queue that is
/// behind, or in trouble, is so for minutes.
pub const TICKET_PATIENCE_MICROS: u64 = 10 * 60 * SECOND;

/// Microseconds by which a ticket may come before its time and is taken: the queue counts in seconds, and by a clock of its own.
pub const EARLY_MICROS: u64 = SECOND;

/// Seconds that another host may ask us to wait, at most: beyond it we come again anyway.
pub const MAX_RETRY_AFTER_SECONDS: u64 = 24 * 60 * 60;

/// Bytes of a reason that is kept with a message that was not delivered or not done.
pub const MAX_REASON_BYTES: usize = 300;

const SECOND: u64 = 1_000_000;
const MIB: u64 = 1024 * 1024;
