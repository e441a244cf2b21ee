//! Writing the JSON form of an encoding while it is read.

use std::cell::RefCell;

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::form::{bytes, link};
use crate::cbor::Reader;
use crate::limits::MAX_DEPTH;
use crate::{DataError, Kind};

/// A value in DAG-CBOR that writes itself in its JSON form, with no [`Ipld`](crate::Ipld) in between: for what was checked
/// when it was stored, and is now shown. Fields come as they stand in the encoding, shorter names first.
///
/// What is not DAG-CBOR fails as an error of the serializer.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reader = RefCell::new(Reader::new(self.0));
        let written = Next { reader: &reader, depth: MAX_DEPTH }.serialize(serializer)?;
        reader.borrow().end().map_err(Error::custom)?;
        Ok(written)
    }
}

/// The item that the reader comes to next. Written once, for then the reader stands behind it.
struct Next<'a, 'b> {
    reader: &'a RefCell<Reader<'b>>,
    depth: usize,
}

impl<'b> Next<'_, 'b> {
    fn read<T, E: Error>(&self, item: impl FnOnce(&mut Reader<'b>) -> Result<T, DataError>) -> Result<T, E> {
        item(&mut self.reader.borrow_mut()).map_err(E::custom)
    }

    fn inner<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom(DataError::Depth))?;
        Ok(Self { reader: self.reader, depth })
    }
}

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.read(|reader| reader.peek())? {
            Kind::Integer => serializer.serialize_i64(self.read(Reader::integer)?),
            Kind::Bytes => bytes(serializer, self.read(Reader::bytes)?),
            Kind::Text => serializer.serialize_str(self.read(Reader::text)?),
            Kind::Link => link(serializer, &self.read(Reader::link)?),
            Kind::Bool => serializer.serialize_bool(self.read(Reader::bool)?),
            Kind::Null => {
                self.read(Reader::null)?;
                serializer.serialize_unit()
            }
            Kind::Array => {
                let length = self.read(Reader::array)?;
                let item = self.inner()?;
                let mut items = serializer.serialize_seq(Some(length))?;
                for _ in 0..length {
                    items.serialize_element(&item)?;
                }
                items.end()
            }
            Kind::Map => {
                let length = self.read(Reader::map)?;
                let value = self.inner()?;
                let mut entries = serializer.serialize_map(Some(length))?;
                let mut last = "";
                for _ in 0..length {
                    last = self.read(|reader| reader.key(last))?;
                    entries.serialize_entry(last, &value)?;
                }
                entries.end()
            }
        }
    }
}
