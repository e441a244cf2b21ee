-- Which accounts hold records of which collections: a row a pair, written with the first event that creates a record there.
CREATE TABLE collection (
  collection TEXT NOT NULL,
  did TEXT NOT NULL,
  PRIMARY KEY (collection, did)
) STRICT, WITHOUT ROWID;
