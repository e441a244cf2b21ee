-- The storage of the host's relay. Every table is STRICT; there is no index but the primary keys. Times are milliseconds
-- since the Unix epoch.

-- One row: which steps of this directory have been taken.
CREATE TABLE schema (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;

-- The log's partitions, oldest first. Each is a table of its own, `log_<id>`, so that it can be dropped whole: dropping a
-- table writes no billed row, deleting writes one a row. `first_seq` of the last one is also the high-water mark that
-- keeps a sequence number from coming back when everything else is gone.
--
--   CREATE TABLE log_<id> (
--     seq INTEGER PRIMARY KEY,   -- of the first event in the row
--     last INTEGER NOT NULL,     -- of the last event in the row
--     at INTEGER NOT NULL,       -- when it was appended; never less than in the row before
--     size INTEGER NOT NULL,     -- bytes of all bodies in this partition up to and with this row
--     did TEXT NOT NULL,         -- whose events they are
--     ord INTEGER NOT NULL,      -- the account's own count of the last event in the row
--     body BLOB NOT NULL         -- the exact frames, each after its length (4 bytes, big-endian)
--   ) STRICT
CREATE TABLE partition (
  id INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  first_at INTEGER NOT NULL
) STRICT;

-- The relays that are asked to crawl this host. `asked_at`: the last time, 0 for never. `due_at`: the next time, or NULL.
CREATE TABLE crawl (
  relay TEXT PRIMARY KEY,
  asked_at INTEGER NOT NULL,
  due_at INTEGER
) STRICT, WITHOUT ROWID;
