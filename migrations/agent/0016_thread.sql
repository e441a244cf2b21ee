-- Which turns of a thread were read for memories: keyed hashes, sealed. `name` is a keyed hash of the thread's.
CREATE TABLE memory_thread (
  name BLOB PRIMARY KEY,
  read_at INTEGER NOT NULL,
  turns BLOB NOT NULL
) STRICT, WITHOUT ROWID;
