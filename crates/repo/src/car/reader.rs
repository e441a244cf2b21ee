//! Reading CARs.

use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_data::cbor::Reader as Cbor;
use murmuration_data::{CID_BYTES, Cid, DAG_CBOR, cid_from_bytes, cid_of_cbor, cid_of_raw};

use crate::node::field;
use crate::{
    MAX_CAR_HEADER_BYTES, MAX_EVENT_CAR_BLOCKS, MAX_EVENT_CAR_BYTES, MAX_IMPORT_BLOCKS, MAX_IMPORT_BYTES,
    MAX_RECORD_BYTES, RepoError,
};

/// What a CAR may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of one block.
    pub block_bytes: usize,
}

impl Limits {
    /// The CAR in an event, or of a proof.
    pub const EVENT: Self =
        Self { bytes: MAX_EVENT_CAR_BYTES, blocks: MAX_EVENT_CAR_BLOCKS, block_bytes: MAX_RECORD_BYTES };

    /// The CAR of a whole repository.
    pub const IMPORT: Self =
        Self { bytes: MAX_IMPORT_BYTES, blocks: MAX_IMPORT_BLOCKS, block_bytes: MAX_RECORD_BYTES };
}

/// What is done with each block that comes.
pub type Found<'f> = dyn FnMut(Cid, &[u8]) -> Result<(), RepoError> + 'f;

/// Reads a CAR that comes in pieces. Every block is hashed before it is handed on, and no more is kept than one
/// section.
///
/// A reader that has given an error is of no further use.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    roots: Option<Vec<Cid>>,
    /// Bytes of the header's section.
    header: usize,
    /// The beginning of a section whose end has not come yet.
    cut: Vec<u8>,
    bytes: u64,
    blocks: u64,
}

impl Reader {
    /// A reader at the start of a CAR.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, roots: None, header: 0, cut: Vec::new(), bytes: 0, blocks: 0 }
    }

    /// The roots, once the header has come.
    #[must_use]
    pub fn roots(&self) -> Option<&[Cid]> {
        self.roots.as_deref()
    }

    /// Takes the next piece and hands on the blocks that are whole with it. A CID may come more than once.
    ///
    /// # Errors
    /// The first thing that is wrong with the CAR, or what `found` gives.
    pub fn push(&mut self, piece: &[u8], found: &mut Found<'_>) -> Result<(), RepoError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.bytes > self.limits.bytes {
            return Err(RepoError::TooLarge { what: "CAR's bytes", limit: self.limits.bytes });
        }
        if self.cut.is_empty() {
            let rest = self.sections(piece, found)?;
            self.cut.extend_from_slice(rest);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(piece);
        let rest = self.sections(&joined, found)?.len();
        joined.drain(..joined.len() - rest);
        self.cut = joined;
        Ok(())
    }

    /// Where the first section behind the header begins, once the header has come.
    #[must_use]
    pub const fn header_bytes(&self) -> usize {
        self.header
    }

    /// Ends the reading: the roots.
    ///
    /// # Errors
    /// When the CAR ends within a section, or has not even a header.
    pub fn finish(self) -> Result<Vec<Cid>, RepoError> {
        match self.roots {
            Some(roots) if self.cut.is_empty() => Ok(roots),
            _ => Err(malformed("ends within a section")),
        }
    }

    /// Reads the whole sections at the start of `bytes`; gives what is left.
    fn sections<'b>(&mut self, mut bytes: &'b [u8], found: &mut Found<'_>) -> Result<&'b [u8], RepoError> {
        loop {
            let limit = match self.roots {
                None => MAX_CAR_HEADER_BYTES,
                Some(_) => self.limits.block_bytes.saturating_add(CID_BYTES),
            };
            let Some((length, behind)) = varint(bytes)? else { return Ok(bytes) };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > limit {
                return Err(RepoError::too_large("CAR section's bytes", limit));
            }
            let Some((section, rest)) = behind.split_at_checked(length) else { return Ok(bytes) };
            match self.roots {
                None => {
                    self.roots = Some(roots(section)?);
                    self.header = bytes.len() - rest.len();
                }
                Some(_) => {
                    self.blocks += 1;
                    if self.blocks > self.limits.blocks {
                        return Err(RepoError::TooLarge {
                            what: "CAR's count of blocks",
                            limit: self.limits.blocks,
                        });
                    }
                    let (cid, block) = verified(section)?;
                    found(cid, block)?;
                }
            }
            bytes = rest;
        }
    }
}

