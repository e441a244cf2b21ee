-- Which index of vectors outside is told of the documents: one row, none where there is no such index.
CREATE TABLE outer_index (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  name TEXT NOT NULL
) STRICT;

-- Documents of which it has not been told as they are now: a row each, the hash of the address. Whether the vector is to be put there or
-- to go, the document says.
CREATE TABLE outbox (
  name BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What it was told, and has not done yet: the name of the change, when it was told, and of which documents.
CREATE TABLE flight (
  number INTEGER PRIMARY KEY,
  mutation TEXT NOT NULL,
  sent_ms INTEGER NOT NULL,
  names BLOB NOT NULL
) STRICT;
