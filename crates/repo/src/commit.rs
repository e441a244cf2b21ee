//! Commits: the signature over a tree.

use murmuration_data::cbor::{Reader, Writer};
use murmuration_data::{DataError, cid_of_cbor};
use murmuration_keys::{SigningKey, Verify};
use murmuration_syntax::{Did, Rev};

use crate::node::{field, may_stand_in_a_tree};
use crate::{Cid, MAX_COMMIT_BYTES, RepoError};

/// A signed commit, version 3: which tree an account's repository is, since which rev.
///
/// Its block is `{did, rev, sig, data, prev, version}`; the signature is over the same map without `sig`
/// (<https://atproto.com/specs/repository#commit-objects>).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The account.
    pub did: Did,
    /// The revision, which only ever grows.
    pub rev: Rev,
    /// The root of the tree.
    pub data: Cid,
    /// The commit before. Always none in commits made here; repositories older than version 3 may have one.
    pub prev: Option<Cid>,
    /// The signature: 64 bytes, `r` and `s`.
    pub sig: Vec<u8>,
}

impl Commit {
    /// Signs a tree.
    ///
    /// # Errors
    /// [`RepoError::Link`] when `data` can be the CID of no tree.
    pub fn sign(did: &Did, data: Cid, rev: Rev, key: &SigningKey) -> Result<Self, RepoError> {
        if !may_stand_in_a_tree(&data) {
            return Err(RepoError::Link(data));
        }
        let mut commit = Self { did: did.clone(), rev, data, prev: None, sig: Vec::new() };
        commit.sig = key.sign(&commit.write(false)).to_vec();
        Ok(commit)
    }

    /// Verifies the signature. High-S signatures are refused, as the specification demands of commits.
    ///
    /// # Errors
    /// [`RepoError::Signature`].
    pub fn verify(&self, key: &impl Verify) -> Result<(), RepoError> {
        key.verify(&self.write(false), &self.sig).map_err(|_| RepoError::Signature)
    }

    /// The commit's block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.write(true)
    }

    /// The commit's CID. Encodes and hashes it.
    #[must_use]
    pub fn cid(&self) -> Cid {
        cid_of_cbor(&self.encode())
    }

    /// Reads a commit. Its signature is not verified.
    ///
    /// # Errors
    /// When the block is not a commit of version 3 in its one form.
    pub fn decode(block: &[u8]) -> Result<Self, RepoError> {
        if block.len() > MAX_COMMIT_BYTES {
            return Err(RepoError::too_large("commit's bytes", MAX_COMMIT_BYTES));
        }
        let mut reader = Reader::new(block);
        if reader.map().map_err(cbor)? != 6 {
            return Err(malformed("has not the six fields of version 3"));
        }
        field(&mut reader, "did", COMMIT)?;
        let did = Did::parse(reader.text().map_err(cbor)?).map_err(|_| malformed("has a malformed DID"))?;
        field(&mut reader, "rev", COMMIT)?;
        let rev = Rev::parse(reader.text().map_err(cbor)?).map_err(|_| malformed("has a malformed rev"))?;
        field(&mut reader, "sig", COMMIT)?;
        let sig = reader.bytes().map_err(cbor)?;
        if sig.len() != SIGNATURE_BYTES {
            return Err(malformed("has a signature that is not 64 bytes"));
        }
        field(&mut reader, "data", COMMIT)?;
        let data = reader.link().map_err(cbor)?;
        if !may_stand_in_a_tree(&data) {
            return Err(RepoError::Link(data));
        }
        field(&mut reader, "prev", COMMIT)?;
        let prev = reader.optional_link().map_err(cbor)?;
        field(&mut reader, "version", COMMIT)?;
        if reader.uint().map_err(cbor)? != VERSION {
            return Err(malformed("is not of version 3"));
        }
        reader.end().map_err(cbor)?;
        Ok(Self { did, rev, data, prev, sig: sig.to_vec() })
    }

    fn write(&self, signed: bool) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        writer.map(if signed { 6 } else { 5 });
        writer.text("did").text(self.did.as_str());
        writer.text("rev").text(&self.rev.to_string());
        if signed {
            writer.text("sig").bytes(&self.sig);
        }
        writer.text("data").link(&self.data);
        writer.text("prev").optional_link(self.prev.as_ref());
        writer.text("version").uint(VERSION);
        writer.into_bytes()
    }
}

fn cbor(source: DataError) -> RepoError {
    RepoError::Cbor { what: COMMIT, source }
}

const fn malformed(rule: &'static str) -> RepoError {
    RepoError::Malformed { what: COMMIT, rule }
}

const COMMIT: &str = "commit";
const VERSION: u64 = 3;
const SIGNATURE_BYTES: usize = 64;
