//! Writing the JSON form.

use data_encoding::BASE64_NOPAD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::{Ipld, cid_to_text};

/// A value that writes itself in its JSON form, to stand in a larger answer.
///
/// Values that are not of the data model still come out as something: an integer beyond 64 bits as its digits in a
/// text, a float as it is.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a>(pub &'a Ipld);

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ipld::Null => serializer.serialize_unit(),
            Ipld::Bool(value) => serializer.serialize_bool(*value),
            Ipld::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.collect_str(value),
            },
            Ipld::Float(value) => serializer.serialize_f64(*value),
            Ipld::String(text) => serializer.serialize_str(text),
            Ipld::Bytes(bytes) => single(serializer, "$bytes", &BASE64_NOPAD.encode(bytes)),
            Ipld::Link(cid) => single(serializer, "$link", &cid_to_text(cid)),
            Ipld::List(items) => serializer.collect_seq(items.iter().map(Form)),
            Ipld::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, Form(value))))
            }
        }
    }
}

/// An object of one field.
fn single<S: Serializer>(serializer: S, key: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}
