//! Taking in a whole repository.
//!
//! A CAR is read twice. While it comes, every block is hashed and nothing is kept of it but where it lies; when it is
//! whole, the tree is gone through from its root, and a block is looked at in its place. So what this takes of memory is
//! forty bytes a block and one way down the tree, whatever the repository holds; the CAR itself lies with the caller
//! ([`Held`]), who may have a better place for it.

use std::rc::Rc;

use murmuration_data::{DAG_CBOR, record};
use murmuration_keys::VerifyingKey;
use murmuration_syntax::Did;

use crate::car::{self, Limits, Reader, only_root};
use crate::{Cid, Commit, Key, MAX_CLIENT_LAYER, Node, NodeMap, Nodes, RepoError, Step, Walk};

/// The bytes of a CAR that has been read once.
pub trait Held {
    /// So many bytes from there on, counted from the first of the CAR.
    fn bytes(&self, at: usize, length: usize) -> Vec<u8>;
}

impl<T: AsRef<[u8]>> Held for T {
    fn bytes(&self, at: usize, length: usize) -> Vec<u8> {
        self.as_ref().get(at..at.saturating_add(length)).unwrap_or_default().to_vec()
    }
}

/// Takes in a whole repository from a CAR that comes in pieces: all of it, verified, or nothing.
///
/// The order of blocks means nothing. Those that the tree does not lead to are dropped.
#[derive(Debug)]
pub struct Import {
    reader: Reader,
    places: Places,
}

impl Import {
    /// An import at the start of its CAR. [`Limits::IMPORT`] is what this host takes.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { reader: Reader::new(limits), places: Places { end: 0, all: Vec::new() } }
    }

    /// Takes the next piece of the CAR.
    ///
    /// # Errors
    /// The first thing that is wrong with it; the import is then of no further use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), RepoError> {
        let places = &mut self.places;
        self.reader.push(piece, &mut |cid, block| places.note(&cid, block.len()))
    }

    /// Ends the CAR and verifies the repository: one root, which is a commit of `did` signed with one of `keys`; a tree in
    /// which every rule holds, whole; every record there, valid, under a path.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn finish<'h>(
        self,
        held: &'h dyn Held,
        did: &Did,
        keys: &[VerifyingKey],
    ) -> Result<Whole<'h>, RepoError> {
        let first = self.reader.header_bytes();
        let cid = only_root(&self.reader.finish()?)?;
        let mut places = self.places.all;
        places.sort_unstable_by_key(|place| place.digest);
        let blocks = Blocks { held, first, places };
        let commit = Commit::decode(&blocks.block(&cid)?)?;
        if commit.did != *did {
            return Err(RepoError::WrongDid);
        }
        if !keys.iter().any(|key| commit.verify(key).is_ok()) {
            return Err(RepoError::Signature);
        }
        let whole = Whole { commit, cid, blocks };
        whole.verify()?;
        Ok(whole)
    }
}

/// A repository that has been verified whole, in the CAR that it came in.
pub struct Whole<'h> {
    /// The commit, whose signature has been verified.
    pub commit: Commit,
    /// The commit's CID.
    pub cid: Cid,
    blocks: Blocks<'h>,
}

impl Whole<'_> {
    /// A walk through the tree, whose nodes this is the source of.
    #[must_use]
    pub const fn walk(&self) -> Walk {
        Walk::new(self.commit.data)
    }

    /// A block: a node's, or a record's, which is then valid as a record.
    ///
    /// # Errors
    /// [`RepoError::MissingBlock`] for one that the CAR does not have.
    pub fn block(&self, cid: &Cid) -> Result<Vec<u8>, RepoError> {
        self.blocks.block(cid)
    }

    /// What a node shows by itself is checked as it is read. What none shows is that keys are in order throughout the tree,
    /// and with it that no subtree stands there twice, since each has a key.
    fn verify(&self) -> Result<(), RepoError> {
        let layer = self.node(&self.commit.data)?.layer();
        if layer > MAX_CLIENT_LAYER {
            return Err(RepoError::LayerLimit { layer, limit: MAX_CLIENT_LAYER });
        }
        let mut last: Option<Key> = None;
        let mut walk = self.walk();
        while let Some((key, cid)) = walk.next_record(self)? {
            if last.is_some_and(|last| last >= key) {
                return Err(RepoError::KeyOrder);
            }
            key.path()?;
            if let Err(source) = record::from_cbor(&self.block(&cid)?) {
                return Err(RepoError::Record { key, source });
            }
            last = Some(key);
        }
        Ok(())
    }
}

