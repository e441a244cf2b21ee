//! An account on one object's storage: repository, blobs, credentials, sessions, outbox.
