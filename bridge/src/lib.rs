//! Identity across networks: did:plc, did:web, handles, resolution.
