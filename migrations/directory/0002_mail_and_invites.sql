-- Codes that set a new password, by whose they are: the owner who has forgotten it names nothing but the code. The object
-- judges it; this says which object. `hash` is the SHA-256 of the code.
CREATE TABLE password_reset (
  did  TEXT NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- Invite codes. `uses` is how many accounts a code is good for, `created_by` is 'admin' or a DID, `created_at` in
-- milliseconds since the Unix epoch.
CREATE TABLE invite_code (
  code        TEXT    NOT NULL PRIMARY KEY,
  uses        INTEGER NOT NULL,
  disabled    INTEGER NOT NULL,
  for_account TEXT    NOT NULL,
  created_by  TEXT    NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Clients ask for an account's codes again and again; a code is made once.
CREATE INDEX invite_code_for_account ON invite_code (for_account);

-- Which accounts were made with which code.
CREATE TABLE invite_use (
  code    TEXT    NOT NULL,
  used_by TEXT    NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (code, used_by)
) STRICT, WITHOUT ROWID;

-- Accounts that get no more codes.
CREATE TABLE invite_stop (
  did  TEXT NOT NULL PRIMARY KEY,
  note TEXT
) STRICT, WITHOUT ROWID;
