//! Every limit of the sequencer, with its unit and its reason.

/// Milliseconds that an event is kept, unless the host says otherwise (reference server: one day).
pub const DEFAULT_RETENTION_MS: u64 = 24 * 3_600_000;

/// Partitions into which the retention is cut: how much longer than asked an event may stay (an eighth), against tables
/// created and rows read on waking.
pub const PARTITIONS_PER_RETENTION: u64 = 8;

/// Bytes of a partition: dropping a table walks its pages, and this keeps a drop well below a second.
pub const PARTITION_BYTES: u64 = 128 << 20;

/// Bytes of the whole log. An object's storage ends at 10 GB; a busy host loses the oldest events instead of all writes.
pub const LOG_BYTES: u64 = 4 << 30;

/// Bytes of a row's body: a row of the platform is 2,000,000 bytes, the other columns need less than 10,000 (a DID has
/// at most 2,048).
pub const ROW_BYTES: usize = 1_990_000;

/// Bytes of one push: an object's request may have 32 MiB; an agent sends a backlog in several.
pub const MAX_PUSH_BYTES: usize = 8_000_000;

/// Events of one push.
pub const MAX_PUSH_ITEMS: usize = 1_000;

/// Accounts whose last `ord` is remembered: about 10 MB.
pub const KNOWN_ACCOUNTS: usize = 65_536;

/// Pairs of an account and a collection that are remembered as stored: about 8 MB.
pub const KNOWN_PAIRS: usize = 65_536;

/// Collections that an account tells of at once.
pub const MAX_TOLD_COLLECTIONS: usize = 1_000;

/// Milliseconds that the clocks of two objects may differ: how far before an event's making the log is searched for it.
pub const CLOCK_MARGIN_MS: u64 = 5 * 60_000;

/// Events that a replay reads at a time.
pub const BATCH_ROWS: u32 = 256;

/// Bytes that a replay reads at a time (and one row more).
pub const BATCH_BYTES: u64 = 256 << 10;

/// Subscribers of each stream at a time. The platform takes 32,768 sockets an object; each costs a send for every event.
pub const MAX_SUBSCRIBERS: usize = 1_024;

/// Collections that a reader of events may want (lexicon: agent.relay.subscribeEvents).
pub const MAX_WANTED_COLLECTIONS: usize = 100;

/// Topics of broadcasts that a reader of events may want (lexicon: agent.relay.subscribeEvents).
pub const MAX_WANTED_TOPICS: usize = 100;

/// Bytes of a topic (lexicon: agent.comms.broadcast).
pub const MAX_TOPIC_BYTES: usize = 256;

/// Accounts that a reader of events may want (lexicon: agent.relay.subscribeEvents).
pub const MAX_WANTED_DIDS: usize = 1_000;

/// Segments before the star of a wanted collection: each is a hash for every commit.
pub const MAX_PREFIX_SEGMENTS: usize = 16;

/// Names in the filters of all readers of events together: about 10 MB in memory.
pub const MAX_WANTED_NAMES: usize = 262_144;

/// Bytes of a message to a reader of events, and so of an event with its records (lexicon: agent.relay.subscribeEvents).
pub const MAX_EVENT_BYTES: usize = 2_000_000;

/// Bytes of a page of events (and one event more).
pub const MAX_PAGE_BYTES: usize = 2_000_000;

/// Answers that wait for an event at a time; who finds no room is answered at once.
pub const MAX_WAITING: usize = 1_024;

/// Webhooks of an account.
pub const MAX_HOOKS_OF_ACCOUNT: usize = 10;

/// Secrets of webhooks that a turn seals anew: a row each, and others wait meanwhile.
pub const MAX_RESEALED_HOOKS: usize = 100;

/// Webhooks of the host: each is a row that is read whenever the relay wakes.
pub const MAX_HOOKS: usize = 1_000;

/// How long a webhook that was given up can still be looked at, milliseconds; it goes when a new one is made after that.
pub const HOOK_GIVEN_UP_KEPT_MS: u64 = 7 * 24 * 3_600_000;

