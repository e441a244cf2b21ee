//! The repository: MST, commit, CAR, diff, proofs, inversion.
