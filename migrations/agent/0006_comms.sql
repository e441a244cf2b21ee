-- Messages between agents. A message that is delivered writes at most six rows on both sides together, index entries
-- included: three of its sender (the row and its place in the thread, and how it ended) and three of its reader (the row, its
-- name, and its place in the thread). A request writes one more on each side, and one in quarantine one more.

-- Parcels that have come, in the order of their arrival. `state`: 0 open, 1 in quarantine, 2 done, 3 dead. An open one is not
-- handed out before `due`; it is leased if `leased` is 1 and `due` has not come. `task` is how the task stands that it asks for, if
-- it is a request, since `task_at`.
CREATE TABLE inbox (
  ord INTEGER PRIMARY KEY,
  sender TEXT NOT NULL,
  id TEXT NOT NULL,
  thread TEXT NOT NULL,
  seq INTEGER NOT NULL,
  cid BLOB NOT NULL,
  type TEXT NOT NULL,
  priority INTEGER NOT NULL,
  at INTEGER NOT NULL,
  expires_at INTEGER,
  state INTEGER NOT NULL,
  due INTEGER NOT NULL,
  leased INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  reason TEXT,
  task INTEGER,
  task_at INTEGER,
  parcel BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX inbox_id ON inbox (sender, id);
CREATE UNIQUE INDEX inbox_thread ON inbox (thread, sender, seq);
CREATE INDEX inbox_request ON inbox (id, sender) WHERE type = 'agent.comms.request';
CREATE INDEX inbox_quarantine ON inbox (ord) WHERE state = 1;

-- Parcels that were sent. `digest` is the hash of what was asked to be sent, so that the same call is known again.
-- `deliveries` is how it stands with each recipient, packed; `due` when one of them is to be tried again, or NULL.
CREATE TABLE sent (
  id TEXT PRIMARY KEY,
  thread TEXT NOT NULL,
  seq INTEGER NOT NULL,
  cid BLOB NOT NULL,
  type TEXT NOT NULL,
  digest BLOB NOT NULL,
  at INTEGER NOT NULL,
  expires_at INTEGER,
  due INTEGER,
  deliveries BLOB NOT NULL,
  task INTEGER,
  task_at INTEGER,
  parcel BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sent_thread ON sent (thread, seq);
CREATE INDEX sent_request ON sent (id) WHERE type = 'agent.comms.request';

-- One row: before which `ord` of the inbox and which `id` of what was sent nothing is open. Behind the truth by a few, so that it
-- is seldom written.
CREATE TABLE comms (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  inbox_floor INTEGER NOT NULL,
  sent_floor TEXT NOT NULL
) STRICT;
