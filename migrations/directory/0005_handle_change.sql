-- A change of an account's identity that is under way: the handle that it will have, and since when (milliseconds). The
-- handle is taken for it, as `handle` is, and both lead to the account until the change is done.
ALTER TABLE account ADD COLUMN next_handle TEXT;
ALTER TABLE account ADD COLUMN next_since INTEGER;

-- Holds an entry only while a change is under way. Every look for a handle reads it.
CREATE UNIQUE INDEX account_next_handle ON account (next_handle) WHERE next_handle IS NOT NULL;