/// A CAR in memory.
#[derive(Clone, Debug, Default)]
pub struct Car {
    /// The roots, as the header names them.
    pub roots: Vec<Cid>,
    /// The blocks, each verified against its CID.
    pub blocks: BTreeMap<Cid, Rc<[u8]>>,
}

impl Car {
    /// Reads a whole CAR.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(bytes: &[u8], limits: Limits) -> Result<Self, RepoError> {
        let mut blocks = BTreeMap::new();
        let mut reader = Reader::new(limits);
        reader.push(bytes, &mut |cid, block| {
            blocks.entry(cid).or_insert_with(|| block.into());
            Ok(())
        })?;
        Ok(Self { roots: reader.finish()?, blocks })
    }

    /// The one root that the CAR of a repository or a commit has.
    ///
    /// # Errors
    /// [`RepoError::Roots`] when there are none or several.
    pub fn root(&self) -> Result<Cid, RepoError> {
        only_root(&self.roots)
    }
}

pub(crate) fn only_root(roots: &[Cid]) -> Result<Cid, RepoError> {
    match roots {
        [root] => Ok(*root),
        _ => Err(RepoError::Roots(roots.len())),
    }
}

fn roots(header: &[u8]) -> Result<Vec<Cid>, RepoError> {
    let cbor = RepoError::cbor(HEADER);
    let mut reader = Cbor::new(header);
    if reader.map().map_err(&cbor)? != 2 {
        return Err(RepoError::Malformed { what: HEADER, rule: "has not the two fields of one" });
    }
    field(&mut reader, "roots", HEADER)?;
    let count = reader.array().map_err(&cbor)?;
    let roots = (0..count).map(|_| reader.link()).collect::<Result<_, _>>().map_err(&cbor)?;
    field(&mut reader, "version", HEADER)?;
    if reader.uint().map_err(&cbor)? != 1 {
        return Err(RepoError::Malformed { what: HEADER, rule: "is not of version 1" });
    }
    reader.end().map_err(&cbor)?;
    Ok(roots)
}

/// A section's CID and block, if the one is the hash of the other.
fn verified(section: &[u8]) -> Result<(Cid, &[u8]), RepoError> {
    let (cid, block) =
        section.split_at_checked(CID_BYTES).ok_or(malformed("has a section too short for a CID"))?;
    let cid = cid_from_bytes(cid).map_err(RepoError::cbor("CAR's CID"))?;
    let found = if cid.codec() == DAG_CBOR { cid_of_cbor(block) } else { cid_of_raw(block) };
    if found == cid { Ok((cid, block)) } else { Err(RepoError::WrongHash(cid)) }
}

/// Reads an unsigned varint in its shortest form; none when it is cut.
fn varint(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, RepoError> {
    let mut value = 0;
    let mut rest = bytes;
    for shift in (0..MAX_VARINT_BYTES).map(|byte| byte * 7) {
        let Some((byte, behind)) = rest.split_first() else { return Ok(None) };
        rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if *byte == 0 && shift > 0 {
                return Err(malformed("has a length not in its shortest form"));
            }
            return Ok(Some((value, rest)));
        }
    }
    Err(malformed("has a length of too many bytes"))
}

const fn malformed(rule: &'static str) -> RepoError {
    RepoError::Malformed { what: "CAR", rule }
}

const HEADER: &str = "CAR header";

/// Bytes of a varint, at most (<https://github.com/multiformats/unsigned-varint>).
const MAX_VARINT_BYTES: u32 = 9;
