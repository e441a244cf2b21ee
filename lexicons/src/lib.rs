//! Validates data against lexicon documents, and carries the documents.
