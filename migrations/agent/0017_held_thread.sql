-- Threads of which messages were handed over: what is in them stays until then, for whoever has their keys.
CREATE TABLE held_thread (
  thread TEXT PRIMARY KEY,
  until INTEGER NOT NULL       -- microseconds
) STRICT, WITHOUT ROWID;
