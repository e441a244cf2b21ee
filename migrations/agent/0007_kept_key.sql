-- The data key of a sealed message, kept under the agent's own key of a later epoch than the one that the message was sealed
-- in: with it the secrets of that epoch are not needed. NULL where there is none yet. One row is written for each message.
ALTER TABLE inbox ADD COLUMN kept BLOB;
ALTER TABLE sent ADD COLUMN kept BLOB;

-- One row: up to which message a rotation has come that brings all of them under the keys of `epoch`. No row before the first
-- rotation that finds a message.
CREATE TABLE rewrap (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL,
  inbox_at INTEGER NOT NULL,
  sent_at TEXT NOT NULL,
  done INTEGER NOT NULL
) STRICT;
