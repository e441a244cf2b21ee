-- The storage of one agent's object. Every table is STRICT; there is no index but the primary keys, because each index
-- entry is a billed row. Times are microseconds since the Unix epoch. CIDs are their 36 bytes. A rev is its 13 letters,
-- which sort as the numbers do.

-- One row: who this is. `signing_key` is sealed under the host's key-encryption key.
CREATE TABLE account (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  schema INTEGER NOT NULL,
  did TEXT NOT NULL,
  handle TEXT NOT NULL,
  email TEXT,
  password TEXT NOT NULL,
  status TEXT NOT NULL,
  signing_key BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- The records, by `collection/rkey`: one column, so that they sort as the tree's keys do. A record's CID is the hash of
-- `value`, so it is not stored. `rev` is the commit that wrote it.
CREATE TABLE record (
  path TEXT PRIMARY KEY,
  rev TEXT NOT NULL,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The tree at the last checkpoint, three layers of nodes a row, under the CID of the topmost node.
CREATE TABLE page (
  root BLOB PRIMARY KEY,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The last turns that changed something: a ring, so that no row is ever deleted. `head` is the commit block after the
-- turn, `drafts` the events that it made, `at` when, `checkpoint` 1 if the pages hold the tree as of this turn.
CREATE TABLE log (
  slot INTEGER PRIMARY KEY,
  ord INTEGER NOT NULL,
  at INTEGER NOT NULL,
  head BLOB NOT NULL,
  checkpoint INTEGER NOT NULL,
  drafts BLOB NOT NULL
) STRICT;

-- Turns whose slot in the ring was needed before the relay had taken their events. Empty unless the relay is away.
CREATE TABLE outbox (
  ord INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  drafts BLOB NOT NULL
) STRICT;

-- Blobs. `key` is where the bytes lie. `state`: 0 uploaded and not referenced, 1 referenced, 2 to be deleted.
CREATE TABLE blob (
  cid BLOB PRIMARY KEY,
  key TEXT NOT NULL,
  mime TEXT NOT NULL,
  size INTEGER NOT NULL,
  state INTEGER NOT NULL,
  since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which records refer to which blobs.
CREATE TABLE blob_use (
  cid BLOB NOT NULL,
  path TEXT NOT NULL,
  rev TEXT NOT NULL,
  PRIMARY KEY (cid, path)
) STRICT, WITHOUT ROWID;

-- Likes, reposts, follows and blocks by their subject: a second one of the same subject replaces the first.
CREATE TABLE backlink (
  collection TEXT NOT NULL,
  subject TEXT NOT NULL,
  path TEXT NOT NULL,
  PRIMARY KEY (collection, subject, path)
) STRICT, WITHOUT ROWID;

-- Sessions, by the id of their refresh token. `next` is the id that a refresh has already given out.
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  scope TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  next TEXT
) STRICT, WITHOUT ROWID;
