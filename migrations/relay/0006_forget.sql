-- Accounts of peers are forgotten when nothing was heard of them for long. `seen_at` is when an account's row was last written,
-- milliseconds; 0 for what was written before this column was here, of which the rev says it.
ALTER TABLE peer_account ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;

-- One row: how far the accounts of peers were looked through for those to be forgotten, and when to go on.
CREATE TABLE peer_sweep (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  after TEXT NOT NULL,
  due_at INTEGER NOT NULL      -- milliseconds
) STRICT;
