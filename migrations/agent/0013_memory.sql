-- The private memories of an agent, shaped as a permissioned repo of a space (proposal 0016). To create one writes four rows: the
-- memory, its operation, its space, and the page of the index that it is found by; one more where it ends by itself, and one more
-- under an idempotency key. What is sealed, and what can be seen of it without keys, is in docs/memory.md.

-- Memories. The text is sealed under a data key of its own for each version. `own` is that data key for the agent, sealed under its
-- keys of `own_epoch`, in a value of always the same length: a delete overwrites it before the row goes. `own_epoch` is NULL where no
-- key opens the row any more. `readers` is the data key for others. `slot` is the place in the index.
CREATE TABLE memory (
  space_type TEXT NOT NULL,
  skey TEXT NOT NULL,
  collection TEXT NOT NULL,
  rkey TEXT NOT NULL,
  rev TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  expires_at INTEGER,
  pinned INTEGER NOT NULL,
  slot INTEGER,
  own_epoch INTEGER,
  own BLOB NOT NULL,
  readers BLOB,
  text BLOB NOT NULL,
  PRIMARY KEY (space_type, skey, collection, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_expiry ON memory (expires_at) WHERE expires_at IS NOT NULL;

-- A space: its revision, and sealed its set hash and its counts.
CREATE TABLE memory_space (
  space_type TEXT NOT NULL,
  skey TEXT NOT NULL,
  rev TEXT NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (space_type, skey)
) STRICT, WITHOUT ROWID;

-- The operations of late, in a ring: an operation takes the place of the one that is so many behind it, so nothing is to be pruned.
-- `cids` is sealed. `request` and `digest` are keyed hashes of the idempotency key and of what it was used for.
CREATE TABLE memory_op (
  place INTEGER PRIMARY KEY,
  ord INTEGER NOT NULL,
  space_type TEXT NOT NULL,
  skey TEXT NOT NULL,
  rev TEXT NOT NULL,
  collection TEXT NOT NULL,
  rkey TEXT NOT NULL,
  cids BLOB NOT NULL,
  request BLOB,
  digest BLOB
) STRICT;
CREATE UNIQUE INDEX memory_request ON memory_op (request) WHERE request IS NOT NULL;

-- Working state: one row written for each change. `name` is a keyed hash of the entry's key, which is sealed with its value.
CREATE TABLE memory_state (
  name BLOB PRIMARY KEY,
  rev TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  expires_at INTEGER,
  own_epoch INTEGER,
  own BLOB NOT NULL,
  text BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_state_expiry ON memory_state (expires_at) WHERE expires_at IS NOT NULL;

-- One row: the secret that names, counts and pages are kept under, sealed as a memory is. It is drawn once; a rotation wraps it anew.
CREATE TABLE memory_key (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  own_epoch INTEGER,
  own BLOB NOT NULL,
  text BLOB NOT NULL
) STRICT;

-- The index: pages of entries, sealed whole.
CREATE TABLE memory_page (
  page INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
) STRICT;
