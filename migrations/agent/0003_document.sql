-- Since when the account's DID document may have changed without an event that tells of it, or NULL.
ALTER TABLE account ADD COLUMN document_changing_since INTEGER;
