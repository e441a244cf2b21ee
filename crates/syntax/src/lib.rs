//! Identifiers of the AT Protocol, parsed once: DID, handle, NSID, record key, TID, AT URI.
