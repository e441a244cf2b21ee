-- What became of sent messages later than their names say (crates/comms/src/news.rs), by the numbers of the news of it: so that news
-- behind a number are found without reading all that was sent. A try of an old message writes 1 row here, and deletes that of the
-- try before.
CREATE TABLE late_receipt (
  at INTEGER PRIMARY KEY,
  id TEXT NOT NULL
) STRICT;

-- The number of the last news that was dropped: whoever has an earlier one has missed something.
ALTER TABLE comms ADD COLUMN dropped_through INTEGER NOT NULL DEFAULT 0;

-- When the last message of a thread was dropped.
ALTER TABLE dropped ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE dropped SET at = unixepoch() * 1000000;
