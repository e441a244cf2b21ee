-- The secrets of an agent's keys, one row an epoch, sealed under the host's key-encryption key. Empty for an account that is
-- no agent, and for an agent that keeps its keys to itself. An epoch ends when the next begins.
CREATE TABLE key_epoch (
  epoch INTEGER PRIMARY KEY,
  started_at INTEGER NOT NULL,
  secrets BLOB NOT NULL
) STRICT;
