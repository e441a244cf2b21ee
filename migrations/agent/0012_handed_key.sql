-- The data keys of the messages that a handoff has brought, in its order, kept under the agent's own key of an epoch: with them the keys
-- are not needed that they were sealed to. One row for each handoff that has come and names messages; it goes with the handoff.
CREATE TABLE handed_key (
  giver TEXT NOT NULL,
  id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  keys BLOB NOT NULL,
  PRIMARY KEY (giver, id)
) STRICT, WITHOUT ROWID;
