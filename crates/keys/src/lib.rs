//! Signing keys, did:key, and the sealing of secret keys at rest.
