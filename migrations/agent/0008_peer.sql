-- Agents of other hosts that this one has written to: the latest epoch of the keys that each was proven to publish, when that was
-- last so, in microseconds. One row is written when an agent is met, when its keys change, and when a proof is old.
CREATE TABLE peer (
  did TEXT PRIMARY KEY,
  keys BLOB NOT NULL,
  proven_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
