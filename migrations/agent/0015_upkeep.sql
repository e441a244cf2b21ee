-- What is to be done with memories by itself: one row, sealed but for when the next of it is due.
CREATE TABLE memory_upkeep (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  due INTEGER,
  jobs BLOB NOT NULL
) STRICT;
