-- Webhooks: whom the relay tells of events, and how far it has told each. `after`: everything up to this number was
-- delivered, and something behind it is owed; NULL while nothing is. `through`: where the message ends that was sent last and
-- not taken. `due_at`: not before. The long columns come last, so that waking does not read the pages that they overflow into.
CREATE TABLE webhook (
  id INTEGER PRIMARY KEY,      -- at random
  did TEXT NOT NULL,           -- whose it is
  url TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  after INTEGER,
  through INTEGER,
  failures INTEGER NOT NULL,   -- one after another
  due_at INTEGER NOT NULL,
  secret BLOB NOT NULL,        -- sealed under the host's key-encryption key
  filter TEXT NOT NULL,        -- as it is kept with a socket
  wanted TEXT NOT NULL         -- as its owner has said it, JSON
) STRICT;
