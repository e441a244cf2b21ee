-- The rest of an account: its standing, app passwords, codes sent by mail, preferences, takedowns, what it may still write.

-- When the owner showed that mail to the address arrives, or NULL.
ALTER TABLE account ADD COLUMN email_confirmed_at INTEGER;

-- The reference under which the operator has taken the account down, or NULL. `status` is the owner's side alone: 'active'
-- or 'deactivated'.
ALTER TABLE account ADD COLUMN takedown TEXT;

-- When the owner wants a deactivated account deleted, as they wrote it.
ALTER TABLE account ADD COLUMN delete_after TEXT;

-- Since when the account is deactivated, or NULL.
ALTER TABLE account ADD COLUMN deactivated_at INTEGER;

-- The reference under which the operator has taken a record down, or NULL. It goes with the record.
ALTER TABLE record ADD COLUMN takedown TEXT;

-- The same for a blob. It stays when no record refers to the blob any more: the row and the bytes are kept until it is
-- lifted.
ALTER TABLE blob ADD COLUMN takedown TEXT;

-- The app password that a session was begun with; NULL for the account's own password.
ALTER TABLE session ADD COLUMN app_password TEXT;

-- What the account has spent of its write limits, as of this turn: it rides in the row that a turn writes anyway.
ALTER TABLE log ADD COLUMN spent BLOB;

-- App passwords, by the name that their owner gave them. `hash` is a SHA-256: they are random, and nobody guesses them.
CREATE TABLE app_password (
  name TEXT PRIMARY KEY,
  hash TEXT NOT NULL,
  privileged INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Codes that were sent by mail, one a purpose; a new one replaces the old. `hash` is the SHA-256 of purpose and code, `wrong`
-- how often another code was tried.
CREATE TABLE email_token (
  purpose TEXT PRIMARY KEY,
  hash BLOB NOT NULL,
  requested_at INTEGER NOT NULL,
  wrong INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Preferences, one row a namespace: the JSON list of those whose `$type` is in it.
CREATE TABLE preference (
  namespace TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
