//! Many records in one value.
//!
//! A row costs its way through the host's language: an object, its values, a call each. So the statements that read many
//! records have SQLite put them behind one another, and a single value crosses over:
//!
//! ```text
//!   4 hex digits    2 hex digits      6 hex digits     13 characters
//!   path's length   digest's length   value's length   rev             path   digest   value      and the next record
//! ```

use murmuration_data::Cid;
use murmuration_platform::{Param, Store, StoreError};
use murmuration_syntax::Rev;

use crate::record;

/// What a statement selects for a record; see the module. A text in SQLite, whose bytes may be any.
macro_rules! packed {
    () => {
        "printf('%04x%02x%06x', length(path), ifnull(length(digest), 0), length(value)) \
         || rev || path || ifnull(digest, '') || value AS packed"
    };
}

/// A statement over the records' table that answers with one row and one value: the records that `$which` chooses (a WHERE,
/// an ORDER BY and a LIMIT), packed in that order; NULL if there are none. The limit is written `?n + 0`, because SQLite
/// prepares a statement anew for each value of a parameter that stands there alone.
macro_rules! select_packed {
    ($which:literal) => {
        concat!(
            "SELECT CAST(group_concat(packed, '') AS BLOB) FROM (SELECT ",
            $crate::packed::packed!(),
            " FROM record WHERE ",
            $which,
            ")"
        )
    };
}

pub(crate) use {packed, select_packed};

const PATH_DIGITS: usize = 4;
const DIGEST_DIGITS: usize = 2;
const VALUE_DIGITS: usize = 6;
const REV_BYTES: usize = 13;

/// Records that one statement has read, to be taken one by one.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    next: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedRecord<'a> {
    pub(crate) path: &'a str,
    pub(crate) value: &'a [u8],
    rev: &'a str,
    digest: &'a [u8],
    length: usize,
}

impl PackedRecord<'_> {
    /// The hash of the value.
    pub(crate) fn cid(&self) -> Cid {
        record::cid(self.digest, self.value)
    }

    /// The revision that wrote it.
    pub(crate) fn rev(&self) -> Result<Rev, StoreError> {
        Rev::parse(self.rev).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

impl Packed {
    /// Runs a statement made by [`select_packed`], whose last parameter is the limit. Where the records are too much for one
    /// value it asks for half as many, and again, down to one: 2 MB are enough for a page, and anybody may ask for one.
    pub(crate) fn read(
        store: &dyn Store,
        sql: &str,
        bounds: &[&str],
        limit: u32,
    ) -> Result<Self, StoreError> {
        let mut limit = limit;
        loop {
            let mut params: Vec<Param<'_>> = bounds.iter().copied().map(Param::Text).collect();
            params.push(Param::Int(i64::from(limit)));
            match store.query(sql, &params) {
                Ok(mut rows) => {
                    let bytes = rows.pop().map(|mut row| row.opt_blob(0)).transpose()?.flatten();
                    return Ok(Self { bytes: bytes.unwrap_or_default(), next: 0 });
                }
                Err(StoreError::TooLarge) if limit > 1 => limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// The next record, which stays the next; `None` at the end.
    pub(crate) fn peek(&self) -> Result<Option<PackedRecord<'_>>, StoreError> {
        match self.bytes.get(self.next..) {
            None | Some([]) => Ok(None),
            Some(rest) => unpack(rest).map(Some).ok_or_else(broken),
        }
    }

    /// Takes the next record; `None` at the end.
    pub(crate) fn take(&mut self) -> Result<Option<PackedRecord<'_>>, StoreError> {
        match self.bytes.get(self.next..) {
            None | Some([]) => Ok(None),
            Some(rest) => {
                let record = unpack(rest).ok_or_else(broken)?;
                self.next += record.length;
                Ok(Some(record))
            }
        }
    }

    /// Bytes of all of them.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

fn broken() -> StoreError {
    StoreError::Corrupt("packed records do not add up".to_owned())
}

fn unpack(bytes: &[u8]) -> Option<PackedRecord<'_>> {
    let (path_length, rest) = digits(bytes, PATH_DIGITS)?;
    let (digest_length, rest) = digits(rest, DIGEST_DIGITS)?;
    let (value_length, rest) = digits(rest, VALUE_DIGITS)?;
    let (rev, rest) = rest.split_at_checked(REV_BYTES)?;
    let (path, rest) = rest.split_at_checked(path_length)?;
    let (digest, rest) = rest.split_at_checked(digest_length)?;
    let (value, rest) = rest.split_at_checked(value_length)?;
    Some(PackedRecord {
        path: std::str::from_utf8(path).ok()?,
        value,
        rev: std::str::from_utf8(rev).ok()?,
        digest,
        length: bytes.len() - rest.len(),
    })
}

/// The number in the first `count` hex digits, and what is behind them.
fn digits(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    let number =
        digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?));
    Some((usize::try_from(number?).ok()?, rest))
}
