//! The AT Protocol data model: strict DAG-CBOR, its JSON form, CIDs and blob references.
