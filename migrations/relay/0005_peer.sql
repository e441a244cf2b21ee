-- Peers: other hosts whose events are merged into the stream of agent.relay. `cursor`: of the peer's own stream; everything up
-- to here was judged, and what was believed of it is in the log.
CREATE TABLE peer (
  host TEXT PRIMARY KEY,       -- its name, and its port where that is not the usual one
  did TEXT,                    -- who it says that it is; NULL where it was not asked
  trust TEXT NOT NULL,
  cursor INTEGER NOT NULL,
  accounts INTEGER NOT NULL,   -- that it has brought
  failures INTEGER NOT NULL,   -- visits that went wrong, one after another
  problem TEXT,                -- how the last one did
  due_at INTEGER NOT NULL,     -- not before
  news_at INTEGER NOT NULL,    -- when something of it was last read; 0 for never
  day_at INTEGER NOT NULL,     -- since when `bytes` are counted
  bytes INTEGER NOT NULL,      -- of what was read of it
  allow TEXT NOT NULL          -- DIDs, with blanks between
) STRICT, WITHOUT ROWID;

-- What the next event of a peer's account is checked against. The index holds only those that are out of step, which are few.
CREATE TABLE peer_account (
  did TEXT PRIMARY KEY,
  host TEXT NOT NULL,          -- the peer that has it
  active INTEGER NOT NULL,
  rev TEXT,                    -- of its last commit; NULL while there was none
  data BLOB,                   -- the CID of that commit's tree
  mend_at INTEGER,             -- NULL while it is in step; else when its host is to be asked for its latest commit
  tries INTEGER NOT NULL       -- how often that was
) STRICT, WITHOUT ROWID;
CREATE INDEX peer_account_mend ON peer_account (host, mend_at) WHERE mend_at IS NOT NULL;
