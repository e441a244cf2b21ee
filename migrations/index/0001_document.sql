-- The version of these tables.
CREATE TABLE schema (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;

-- How far the relay's log was read: one row, written with what was found there.
CREATE TABLE place (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  cursor INTEGER NOT NULL
) STRICT;

-- The embedders that have made vectors.
CREATE TABLE model (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

-- A public record, a row each. The record comes last, so that waking reads nothing of it.
CREATE TABLE document (
  slot INTEGER PRIMARY KEY,
  did TEXT NOT NULL,
  path TEXT NOT NULL,
  cid TEXT NOT NULL,
  -- The revision of its repository with which it came: it also says since when it is known.
  rev TEXT NOT NULL,
  -- Microseconds since the Unix epoch.
  made INTEGER NOT NULL,
  valid_from INTEGER,
  valid_to INTEGER,
  expires INTEGER,
  -- Four bytes for each of its tags.
  tags BLOB NOT NULL,
  -- The embedder that was asked for its vector; 0 if none was.
  model INTEGER NOT NULL,
  -- Its words and its vector, as `murmuration_recall` has them.
  entry BLOB NOT NULL,
  -- JSON.
  record TEXT NOT NULL
) STRICT;

-- Accounts that are not served, and those of other hosts whose handle is known.
CREATE TABLE account (
  did TEXT PRIMARY KEY,
  handle TEXT,
  inactive INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records that the operator has taken down, whether they are known here or not.
CREATE TABLE hidden (
  uri TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
