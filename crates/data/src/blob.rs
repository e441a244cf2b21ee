//! References to blobs inside a record.

use std::collections::BTreeMap;

use crate::limits::MAX_INTEGER;
use crate::{Cid, Ipld, RAW, parse_cid};

/// A reference to a blob: `{"$type": "blob", "ref": …, "mimeType": …, "size": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// The CID of the blob's bytes, which are raw.
    pub cid: Cid,
    /// The media type, as the client gave it.
    pub mime_type: String,
    /// The size in bytes.
    pub size: u64,
}

impl BlobRef {
    /// Reads a reference: a map of exactly the four fields, each of its kind.
    #[must_use]
    pub fn from_ipld(value: &Ipld) -> Option<Self> {
        let Ipld::Map(fields) = value else { return None };
        Self::from_fields(fields)
    }

    pub(crate) fn from_fields(fields: &BTreeMap<String, Ipld>) -> Option<Self> {
        let field = |name: &str| fields.get(name);
        if fields.len() != 4 || field("$type") != Some(&Ipld::String("blob".to_owned())) {
            return None;
        }
        match (field("ref"), field("mimeType"), field("size")) {
            (Some(Ipld::Link(cid)), Some(Ipld::String(mime_type)), Some(Ipld::Integer(size)))
                if cid.codec() == RAW && !mime_type.is_empty() =>
            {
                let size = u64::try_from(*size).ok()?;
                Some(Self { cid: *cid, mime_type: mime_type.clone(), size })
            }
            _ => None,
        }
    }

    /// The reference as a value. A size beyond what the data model counts is cut to that.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let size = i128::from(self.size).min(i128::from(MAX_INTEGER));
        Ipld::Map(
            [
                ("$type".to_owned(), Ipld::String("blob".to_owned())),
                ("ref".to_owned(), Ipld::Link(self.cid)),
                ("mimeType".to_owned(), Ipld::String(self.mime_type.clone())),
                ("size".to_owned(), Ipld::Integer(size)),
            ]
            .into(),
        )
    }
}

/// A reference in the form of before 2023: `{"cid": "bafk…", "mimeType": …}`. To be read in old records, never written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LegacyBlobRef {
    /// The CID of the blob's bytes.
    pub cid: Cid,
    /// The media type.
    pub mime_type: String,
}

impl LegacyBlobRef {
    /// Reads a reference: a map of exactly the two fields.
    #[must_use]
    pub fn from_ipld(value: &Ipld) -> Option<Self> {
        let Ipld::Map(fields) = value else { return None };
        match (fields.len(), fields.get("cid"), fields.get("mimeType")) {
            (2, Some(Ipld::String(cid)), Some(Ipld::String(mime_type))) => {
                Some(Self { cid: parse_cid(cid).ok()?, mime_type: mime_type.clone() })
            }
            _ => None,
        }
    }
}

/// Every reference to a blob in a value, in the order of the keys' bytes. One that stands twice comes twice.
#[must_use]
pub fn refs(value: &Ipld) -> Vec<BlobRef> {
    collect(value, BlobRef::from_ipld)
}

/// Every reference in the form of before 2023.
#[must_use]
pub fn legacy_refs(value: &Ipld) -> Vec<LegacyBlobRef> {
    collect(value, LegacyBlobRef::from_ipld)
}

/// What `read` finds among a value and all that it holds. Not recursive, since values may be made by hand.
fn collect<T>(value: &Ipld, read: impl Fn(&Ipld) -> Option<T>) -> Vec<T> {
    let mut found = Vec::new();
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        if let Some(item) = read(value) {
            found.push(item);
            continue;
        }
        match value {
            Ipld::List(items) => stack.extend(items.iter().rev()),
            Ipld::Map(entries) => stack.extend(entries.values().rev()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cid_of_cbor, cid_of_raw};

    fn blob(bytes: &[u8]) -> BlobRef {
        BlobRef { cid: cid_of_raw(bytes), mime_type: "image/png".to_owned(), size: 7 }
    }

    #[test]
    fn finds_every_blob_in_order() {
        let (first, second) = (blob(b"1"), blob(b"2"));
        let record = Ipld::Map(
            [
                ("b".to_owned(), Ipld::List(vec![Ipld::Null, second.to_ipld(), first.to_ipld()])),
                ("a".to_owned(), Ipld::Map([("x".to_owned(), first.to_ipld())].into())),
            ]
            .into(),
        );
        assert_eq!(refs(&record), [first.clone(), second, first]);
        assert!(legacy_refs(&record).is_empty());
    }

    #[test]
    fn finds_blobs_of_the_old_form() {
        let cid = cid_of_raw(b"old");
        let old = Ipld::Map(
            [
                ("cid".to_owned(), Ipld::String(cid.to_string())),
                ("mimeType".to_owned(), Ipld::String("image/png".to_owned())),
            ]
            .into(),
        );
        let record = Ipld::List(vec![old]);
        assert_eq!(legacy_refs(&record), [LegacyBlobRef { cid, mime_type: "image/png".to_owned() }]);
        assert!(refs(&record).is_empty());
    }

    #[test]
    fn rejects_blobs_that_lack_a_field_or_have_one_more() {
        let Ipld::Map(good) = blob(b"1").to_ipld() else { unreachable!() };
        for key in ["ref", "mimeType", "size", "$type"] {
            let mut bad = good.clone();
            bad.remove(key);
            assert!(BlobRef::from_ipld(&Ipld::Map(bad)).is_none(), "without {key}");
        }
        let cases = [
            ("more", Ipld::Null),
            ("size", Ipld::Integer(-1)),
            ("mimeType", Ipld::String(String::new())),
            ("ref", Ipld::Link(cid_of_cbor(b"1"))),
        ];
        for (key, value) in cases {
            let mut bad = good.clone();
            bad.insert(key.to_owned(), value);
            assert!(BlobRef::from_ipld(&Ipld::Map(bad)).is_none(), "with {key}");
        }
    }
}
