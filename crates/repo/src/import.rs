//! Taking in a whole repository.

use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_data::record;
use murmuration_keys::VerifyingKey;
use murmuration_syntax::Did;

use crate::car::{Limits, Reader, only_root};
use crate::{Cid, Commit, Key, NodeMap, Partial, RepoError, Walk};

/// A repository that has been read and verified whole.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The commit, whose signature has been verified.
    pub commit: Commit,
    /// The commit's CID.
    pub cid: Cid,
    /// The tree.
    pub nodes: NodeMap,
    /// The records, in the order of their keys.
    pub records: Vec<ImportedRecord>,
}

/// A record of an imported repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRecord {
    /// Its path.
    pub key: Key,
    /// Its CID.
    pub cid: Cid,
    /// Its block, which is valid as a record. Records of one CID share it.
    pub block: Rc<[u8]>,
}

/// Takes in a whole repository from a CAR that comes in pieces: all of it, verified, or nothing.
///
/// Blocks are held in memory until the end, because their order means nothing; the limits bound how much that is. Those
/// that the tree does not lead to are dropped.
#[derive(Debug)]
pub struct Import {
    reader: Reader,
    blocks: BTreeMap<Cid, Rc<[u8]>>,
}

impl Import {
    /// An import at the start of its CAR. [`Limits::IMPORT`] is what this host takes.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { reader: Reader::new(limits), blocks: BTreeMap::new() }
    }

    /// Takes the next piece of the CAR.
    ///
    /// # Errors
    /// The first thing that is wrong with it; the import is then of no further use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), RepoError> {
        let blocks = &mut self.blocks;
        self.reader.push(piece, &mut |cid, block| {
            blocks.entry(cid).or_insert_with(|| block.into());
            Ok(())
        })
    }

    /// Ends the CAR and verifies the repository: one root, which is a commit of `did` signed with `key`; a tree in
    /// which every rule holds, whole; every record there, valid, under a path.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn finish(self, did: &Did, key: &VerifyingKey) -> Result<Imported, RepoError> {
        let cid = only_root(&self.reader.finish()?)?;
        let block = |cid: &Cid| self.blocks.get(cid).map(AsRef::as_ref);
        let commit = Commit::decode(block(&cid).ok_or(RepoError::MissingBlock(cid))?)?;
        if commit.did != *did {
            return Err(RepoError::WrongDid);
        }
        commit.verify(key)?;
        let nodes = Partial::load_all(commit.data, block)?;
        let mut records = Vec::new();
        let mut walk = Walk::new(commit.data);
        while let Some((key, cid)) = walk.next_record(&nodes)? {
            let block = self.blocks.get(&cid).ok_or(RepoError::MissingBlock(cid))?;
            check(&key, block)?;
            records.push(ImportedRecord { key, cid, block: Rc::clone(block) });
        }
        Ok(Imported { commit, cid, nodes, records })
    }
}

/// Takes in a whole repository from a CAR in memory; see [`Import`].
///
/// # Errors
/// The first thing that is wrong.
pub fn import(car: &[u8], did: &Did, key: &VerifyingKey) -> Result<Imported, RepoError> {
    let mut import = Import::new(Limits::IMPORT);
    import.push(car)?;
    import.finish(did, key)
}

fn check(key: &Key, block: &[u8]) -> Result<(), RepoError> {
    key.path()?;
    match record::from_cbor(block) {
        Ok(_) => Ok(()),
        Err(source) => Err(RepoError::Record { key: key.clone(), source }),
    }
}
