//! DAG-CBOR, where a value has exactly one encoding and anything else is refused.
//!
//! The tricky bits (<https://ipld.io/specs/codecs/dag-cbor/spec/>, narrowed by <https://atproto.com/specs/data-model>):
//!
//! - Numbers and lengths take the shortest form; lengths are definite.
//! - Keys of maps are texts, sorted by length first and then by bytes. `"b"` comes before `"aa"`.
//! - A link is tag 42 around bytes that start with a zero, which belongs to no CID: it is a multibase prefix.
//! - There are no floats, not even whole ones.
//!
//! [`encode`] and [`decode`] treat whole values. [`Reader`] and [`Writer`] are for what is read or written by hand because
//! its shape is known, such as the nodes of a tree: they check each item, and leave the order of map keys to the caller.

mod reader;
mod writer;

use std::collections::BTreeMap;

pub use reader::Reader;
pub use writer::{Writer, key_order};

use crate::limits::{MAX_CONTAINER, MAX_DEPTH, MAX_INTEGER, MAX_KEY_BYTES, MAX_VALUES};
use crate::{DataError, Ipld, Kind};

/// The encoding of a value.
///
/// # Errors
/// When the value is not of the data model: a float, an integer out of range, a key that is empty or too long, a CID of
/// another kind, or beyond a limit of [`crate::limits`]. What [`decode`] gives is always taken.
pub fn encode(value: &Ipld) -> Result<Vec<u8>, DataError> {
    let mut writer = Writer::new();
    write_value(&mut writer, value, MAX_DEPTH, &mut Budget::new())?;
    Ok(writer.into_bytes())
}

/// The value of an encoding.
///
/// # Errors
/// When the bytes are not exactly what [`encode`] would give for a value.
pub fn decode(bytes: &[u8]) -> Result<Ipld, DataError> {
    let (value, length) = decode_prefix(bytes)?;
    if length == bytes.len() { Ok(value) } else { Err(DataError::Trailing) }
}

/// The value of the encoding that the bytes start with, and its length in bytes.
///
/// # Errors
/// When no prefix of the bytes is what [`encode`] would give for a value.
pub fn decode_prefix(bytes: &[u8]) -> Result<(Ipld, usize), DataError> {
    let mut reader = Reader::new(bytes);
    let value = read_value(&mut reader, MAX_DEPTH, &mut Budget::new())?;
    Ok((value, reader.offset()))
}

/// How many more values a document may have.
struct Budget {
    left: usize,
}

impl Budget {
    fn new() -> Self {
        Self { left: MAX_VALUES }
    }

    fn spend(&mut self, values: usize) -> Result<(), DataError> {
        self.left = self.left.checked_sub(values).ok_or(DataError::Values)?;
        Ok(())
    }
}

fn read_value(reader: &mut Reader<'_>, depth: usize, budget: &mut Budget) -> Result<Ipld, DataError> {
    Ok(match reader.peek()? {
        Kind::Integer => Ipld::Integer(i128::from(reader.integer()?)),
        Kind::Bytes => Ipld::Bytes(reader.bytes()?.to_vec()),
        Kind::Text => Ipld::String(reader.text()?.to_owned()),
        Kind::Link => Ipld::Link(reader.link()?),
        Kind::Bool => Ipld::Bool(reader.bool()?),
        Kind::Null => {
            reader.null()?;
            Ipld::Null
        }
        Kind::Array => {
            let depth = depth.checked_sub(1).ok_or(DataError::Depth)?;
            let length = reader.array()?;
            budget.spend(length)?;
            // No more than the input can fill: an item has at least one byte, and `array` has seen that they are there.
            let mut items = Vec::with_capacity(length);
            for _ in 0..length {
                items.push(read_value(reader, depth, budget)?);
            }
            Ipld::List(items)
        }
        Kind::Map => {
            let depth = depth.checked_sub(1).ok_or(DataError::Depth)?;
            let length = reader.map()?;
            budget.spend(length)?;
            let mut entries = BTreeMap::new();
            let mut last = "";
            for _ in 0..length {
                let key = reader.key(last)?;
                entries.insert(key.to_owned(), read_value(reader, depth, budget)?);
                last = key;
            }
            Ipld::Map(entries)
        }
    })
}

fn write_value(
    writer: &mut Writer,
    value: &Ipld,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), DataError> {
    match value {
        Ipld::Null => writer.null(),
        Ipld::Bool(value) => writer.bool(*value),
        Ipld::Integer(value) => {
            let value = i64::try_from(*value).map_err(|_| DataError::IntegerRange)?;
            if !(-MAX_INTEGER..=MAX_INTEGER).contains(&value) {
                return Err(DataError::IntegerRange);
            }
            writer.int(value)
        }
        Ipld::Float(_) => return Err(DataError::Float),
        Ipld::String(text) => writer.text(text),
        Ipld::Bytes(bytes) => writer.bytes(bytes),
        Ipld::Link(cid) if crate::is_blessed(cid) => writer.link(cid),
        Ipld::Link(_) => return Err(DataError::Cid),
        Ipld::List(items) => {
            let depth = open(items.len(), depth, budget)?;
            writer.array(items.len());
            for item in items {
                write_value(writer, item, depth, budget)?;
            }
            writer
        }
        Ipld::Map(entries) => {
            let depth = open(entries.len(), depth, budget)?;
            writer.map(entries.len());
            let mut sorted: Vec<(&String, &Ipld)> = entries.iter().collect();
            // Stable, and the entries come sorted by bytes: this is the order by length and then by bytes.
            sorted.sort_by_key(|(key, _)| key.len());
            for (key, value) in sorted {
                if key.is_empty() {
                    return Err(DataError::KeyEmpty);
                }
                if key.len() > MAX_KEY_BYTES {
                    return Err(DataError::KeyTooLong);
                }
                writer.text(key);
                write_value(writer, value, depth, budget)?;
            }
            writer
        }
    };
    Ok(())
}

/// Goes into a container of `length`: the depth that is left inside.
fn open(length: usize, depth: usize, budget: &mut Budget) -> Result<usize, DataError> {
    if length > MAX_CONTAINER {
        return Err(DataError::Container);
    }
    budget.spend(length)?;
    depth.checked_sub(1).ok_or(DataError::Depth)
}
