-- One row while memories are yet to be embedded: those that were written while the embedder did not answer, and all of them when the
-- embedder is another one. `after` is the last place of the index that was looked at, -1 at the beginning.
CREATE TABLE memory_embedding (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  after INTEGER NOT NULL,
  due INTEGER NOT NULL,        -- microseconds
  tries INTEGER NOT NULL       -- how often the embedder did not answer, one after another
) STRICT;
