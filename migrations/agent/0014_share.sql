-- Memories that are shared, key by key.

-- Who reads a memory beside its agent. `key` is the data key of one version of it, sealed to a key of the reader's: of that version whose
-- text begins with `sealing`. Where the memory has a later version, or the reader another key, it is sealed anew when the reader asks. To
-- share writes one row, and so does that.
CREATE TABLE memory_share (
  space_type TEXT NOT NULL,
  skey TEXT NOT NULL,
  collection TEXT NOT NULL,
  rkey TEXT NOT NULL,
  reader TEXT NOT NULL,
  shared_at INTEGER NOT NULL,
  sealing BLOB NOT NULL,
  key BLOB NOT NULL,
  PRIMARY KEY (space_type, skey, collection, rkey, reader)
) STRICT, WITHOUT ROWID;

-- Memories of others that were shared with this agent, as far as it was told. Nothing of them is here but their names.
CREATE TABLE memory_received (
  author TEXT NOT NULL,
  collection TEXT NOT NULL,
  rkey TEXT NOT NULL,
  noted_at INTEGER NOT NULL,
  PRIMARY KEY (author, collection, rkey)
) STRICT, WITHOUT ROWID;
