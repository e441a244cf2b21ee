//! Writing DAG-CBOR item by item.

use std::cmp::Ordering;

use crate::{Cid, cid_to_bytes};

/// Writes DAG-CBOR item by item, in the shortest form.
///
/// The caller announces lists and maps by their length and then writes what they hold; keys of maps in [`key_order`].
///
/// ```
/// let mut writer = murmuration_data::cbor::Writer::new();
/// writer.map(2).text("a").uint(1).text("bb").null();
/// assert_eq!(writer.into_bytes(), [0xa2, 0x61, b'a', 1, 0x62, b'b', b'b', 0xf6]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// An integer that is not negative.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// An integer.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            Err(_) => self.head(1, (-1 - value).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(2, length(bytes.len())).raw(bytes)
    }

    /// A text, which may be a key of a map.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(3, length(text.len())).raw(text.as_bytes())
    }

    /// The head of a list of so many items.
    pub fn array(&mut self, items: usize) -> &mut Self {
        self.head(4, length(items))
    }

    /// The head of a map of so many pairs.
    pub fn map(&mut self, pairs: usize) -> &mut Self {
        self.head(5, length(pairs))
    }

    /// A link. A CID of another kind than the model takes is written too, though no strict reader takes it back.
    pub fn link(&mut self, cid: &Cid) -> &mut Self {
        match cid_to_bytes(cid) {
            Ok(cid) => self.raw(&LINK_HEAD).raw(&cid),
            Err(_) => {
                let cid = cid.to_bytes();
                self.head(6, 42).head(2, length(cid.len().saturating_add(1))).raw(&[0]).raw(&cid)
            }
        }
    }

    /// A link, or null for none.
    pub fn optional_link(&mut self, cid: Option<&Cid>) -> &mut Self {
        match cid {
            Some(cid) => self.link(cid),
            None => self.null(),
        }
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(&[if value { 0xf5 } else { 0xf4 }])
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.raw(&[0xf6])
    }

    /// Bytes as they are: an item that is encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    /// Bytes written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Ends the writing.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A major type and its argument in the shortest form.
    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let major = major << 5;
        if let Ok(short) = u8::try_from(argument) {
            if short < 24 {
                self.out.push(major | short);
            } else {
                self.out.extend_from_slice(&[major | 24, short]);
            }
        } else if let Ok(short) = u16::try_from(argument) {
            self.out.push(major | 25);
            self.out.extend_from_slice(&short.to_be_bytes());
        } else if let Ok(short) = u32::try_from(argument) {
            self.out.push(major | 26);
            self.out.extend_from_slice(&short.to_be_bytes());
        } else {
            self.out.push(major | 27);
            self.out.extend_from_slice(&argument.to_be_bytes());
        }
        self
    }
}

/// The order of a map's keys: by length, then by bytes.
#[must_use]
pub fn key_order(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// A length in memory as the argument of a head.
fn length(length: usize) -> u64 {
    // INVARIANT: no platform has an address wider than 64 bits.
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Tag 42, a byte string of 37 bytes, and the zero that stands before the CID.
const LINK_HEAD: [u8; 5] = [0xd8, 42, 0x58, 37, 0];
