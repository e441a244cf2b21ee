-- The rest of an account: its standing, app passwords, codes sent by mail, preferences, takedowns, what it may still write.

-- 1 once the owner has shown that mail to the address arrives.
ALTER TABLE account ADD COLUMN email_confirmed INTEGER NOT NULL DEFAULT 0;

-- The reference under which the operator has taken the account down, or NULL. `status` is the owner's side alone: 'active'
-- or 'deactivated'.
ALTER TABLE account ADD COLUMN takedown TEXT;

-- When the owner wants a deactivated account deleted, as they wrote it.
ALTER TABLE account ADD COLUMN delete_after TEXT;

-- The app password that a session was begun with; NULL for the account's own password.
ALTER TABLE session ADD COLUMN app_password TEXT;

-- What the account has spent of its write limits, as of this turn: it rides in the row that a turn writes anyway.
ALTER TABLE log ADD COLUMN spent BLOB;

-- App passwords, by the name that their owner gave them. `hash` is Argon2id.
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

-- Records and blobs that the operator has taken down: `collection/rkey`, or the text of a CID.
CREATE TABLE takedown (
  subject TEXT PRIMARY KEY,
  reference TEXT NOT NULL
) STRICT, WITHOUT ROWID;
