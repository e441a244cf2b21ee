//! Reading JSON text straight into values.
//!
//! The grammar of JSON is `serde_json`'s work; this sees each value as it comes, which is where repeated keys and depth
//! can be seen. The reason for a refusal is kept aside, since the parser's own error can only carry a text.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{check_key, check_length, count, enter_list, enter_map, integer, object, whole};
use crate::limits::{MAX_CONTAINER, MAX_DEPTH};
use crate::{DataError, Ipld};

/// Bytes of the longest text that cannot hold too many items: each takes two, with the comma behind it.
const MAX_UNCOUNTED_BYTES: usize = 2 * MAX_CONTAINER;

/// The value of a JSON text.
///
/// # Errors
/// When the text is not JSON, or what it says is not of the data model.
pub fn parse(text: &[u8]) -> Result<Ipld, DataError> {
    if text.len() > MAX_UNCOUNTED_BYTES {
        survey(text)?;
    }
    let state = State::default();
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = Seed { depth: 0, state: &state }.deserialize(&mut parser).and_then(|value| {
        parser.end()?;
        Ok(value)
    });
    value.map_err(|error| state.refusal.take().unwrap_or_else(|| DataError::Json(error.to_string())))
}

/// Counts what a long text holds before anything is made of it: a value takes seventy times the two bytes that it may be
/// written in. Whether the text is JSON is the parser's to say.
fn survey(text: &[u8]) -> Result<(), DataError> {
    // The innermost map may yet be a link, so there is one more of them than of the limit.
    let mut items = [0_usize; MAX_DEPTH + 2];
    let (mut depth, mut values, mut begun) = (0_usize, 1_usize, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let first = begun && !matches!(byte, b']' | b'}');
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        begun = matches!(byte, b'[' | b'{');
        if first || *byte == b',' {
            let items = items.get_mut(depth).ok_or(DataError::Depth)?;
            *items += 1;
            check_length(*items)?;
            count(&mut values)?;
        }
        match byte {
            b'[' | b'{' => {
                depth += 1;
                *items.get_mut(depth).ok_or(DataError::Depth)? = 0;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    Ok(())
}

/// Goes behind the end of a string.
fn skip_string<'b>(bytes: &mut impl Iterator<Item = &'b u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

/// What all values of a document share.
#[derive(Default)]
struct State {
    refusal: Cell<Option<DataError>>,
    values: Cell<usize>,
}

/// A value to be read at a depth.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    state: &'a State,
}

impl Seed<'_> {
    /// Turns a refusal of ours into the parser's error, keeping it aside.
    fn tell<T, E: Error>(self, result: Result<T, DataError>) -> Result<T, E> {
        result.map_err(|refusal| {
            self.state.refusal.set(Some(refusal));
            E::custom("refused")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Ipld;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ipld, D::Error> {
        let mut values = self.state.values.get();
        self.tell(count(&mut values))?;
        self.state.values.set(values);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Ipld;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Ipld, E> {
        Ok(Ipld::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Ipld, E> {
        Ok(Ipld::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Ipld, E> {
        self.tell(integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Ipld, E> {
        self.tell(i64::try_from(value).map_err(|_| DataError::IntegerRange).and_then(integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Ipld, E> {
        self.tell(whole(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ipld, E> {
        Ok(Ipld::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Ipld, E> {
        Ok(Ipld::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Ipld, A::Error> {
        let inner = Seed { depth: self.tell(enter_list(self.depth))?, ..self };
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
            self.tell(check_length(items.len()))?;
        }
        Ok(Ipld::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ipld, A::Error> {
        let inner = Seed { depth: self.tell(enter_map(self.depth))?, ..self };
        let mut entries = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            self.tell(check_key(&key))?;
            self.tell(check_length(entries.len().saturating_add(1)))?;
            match entries.entry(key) {
                Entry::Occupied(_) => return self.tell(Err(DataError::KeyRepeated)),
                Entry::Vacant(place) => place.insert(access.next_value_seed(inner)?),
            };
        }
        self.tell(object(entries, inner.depth))
    }
}
