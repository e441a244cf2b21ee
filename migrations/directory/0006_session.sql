-- Service tokens that were used, where one may be used only once: by the moderation service, to change something. Told apart
-- by their end and their issuer's id for them. Those that have ended are deleted when the next is noted.
CREATE TABLE spent_token (
  expires_at INTEGER NOT NULL,                 -- seconds since the Unix epoch
  token      TEXT    NOT NULL,                 -- the issuer's DID, a space, and the token's `jti`
  PRIMARY KEY (expires_at, token)
) STRICT, WITHOUT ROWID;

-- Signing keys that are to be the keys of accounts to come. A row goes when its account is made, or when it has waited too
-- long.
CREATE TABLE reserved_key (
  public_key  TEXT    NOT NULL PRIMARY KEY,    -- did:key
  did         TEXT    UNIQUE,                  -- whose it will be, where that is known already
  secret      BLOB    NOT NULL,                -- sealed under the host's key-encryption key
  reserved_at INTEGER NOT NULL                 -- milliseconds since the Unix epoch
) STRICT, WITHOUT ROWID;
