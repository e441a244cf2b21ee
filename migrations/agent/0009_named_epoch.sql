-- Whether the DID document names the keys of an epoch, or has no need to. Of the epoch that a rotation has begun it does not at first.
ALTER TABLE key_epoch ADD COLUMN named INTEGER NOT NULL DEFAULT 1;
