-- Accounts with webhooks that are not active, deactivated or taken down: nothing is sent for them. A row is written when such
-- an account ceases to be active, and deleted when it is active again or gone.
CREATE TABLE resting (
  did TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
