-- The SHA-256 of the value, so that nobody who reads a record must hash it. NULL where an earlier version wrote it.
ALTER TABLE record ADD COLUMN digest BLOB;
