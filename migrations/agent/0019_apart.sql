-- Memories that are too large for a row lie in the blob storage: `blob` is the name there, `blob_bytes` their length. In `text` is then,
-- sealed as ever, the key that they are sealed under, and what lists and searches say of them.
ALTER TABLE memory ADD COLUMN blob TEXT;
ALTER TABLE memory ADD COLUMN blob_bytes INTEGER;

-- Blobs that no memory names, until they are deleted: those that are on their way in, from before they are put until the turn that names
-- them, and those whose memory has gone.
CREATE TABLE memory_blob (
  name TEXT PRIMARY KEY,
  due INTEGER NOT NULL         -- microseconds
) STRICT, WITHOUT ROWID;
