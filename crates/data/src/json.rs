//! The JSON form of the data model.
//!
//! Links are `{"$link": "bafy…"}`, bytes are `{"$bytes": "…"}` in base 64; everything else is itself. What JSON can say
//! and the model cannot is refused, not mended: fractions, integers beyond ±(2^53 - 1), a key twice or empty, lone
//! surrogates, the key `__proto__`. A number written with a fraction or exponent that comes to a whole is that whole, as
//! `123.0`, because JavaScript cannot tell them apart.
//!
//! Objects are held to the rules of [`crate::record`] at any depth, so that what a client sends is sound wherever it is
//! put; only that the whole is an object is not asked.
//!
//! Specification: <https://atproto.com/specs/data-model>.

mod encoded;
mod form;
mod text;

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64_NOPAD};

pub use encoded::{write_encoded, write_text};
pub use form::Form;
pub use text::parse;

use crate::limits::{MAX_CONTAINER, MAX_DEPTH, MAX_INTEGER, MAX_KEY_BYTES, MAX_VALUES};
use crate::{DataError, Ipld, parse_cid, record};

/// The value of a JSON value that was parsed already. Keys that stood twice in its text can no longer be seen: for text
/// from outside, use [`parse`].
///
/// # Errors
/// When it is not of the data model.
pub fn from_value(value: &serde_json::Value) -> Result<Ipld, DataError> {
    convert(value, 0, &mut 0)
}

/// The JSON value of a value.
#[must_use]
pub fn to_value(value: &Ipld) -> serde_json::Value {
    // INVARIANT: `Form` asks nothing of a serializer that this one does not do.
    serde_json::to_value(Form(value)).unwrap_or_default()
}

/// The JSON text of a value, without blanks.
#[must_use]
pub fn to_string(value: &Ipld) -> String {
    // INVARIANT: as above.
    serde_json::to_string(&Form(value)).unwrap_or_default()
}

fn convert(value: &serde_json::Value, depth: usize, values: &mut usize) -> Result<Ipld, DataError> {
    use serde_json::Value;

    count(values)?;
    Ok(match value {
        Value::Null => Ipld::Null,
        Value::Bool(value) => Ipld::Bool(*value),
        Value::String(text) => Ipld::String(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => integer(value)?,
            (None, Some(value)) => whole(value)?,
            (None, None) => return Err(DataError::IntegerRange),
        },
        Value::Array(items) => {
            let depth = enter_list(depth)?;
            check_length(items.len())?;
            let items: Result<_, _> = items.iter().map(|item| convert(item, depth, values)).collect();
            Ipld::List(items?)
        }
        Value::Object(fields) => {
            let depth = enter_map(depth)?;
            check_length(fields.len())?;
            let mut entries = BTreeMap::new();
            for (key, value) in fields {
                check_key(key)?;
                entries.insert(key.clone(), convert(value, depth, values)?);
            }
            object(entries, depth)?
        }
    })
}

/// Counts one more value of a document.
fn count(values: &mut usize) -> Result<(), DataError> {
    *values = values.saturating_add(1);
    if *values > MAX_VALUES { Err(DataError::Values) } else { Ok(()) }
}

fn integer(value: i64) -> Result<Ipld, DataError> {
    if (-MAX_INTEGER..=MAX_INTEGER).contains(&value) {
        Ok(Ipld::Integer(value.into()))
    } else {
        Err(DataError::IntegerRange)
    }
}

/// The integer that a floating point number is, if it is one.
fn whole(value: f64) -> Result<Ipld, DataError> {
    if value.fract() != 0.0 {
        return Err(DataError::Float);
    }
    // `Display` writes a whole float as its digits, never with an exponent.
    integer(value.to_string().parse().map_err(|_| DataError::IntegerRange)?)
}

fn enter_list(depth: usize) -> Result<usize, DataError> {
    if depth >= MAX_DEPTH { Err(DataError::Depth) } else { Ok(depth + 1) }
}

/// As [`enter_list`], but one deeper: the map may yet turn out to be a link or bytes. [`object`] looks again.
fn enter_map(depth: usize) -> Result<usize, DataError> {
    if depth > MAX_DEPTH { Err(DataError::Depth) } else { Ok(depth + 1) }
}

fn check_length(length: usize) -> Result<(), DataError> {
    if length > MAX_CONTAINER { Err(DataError::Container) } else { Ok(()) }
}

fn check_key(key: &str) -> Result<(), DataError> {
    match key {
        "" => Err(DataError::KeyEmpty),
        "__proto__" => Err(DataError::KeyReserved),
        _ if key.len() > MAX_KEY_BYTES => Err(DataError::KeyTooLong),
        _ => Ok(()),
    }
}

/// What an object is: a link, bytes, or a map. `depth` is that of what the object holds.
fn object(mut entries: BTreeMap<String, Ipld>, depth: usize) -> Result<Ipld, DataError> {
    if let Some(link) = entries.remove("$link") {
        return match link {
            Ipld::String(text) if entries.is_empty() => {
                parse_cid(&text).map(Ipld::Link).map_err(|_| DataError::LinkForm)
            }
            _ => Err(DataError::LinkForm),
        };
    }
    if let Some(bytes) = entries.remove("$bytes") {
        return match bytes {
            Ipld::String(text) if entries.is_empty() => base64(&text).map(Ipld::Bytes),
            _ => Err(DataError::BytesForm),
        };
    }
    if depth > MAX_DEPTH {
        return Err(DataError::Depth);
    }
    record::check_map(&entries)?;
    Ok(Ipld::Map(entries))
}

/// Base 64 of the plain alphabet, with or without padding.
fn base64(text: &str) -> Result<Vec<u8>, DataError> {
    let base = if text.ends_with('=') { BASE64 } else { BASE64_NOPAD };
    base.decode(text.as_bytes()).map_err(|_| DataError::BytesForm)
}
