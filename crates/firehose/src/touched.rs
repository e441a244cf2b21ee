//! What an event says of its account and of the account's collections, without decoding the rest of it.

use std::collections::BTreeSet;

use murmuration_data::cbor::Reader;

use crate::FirehoseError;
use crate::draft::head;

/// What an event says of the collections of its account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Touched<'a> {
    /// Nothing.
    Nothing,
    /// Records of these were created or updated.
    Some(BTreeSet<&'a str>),
    /// The repository is another one: any may have come.
    All,
}

/// Reads a draft of this host's own up to its operations, which come first.
///
/// # Errors
/// [`FirehoseError::Draft`] when it is none.
pub fn touched(draft: &[u8]) -> Result<Touched<'_>, FirehoseError> {
    let mut reader = Reader::new(head(draft).ok_or(FirehoseError::Draft)?);
    match tag(&mut reader)? {
        COMMIT => {}
        "#sync" => return Ok(Touched::All),
        _ => return Ok(Touched::Nothing),
    }
    reader.map()?;
    let ops = ops(&mut reader)?.into_iter();
    Ok(Touched::Some(ops.filter(|(_, written)| *written).map(|(collection, _)| collection).collect()))
}

/// Whose event a frame carries, and of which collections: what a reader that wants some of them must know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glance<'a> {
    /// The account.
    pub did: &'a str,
    /// The collections of a commit's operations; `None` for what is no commit.
    pub collections: Option<BTreeSet<&'a str>>,
}

impl<'a> Glance<'a> {
    /// Reads a frame of this host's own as far as the account's name.
    ///
    /// # Errors
    /// [`FirehoseError::Draft`] when it does not begin as one.
    pub fn of(frame: &'a [u8]) -> Result<Self, FirehoseError> {
        let mut reader = Reader::new(frame);
        let commit = tag(&mut reader)? == COMMIT;
        reader.map()?;
        if !commit {
            expect(&mut reader, "did")?;
            return Ok(Self { did: reader.text()?, collections: None });
        }
        let ops = ops(&mut reader)?;
        expect(&mut reader, "rev")?;
        reader.text()?;
        expect(&mut reader, "seq")?;
        reader.uint()?;
        expect(&mut reader, "repo")?;
        let collections = ops.into_iter().map(|(collection, _)| collection).collect();
        Ok(Self { did: reader.text()?, collections: Some(collections) })
    }
}

/// The tag of a commit.
const COMMIT: &str = "#commit";

/// Reads the header.
fn tag<'a>(reader: &mut Reader<'a>) -> Result<&'a str, FirehoseError> {
    reader.map()?;
    expect(reader, "t")?;
    let tag = reader.text()?;
    expect(reader, "op")?;
    reader.uint()?;
    Ok(tag)
}

/// Reads the operations of a commit: the collection of each, and whether it has written a record.
fn ops<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, bool)>, FirehoseError> {
    expect(reader, "ops")?;
    let mut ops = Vec::new();
    for _ in 0..reader.array()? {
        reader.map()?;
        expect(reader, "cid")?;
        let written = reader.optional_link()?.is_some();
        expect(reader, "path")?;
        if let Some((collection, _)) = reader.text()?.split_once('/') {
            ops.push((collection, written));
        }
        if reader.text()? == "prev" {
            reader.link()?;
            expect(reader, "action")?;
        }
        reader.text()?;
    }
    Ok(ops)
}

fn expect(reader: &mut Reader<'_>, key: &str) -> Result<(), FirehoseError> {
    if reader.text()? == key { Ok(()) } else { Err(FirehoseError::Draft) }
}
