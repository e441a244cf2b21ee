//! Values that hold no others.

use std::fmt::Display;

use murmuration_data::Ipld;
use unicode_segmentation::UnicodeSegmentation;

use super::Checked;
use crate::LexiconError;
use crate::path::Path;
use crate::schema::{Boolean, Integer, Length, Text};

pub(super) fn boolean(path: &Path<'_>, schema: Boolean, value: &Ipld) -> Checked {
    match (value, schema.fixed) {
        (Ipld::Bool(value), Some(fixed)) if *value != fixed => Err(must_be(path, fixed)),
        (Ipld::Bool(_), _) => Ok(()),
        _ => Err(LexiconError::data(path, BOOLEAN)),
    }
}

pub(super) fn integer(path: &Path<'_>, schema: &Integer, value: &Ipld) -> Checked {
    let Ipld::Integer(value) = value else {
        return Err(LexiconError::data(path, INTEGER));
    };
    let value = i64::try_from(*value).map_err(|_| LexiconError::data(path, INTEGER))?;
    if let Some(fixed) = schema.fixed.filter(|fixed| value != *fixed) {
        return Err(must_be(path, fixed));
    }
    if let Some(allowed) = schema.allowed.as_ref().filter(|allowed| !allowed.contains(&value)) {
        return Err(must_be_one_of(path, allowed));
    }
    if let Some(maximum) = schema.maximum.filter(|maximum| value > *maximum) {
        return Err(LexiconError::data(path, format!("can not be greater than {maximum}")));
    }
    match schema.minimum.filter(|minimum| value < *minimum) {
        Some(minimum) => Err(LexiconError::data(path, format!("can not be less than {minimum}"))),
        None => Ok(()),
    }
}

pub(super) fn text(path: &Path<'_>, schema: &Text, value: &Ipld) -> Checked {
    let Ipld::String(value) = value else {
        return Err(LexiconError::data(path, TEXT));
    };
    if let Some(fixed) = schema.fixed.as_deref().filter(|fixed| value != fixed) {
        return Err(must_be(path, fixed));
    }
    if let Some(allowed) =
        schema.allowed.as_ref().filter(|allowed| !allowed.iter().any(|entry| **entry == **value))
    {
        return Err(must_be_one_of(path, allowed));
    }
    within(path, schema.bytes, |_| value.len(), ["shorter", "longer"], "characters")?;
    // A grapheme has a byte at least: most texts need no count.
    let bounds = schema.graphemes;
    if bounds.minimum.is_some() || bounds.maximum.is_some_and(|maximum| value.len() > maximum) {
        let graphemes = |enough| value.graphemes(true).take(enough).count();
        within(path, bounds, graphemes, ["shorter", "longer"], "graphemes")?;
    }
    match schema.format.filter(|format| !format.admits(value)) {
        Some(format) => Err(LexiconError::data(path, format.wanted())),
        None => Ok(()),
    }
}

pub(super) fn bytes(path: &Path<'_>, length: Length, value: &Ipld) -> Checked {
    match value {
        Ipld::Bytes(bytes) => within(path, length, |_| bytes.len(), ["smaller", "larger"], "bytes"),
        _ => Err(LexiconError::data(path, "must be a byte array")),
    }
}

/// Refuses a length outside its bounds. `measure` may stop counting at the number it is given.
fn within(
    path: &Path<'_>,
    bounds: Length,
    measure: impl Fn(usize) -> usize,
    [less, more]: [&str; 2],
    unit: &str,
) -> Checked {
    let enough = bounds.maximum.unwrap_or_default().max(bounds.minimum.unwrap_or_default()).saturating_add(1);
    let length = measure(enough);
    if let Some(maximum) = bounds.maximum.filter(|maximum| length > *maximum) {
        return Err(LexiconError::data(path, format!("must not be {more} than {maximum} {unit}")));
    }
    match bounds.minimum.filter(|minimum| length < *minimum) {
        Some(minimum) => Err(LexiconError::data(path, format!("must not be {less} than {minimum} {unit}"))),
        None => Ok(()),
    }
}

fn must_be(path: &Path<'_>, value: impl Display) -> LexiconError {
    LexiconError::data(path, format!("must be {value}"))
}

fn must_be_one_of<T: ToString>(path: &Path<'_>, values: &[T]) -> LexiconError {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    LexiconError::data(path, format!("must be one of ({})", values.join("|")))
}

pub(crate) const BOOLEAN: &str = "must be a boolean";
pub(crate) const INTEGER: &str = "must be an integer";
const TEXT: &str = "must be a string";