impl Nodes for Whole<'_> {
    /// The root: a node below it is a [`Nodes::child`].
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        Node::decode_root(&self.block(cid)?).map(Rc::new)
    }

    fn child(&self, cid: &Cid, layer: u32) -> Result<Rc<Node>, RepoError> {
        Node::decode(&self.block(cid)?, layer).map(Rc::new)
    }
}

/// Where the blocks of a CAR lie that a tree can lead to, as they came.
#[derive(Debug)]
struct Places {
    /// Behind the last section, counted from the first behind the header.
    end: usize,
    all: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    digest: [u8; 32],
    at: u32,
    length: u32,
}

impl Places {
    fn note(&mut self, cid: &Cid, length: usize) -> Result<(), RepoError> {
        self.end = self.end.saturating_add(car::block_len(length));
        // No link of a tree leads to a block of another codec.
        if cid.codec() == DAG_CBOR {
            let number = |number: usize| {
                u32::try_from(number).map_err(|_| RepoError::too_large("CAR's bytes", number))
            };
            let (at, length) = (number(self.end.saturating_sub(length))?, number(length)?);
            self.all.push(Place { digest: digest(cid)?, at, length });
        }
        Ok(())
    }
}

/// Blocks in the CAR that they came in.
struct Blocks<'h> {
    held: &'h dyn Held,
    /// Where the first section behind the header begins.
    first: usize,
    /// In the order of the digests.
    places: Vec<Place>,
}

impl Blocks<'_> {
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, RepoError> {
        let missing = || RepoError::MissingBlock(*cid);
        if cid.codec() != DAG_CBOR {
            return Err(RepoError::Link(*cid));
        }
        let digest = digest(cid)?;
        let index = self.places.binary_search_by_key(&digest, |place| place.digest).map_err(|_| missing())?;
        let place = self.places.get(index).ok_or_else(missing)?;
        let number = |number: u32| usize::try_from(number).map_err(|_| missing());
        Ok(self.held.bytes(self.first.saturating_add(number(place.at)?), number(place.length)?))
    }
}

fn digest(cid: &Cid) -> Result<[u8; 32], RepoError> {
    cid.hash().digest().try_into().map_err(|_| RepoError::Link(*cid))
}

/// A repository that has been read and verified whole, in memory.
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
    /// Its block, which is valid as a record.
    pub block: Rc<[u8]>,
}

/// Takes in a whole repository from a CAR in memory, and into memory; see [`Import`].
///
/// # Errors
/// The first thing that is wrong.
pub fn import(car: &[u8], did: &Did, key: &VerifyingKey) -> Result<Imported, RepoError> {
    let mut import = Import::new(Limits::IMPORT);
    import.push(car)?;
    import.finish(&car, did, std::slice::from_ref(key))?.collect()
}

impl Whole<'_> {
    /// All of it in memory.
    ///
    /// # Errors
    /// None but those of the walk, which have been looked for before.
    pub fn collect(self) -> Result<Imported, RepoError> {
        let (mut nodes, mut records) = (NodeMap::new(), Vec::new());
        let mut walk = self.walk();
        while let Some(step) = walk.next(&self)? {
            match step {
                Step::Node { cid, node } => drop(nodes.insert(cid, node)),
                Step::Record { key, value: cid } => {
                    records.push(ImportedRecord { key, cid, block: self.block(&cid)?.into() });
                }
            }
        }
        Ok(Imported { commit: self.commit, cid: self.cid, nodes, records })
    }
}
