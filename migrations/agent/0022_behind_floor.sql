-- Messages before `inbox_floor` that are still open, eight bytes each: so that one that nobody claims does not have all be read that is done
-- behind it. It is written with the floor, in the same row.
ALTER TABLE comms ADD COLUMN inbox_behind BLOB;
