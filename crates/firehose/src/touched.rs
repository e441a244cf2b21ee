//! What a draft says of its account's collections, without decoding the rest of it.

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
    reader.map()?;
    expect(&mut reader, "t")?;
    let tag = reader.text()?;
    expect(&mut reader, "op")?;
    reader.uint()?;
    match tag {
        "#commit" => {}
        "#sync" => return Ok(Touched::All),
        _ => return Ok(Touched::Nothing),
    }
    reader.map()?;
    expect(&mut reader, "ops")?;
    let mut collections = BTreeSet::new();
    for _ in 0..reader.array()? {
        reader.map()?;
        expect(&mut reader, "cid")?;
        let written = reader.optional_link()?.is_some();
        expect(&mut reader, "path")?;
        let path = reader.text()?;
        if let (true, Some((collection, _))) = (written, path.split_once('/')) {
            collections.insert(collection);
        }
        if reader.text()? == "prev" {
            reader.link()?;
            expect(&mut reader, "action")?;
        }
        reader.text()?;
    }
    Ok(Touched::Some(collections))
}

fn expect(reader: &mut Reader<'_>, key: &str) -> Result<(), FirehoseError> {
    if reader.text()? == key { Ok(()) } else { Err(FirehoseError::Draft) }
}
