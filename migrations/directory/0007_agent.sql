-- The agents among the accounts: which did:cf stands for which DID, and what each says of itself. `object` is the id in the
-- did:cf. `profile` is the record agent.identity.profile/self as JSON, or NULL; `words` are those of it that are searched, in lower
-- case. `ended` is 1 when the account was deleted: the row stays, so that its did:cf is never another's.
CREATE TABLE agent (
  did     TEXT    NOT NULL PRIMARY KEY,
  object  TEXT    NOT NULL UNIQUE,
  ended   INTEGER NOT NULL,
  profile TEXT,
  words   TEXT    NOT NULL,
  since   INTEGER NOT NULL                     -- milliseconds since the Unix epoch
) STRICT, WITHOUT ROWID;

-- Agents that were asked for under a key of the caller's, so that asking again makes no second one. `key` and `asked` are hashes: of
-- the key and of who used it, and of all that was asked for.
CREATE TABLE agent_request (
  key   BLOB    NOT NULL PRIMARY KEY,
  asked BLOB    NOT NULL,
  did   TEXT    NOT NULL,
  at    INTEGER NOT NULL                       -- milliseconds since the Unix epoch
) STRICT, WITHOUT ROWID;
