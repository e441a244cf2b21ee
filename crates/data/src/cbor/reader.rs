//! Reading DAG-CBOR item by item.

use crate::limits::{MAX_CID_BYTES, MAX_CONTAINER, MAX_INTEGER, MAX_KEY_BYTES};
use crate::{Cid, DataError, Kind, cid_from_bytes};

/// Reads DAG-CBOR item by item, strictly. What it gives borrows from the input.
///
/// A reader that has given an error stands somewhere inside the item; it is of no further use.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of the bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, length: bytes.len() }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    /// The bytes still to be read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that all bytes are read.
    ///
    /// # Errors
    /// When some are left.
    pub fn end(&self) -> Result<(), DataError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DataError::Trailing) }
    }

    /// What the next item is, without reading it.
    ///
    /// # Errors
    /// When there is none, or it is one that the model does not have.
    pub fn peek(&self) -> Result<Kind, DataError> {
        let initial = *self.rest.first().ok_or(DataError::Truncated)?;
        match initial >> 5 {
            0 | 1 => Ok(Kind::Integer),
            2 => Ok(Kind::Bytes),
            3 => Ok(Kind::Text),
            4 => Ok(Kind::Array),
            5 => Ok(Kind::Map),
            6 => Ok(Kind::Link),
            _ => match initial {
                FALSE | TRUE => Ok(Kind::Bool),
                NULL => Ok(Kind::Null),
                0xf9..=0xfb => Err(DataError::Float),
                0xff => Err(DataError::Indefinite),
                _ => Err(DataError::Unsupported),
            },
        }
    }

    /// An integer.
    ///
    /// # Errors
    /// When the next item is not an integer within ±(2^53 - 1).
    pub fn integer(&mut self) -> Result<i64, DataError> {
        let (major, argument) = self.head()?;
        let value = i64::try_from(argument).map_err(|_| DataError::IntegerRange)?;
        let value = match major {
            0 => value,
            1 => -1 - value,
            _ => return Err(DataError::Expected(Kind::Integer)),
        };
        if (-MAX_INTEGER..=MAX_INTEGER).contains(&value) { Ok(value) } else { Err(DataError::IntegerRange) }
    }

    /// An integer that is not negative.
    ///
    /// # Errors
    /// When the next item is not an integer from 0 to 2^53 - 1.
    pub fn uint(&mut self) -> Result<u64, DataError> {
        u64::try_from(self.integer()?).map_err(|_| DataError::IntegerRange)
    }

    /// A byte string.
    ///
    /// # Errors
    /// When the next item is not a whole byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], DataError> {
        let length = self.length_of(2, Kind::Bytes)?;
        self.take(length)
    }

    /// A text.
    ///
    /// # Errors
    /// When the next item is not a whole text in UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DataError> {
        let length = self.length_of(3, Kind::Text)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| DataError::Utf8)
    }

    /// A key of a map that must come after `last`; the empty text stands for none.
    ///
    /// # Errors
    /// When the next item is not a text of 1 to [`MAX_KEY_BYTES`] bytes that sorts after `last`.
    pub fn key(&mut self, last: &str) -> Result<&'a str, DataError> {
        if self.peek()? != Kind::Text {
            return Err(DataError::KeyKind);
        }
        let key = self.text()?;
        if key.is_empty() {
            return Err(DataError::KeyEmpty);
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(DataError::KeyTooLong);
        }
        if super::key_order(last, key).is_lt() { Ok(key) } else { Err(DataError::KeyOrder) }
    }

    /// The head of a list: how many items follow.
    ///
    /// # Errors
    /// When the next item is not a list, or holds more items than the limit or than there are bytes.
    pub fn array(&mut self) -> Result<usize, DataError> {
        let length = self.length_of(4, Kind::Array)?;
        self.container(length, 1)
    }

    /// The head of a map: how many pairs of a key and a value follow.
    ///
    /// # Errors
    /// When the next item is not a map, or holds more pairs than the limit or than there are bytes.
    pub fn map(&mut self) -> Result<usize, DataError> {
        let length = self.length_of(5, Kind::Map)?;
        self.container(length, 2)
    }

    /// A link.
    ///
    /// # Errors
    /// When the next item is not tag 42 around the binary form of a CID that the model takes.
    pub fn link(&mut self) -> Result<Cid, DataError> {
        let (major, tag) = self.head()?;
        if major != 6 {
            return Err(DataError::Expected(Kind::Link));
        }
        if tag != LINK_TAG {
            return Err(DataError::Tag(tag));
        }
        let bytes = self.bytes().map_err(|error| match error {
            DataError::Expected(_) => DataError::Cid,
            error => error,
        })?;
        match bytes.split_first() {
            Some((0, cid)) if cid.len() <= MAX_CID_BYTES => cid_from_bytes(cid),
            _ => Err(DataError::Cid),
        }
    }

    /// A link, or null for none.
    ///
    /// # Errors
    /// When the next item is neither.
    pub fn optional_link(&mut self) -> Result<Option<Cid>, DataError> {
        if self.peek()? == Kind::Null {
            self.null()?;
            return Ok(None);
        }
        self.link().map(Some)
    }

    /// True or false.
    ///
    /// # Errors
    /// When the next item is neither.
    pub fn bool(&mut self) -> Result<bool, DataError> {
        match self.byte()? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(DataError::Expected(Kind::Bool)),
        }
    }

    /// Null.
    ///
    /// # Errors
    /// When the next item is not null.
    pub fn null(&mut self) -> Result<(), DataError> {
        if self.byte()? == NULL { Ok(()) } else { Err(DataError::Expected(Kind::Null)) }
    }

    fn byte(&mut self) -> Result<u8, DataError> {
        let (first, rest) = self.rest.split_first().ok_or(DataError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DataError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DataError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DataError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The initial byte and what belongs to it: the major type and the argument, which has the shortest form.
    fn head(&mut self) -> Result<(u8, u64), DataError> {
        let initial = self.byte()?;
        let major = initial >> 5;
        let (argument, least) = match initial & 0x1f {
            short @ 0..=23 => (u64::from(short), 0),
            24 => (u64::from(self.byte()?), 24),
            25 => (u64::from(u16::from_be_bytes(self.array_of()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array_of()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array_of()?), 1 << 32),
            31 => return Err(DataError::Indefinite),
            _ => return Err(DataError::Unsupported),
        };
        if argument < least { Err(DataError::NotMinimal) } else { Ok((major, argument)) }
    }

    fn length_of(&mut self, wanted: u8, kind: Kind) -> Result<usize, DataError> {
        let (major, argument) = self.head()?;
        if major != wanted {
            return Err(DataError::Expected(kind));
        }
        // On wasm a length may not fit; nor does the input then hold it.
        usize::try_from(argument).map_err(|_| DataError::Truncated)
    }

    /// Checks the length of a container, whose items have at least `item_bytes` bytes each.
    fn container(&self, length: usize, item_bytes: usize) -> Result<usize, DataError> {
        if length > MAX_CONTAINER {
            return Err(DataError::Container);
        }
        if length.saturating_mul(item_bytes) > self.rest.len() {
            return Err(DataError::Truncated);
        }
        Ok(length)
    }
}

/// The tag of links (<https://github.com/ipld/cid-cbor>).
const LINK_TAG: u64 = 42;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