/// Names in the filters of all webhooks together: about 3 MB in memory.
pub const MAX_HOOK_NAMES: usize = 65_536;

/// Events of a message to a webhook.
pub const HOOK_EVENTS: usize = 100;

/// Messages to webhooks on their way at a time: an object has six connections.
pub const MAX_FLYING: usize = 4;

/// Milliseconds until a message is given up (Standard Webhooks: 15 to 30 seconds).
pub const HOOK_TIMEOUT_MS: u32 = 15_000;

/// Bytes that are read of a webhook's answer.
pub const HOOK_ANSWER_BYTES: usize = 64 << 10;

/// Seconds until a message is sent again, the first times; from then on as after the last of these.
pub const HOOK_BACKOFF_SECONDS: [u64; 6] = [5, 60, 300, 900, 3_600, 7_200];

/// Messages one after another that a webhook may fail to take before it is given up: about 21 hours.
pub const MAX_HOOK_FAILURES: u32 = 16;

/// Milliseconds until an alarm comes to what an eviction has interrupted.
pub const HOOK_BACKSTOP_MS: u64 = 60_000;

/// Bytes of a message of a reader of events: the largest filter of ordinary names, twice.
pub const MAX_UPDATE_BYTES: usize = 256 << 10;

/// Messages that a reader of events may send in [`UPDATES_WINDOW_MS`]. Each may have [`MAX_UPDATE_BYTES`] that are parsed and a
/// thousand names that are hashed; a client that follows a list on a screen changes its filter a few times a minute.
pub const MAX_UPDATES: u32 = 60;

/// Milliseconds of the window of [`MAX_UPDATES`].
pub const UPDATES_WINDOW_MS: u64 = 60_000;

/// Peers of a host, blocked ones included: each is a row that is read whenever the relay wakes.
pub const MAX_PEERS: usize = 64;

/// Accounts that a peer may bring. A stranger makes as many as it likes, and each is a row that stays for
/// [`PEER_FORGET_MS`].
pub const MAX_PEER_ACCOUNTS: u64 = 1_000;

/// The same of a peer that the operator knows.
pub const MAX_VERIFIED_ACCOUNTS: u64 = 100_000;

/// Frames of a visit to a peer.
pub const PEER_SESSION_EVENTS: usize = 1_000;

/// Bytes of a visit to a peer, and one frame more: they wait in memory.
pub const PEER_SESSION_BYTES: usize = 4 << 20;

/// Bytes of a peer's stream that have come and were not looked at: a visit's, and one frame.
pub const PEER_WAITING_BYTES: u32 = 9_500_000;

/// Bytes of a frame that is passed over, though it is larger than a frame may be: what the platform brings at once
/// (<https://developers.cloudflare.com/durable-objects/platform/limits/>). Of a larger one nobody here knows the number.
pub const PEER_PASSED_BYTES: usize = 32 << 20;

/// Milliseconds that a visit listens: an object that holds a socket of its own making is awake, and paid for.
pub const PEER_SESSION_MS: u64 = 10_000;

/// Milliseconds without a frame after which a peer has nothing more to say for now.
pub const PEER_QUIET_MS: u64 = 1_500;

/// Milliseconds until a peer has taken the request for its stream.
pub const PEER_CONNECT_MS: u32 = 10_000;

/// Frames of a peer that are judged in one turn: some 50 ms of verification.
pub const PEER_TURN_EVENTS: usize = 32;

/// DID documents that are looked up for one visit.
pub const PEER_LOOKUPS: usize = 64;

/// Milliseconds from a visit that brought something to the next.
pub const PEER_PAUSE_MS: u64 = 5_000;

/// Milliseconds to the next visit of a peer that had more to say than a visit takes.
pub const PEER_BUSY_PAUSE_MS: u64 = 3_000;

/// Milliseconds between visits that bring nothing, at the most. Such a visit writes the alarm's row.
pub const PEER_MAX_PAUSE_MS: u64 = 60_000;

