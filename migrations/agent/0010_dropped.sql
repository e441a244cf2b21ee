-- Where each thread begins whose first messages were dropped: the last of them that a sender has sent there, the agent's own under
-- the empty name. What follows it is no gap, and nothing comes into its place again.
CREATE TABLE dropped (
  thread TEXT NOT NULL,
  sender TEXT NOT NULL,
  seq INTEGER NOT NULL,
  cid BLOB NOT NULL,
  PRIMARY KEY (thread, sender)
) STRICT, WITHOUT ROWID;
