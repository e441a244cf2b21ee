-- The host's directory: which account goes by which DID, handle and e-mail address.
--
-- One row an account, written when it is made and when its handle, address or status changes; never by a repository
-- write. The two UNIQUE constraints are the only indexes, each one entry a row:
--   handle: requests, session look-ups and handle resolution name an account by it, and no two accounts may share one;
--   email:  session look-ups name an account by it, and no two accounts may share one. NULL for an account without.
-- A page of all accounts walks the primary key, so `created_at` and `status` need no index.
CREATE TABLE account (
  did        TEXT    NOT NULL PRIMARY KEY,
  handle     TEXT    NOT NULL UNIQUE,          -- lower case
  email      TEXT    UNIQUE,                   -- lower case
  status     TEXT    NOT NULL CHECK (status IN ('reserved', 'active', 'deactivated', 'takendown', 'suspended')),
  created_at INTEGER NOT NULL                  -- milliseconds since the Unix epoch
) STRICT, WITHOUT ROWID;