/// Milliseconds that a peer may be visited early, so that one alarm serves all whose time has come.
pub const PEER_SLACK_MS: u64 = 2_000;

/// Seconds until a peer is visited again of which one visit, two, ... have gone wrong; from then on as after the last of these.
pub const PEER_BACKOFF_SECONDS: [u64; 6] = [10, 30, 120, 600, 1_800, 3_600];

/// Bytes that are read of all peers together in a day; each has an equal share. A quarter of [`LOG_BYTES`], so that no peer can
/// push the host's own events out of the log before their time.
pub const PEERS_DAY_BYTES: u64 = 1 << 30;

/// Accounts out of step whose hosts are asked for their latest commit in one visit.
pub const PEER_MENDS: usize = 4;

/// Seconds until a host is asked again for the latest commit of an account that stayed out of step. After these it is not asked:
/// the account waits for a `#sync` of its own.
pub const PEER_MEND_SECONDS: [u64; 4] = [60, 600, 3_600, 21_600];

/// Milliseconds after which an account of a peer that has said nothing is forgotten: half a year. What follows is that its next
/// commit need not follow from its last.
pub const PEER_FORGET_MS: u64 = 180 * 24 * 3_600_000;

/// The same of an account that is not listened to: its peer is blocked, or has it no more on its list. A week, in which whoever
/// has blocked a peer may think better of it.
pub const PEER_UNWANTED_FORGET_MS: u64 = 7 * 24 * 3_600_000;

/// Milliseconds between two looks through the accounts of all peers.
pub const PEER_SWEEP_MS: u64 = 24 * 3_600_000;

/// Accounts of peers that are looked at in one turn, and forgotten at the most: some milliseconds.
pub const PEER_SWEEP_ACCOUNTS: usize = 1_000;

/// Bytes of the status of a peer's account (lexicon: agent.relay.subscribeEvents).
pub const MAX_STATUS_BYTES: usize = 32;

/// Bytes that the platform keeps with a socket that sleeps.
pub const ATTACHMENT_BYTES: usize = 16_384;

/// Bytes not yet taken by a subscriber above which it gets no more: it falls back to replay from the log, where waiting
/// costs no memory. Many subscribers have less each ([`TOTAL_BUFFER_BYTES`]).
pub const HIGH_WATER_BYTES: u64 = 256 << 10;

/// The least that [`HIGH_WATER_BYTES`] shrinks to: a handful of ordinary events.
pub const LEAST_HIGH_WATER_BYTES: u64 = 32 << 10;

/// Bytes that all subscribers together may have before them: an isolate has 128 MB for all its objects.
pub const TOTAL_BUFFER_BYTES: u64 = 16 << 20;

/// Events that a subscriber which once was live may lag behind before it is cut. The reference server cuts at 500, which
/// it holds in memory; these wait in the log.
pub const MAX_LAG_EVENTS: u64 = 2_000;

/// Bytes of the log that a turn reads for those who want some events: they may take little of much.
pub const TURN_SCAN_BYTES: usize = 4 << 20;

/// Milliseconds in which a subscriber must take what lies before it (at most [`HIGH_WATER_BYTES`] and one batch), or be
/// cut: a floor of about 17 kB/s on those that are behind.
pub const DRAIN_MS: u64 = 30_000;

/// Milliseconds between looks at a subscriber that is not taking what lies before it.
pub const PUMP_PAUSE_MS: u64 = 50;

/// Milliseconds until an alarm resumes a replay that an eviction has interrupted.
pub const PUMP_BACKSTOP_MS: u64 = 5_000;

/// Milliseconds between two requests to crawl, at the least, to one relay (reference server: 20 minutes).
pub const CRAWL_INTERVAL_MS: u64 = 20 * 60_000;

/// Bytes that are read of a relay's answer to a request to crawl.
pub const CRAWL_ANSWER_BYTES: usize = 64 << 10;

/// Milliseconds until a request to crawl is given up: the relay may look at this host before it answers.
pub const CRAWL_TIMEOUT_MS: u32 = 20_000;
