//! Holds a value against a schema.
//!
//! The first thing found wrong is the answer, in the words of `@atproto/lexicon`. Members that a schema does not name
//! are nobody's business: that is how schemas grow (<https://atproto.com/specs/lexicon#lexicon-evolution>).
//!
//! Every step down goes into the value, never only along references: a definition can not be a reference itself. So the
//! depth of the value bounds the recursion, and the depth of a value is bounded here.

mod scalar;

use std::collections::BTreeMap;

use murmuration_data::{Ipld, limits};

use crate::document::{Definition, Record};
use crate::path::Path;
use crate::schema::{Array, Blob, Object, Reference, Schema, Union};
use crate::{Catalog, LexiconError};

pub(crate) use scalar::{BOOLEAN, INTEGER};

pub(crate) type Checked = Result<(), LexiconError>;

/// Looks up references while it validates.
#[derive(Clone, Copy)]
pub(crate) struct Validator<'a> {
    catalog: &'a Catalog,
}

impl<'a> Validator<'a> {
    pub(crate) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog }
    }

    /// Holds `value`, which stands at `path`, against `schema`.
    pub(crate) fn value(self, path: &Path<'_>, schema: &Schema, value: &Ipld) -> Checked {
        if path.depth() > limits::MAX_DEPTH {
            return Err(LexiconError::data(
                path,
                format!("must not be nested deeper than {}", limits::MAX_DEPTH),
            ));
        }
        match schema {
            Schema::Boolean(schema) => scalar::boolean(path, *schema, value),
            Schema::Integer(schema) => scalar::integer(path, schema, value),
            Schema::String(schema) => scalar::text(path, schema, value),
            Schema::Bytes(length) => scalar::bytes(path, *length, value),
            Schema::CidLink => match value {
                Ipld::Link(_) => Ok(()),
                _ => Err(LexiconError::data(path, "must be a CID")),
            },
            Schema::Blob(schema) => blob(path, schema, value),
            Schema::Array(schema) => self.array(path, schema, value),
            Schema::Object(schema) => self.object(path, schema, value),
            Schema::Ref(reference) => self.reference(path, reference, value),
            Schema::Union(schema) => self.union(path, schema, value),
            Schema::Unknown => match value {
                Ipld::Map(members) if kind(members) != Some("blob") => Ok(()),
                _ => Err(LexiconError::data(path, OBJECT)),
            },
        }
    }

    /// Holds `value` against a kind of record; `id` is that kind's NSID.
    pub(crate) fn record(self, path: &Path<'_>, id: &str, record: &Record, value: &Ipld) -> Checked {
        let members = members(path, value)?;
        match kind(members) {
            Some(kind) if kind == id => self.object(path, &record.object, value),
            Some(_) => Err(LexiconError::data(&path.name(TYPE), format!("must be {id}"))),
            None => Err(LexiconError::data(&path.name(TYPE), "must be a string")),
        }
    }

    /// Holds `value` against the variant of a union that `kind` names, whatever the value says itself.
    pub(crate) fn variant(self, path: &Path<'_>, schema: &Union, kind: &str, value: &Ipld) -> Checked {
        let Some(reference) = schema.refs.iter().find(|reference| reference.is(kind)) else {
            if schema.closed {
                let names: Vec<String> = schema.refs.iter().map(ToString::to_string).collect();
                return Err(LexiconError::data(path, format!("$type must be one of {}", names.join(", "))));
            }
            return Ok(());
        };
        match self.catalog.definition(reference)? {
            Definition::Schema(Schema::Object(object)) => self.object(path, object, value),
            Definition::Record(record) => self.object(path, &record.object, value),
            _ => Err(LexiconError::Kind { reference: reference.to_string(), wanted: "object or record" }),
        }
    }

    fn array(self, path: &Path<'_>, schema: &Array, value: &Ipld) -> Checked {
        let Ipld::List(items) = value else {
            return Err(LexiconError::data(path, "must be an array"));
        };
        if let Some(maximum) = schema.length.maximum.filter(|maximum| items.len() > *maximum) {
            return Err(LexiconError::data(path, format!("must not have more than {maximum} elements")));
        }
        if let Some(minimum) = schema.length.minimum.filter(|minimum| items.len() < *minimum) {
            return Err(LexiconError::data(path, format!("must not have fewer than {minimum} elements")));
        }
        let mut items = items.iter().enumerate();
        items.try_for_each(|(index, item)| self.value(&path.index(index), &schema.items, item))
    }

    fn object(self, path: &Path<'_>, schema: &Object, value: &Ipld) -> Checked {
        let members = members(path, value)?;
        for property in &schema.properties {
            match members.get(&*property.name) {
                None if property.required => return Err(missing(path, &property.name)),
                None => {}
                Some(Ipld::Null) if property.nullable => {}
                Some(value) => self.value(&path.name(&property.name), &property.schema, value)?,
            }
        }
        Ok(())
    }

    fn reference(self, path: &Path<'_>, reference: &Reference, value: &Ipld) -> Checked {
        match self.catalog.definition(reference)? {
            Definition::Schema(schema) => self.value(path, schema, value),
            Definition::Record(record) => self.record(path, &reference.document, record, value),
            _ => Err(LexiconError::Kind { reference: reference.to_string(), wanted: "field or record" }),
        }
    }

    fn union(self, path: &Path<'_>, schema: &Union, value: &Ipld) -> Checked {
        match value {
            Ipld::Map(members) => match kind(members) {
                Some(kind) => self.variant(path, schema, kind, value),
                None => Err(LexiconError::data(path, TYPED)),
            },
            _ => Err(LexiconError::data(path, TYPED)),
        }
    }
}

/// What to say of an object that lacks a property.
pub(crate) fn missing(path: &Path<'_>, name: &str) -> LexiconError {
    LexiconError::data(path, format!("must have the property \"{name}\""))
}

/// The `$type` of an object.
pub(crate) fn kind(members: &BTreeMap<String, Ipld>) -> Option<&str> {
    match members.get(TYPE) {
        Some(Ipld::String(kind)) => Some(kind),
        _ => None,
    }
}

fn members<'a>(path: &Path<'_>, value: &'a Ipld) -> Result<&'a BTreeMap<String, Ipld>, LexiconError> {
    match value {
        Ipld::Map(members) => Ok(members),
        _ => Err(LexiconError::data(path, OBJECT)),
    }
}

/// The kind of CID in a reference to a blob is the data model's concern, not a schema's.
fn blob(path: &Path<'_>, schema: &Blob, value: &Ipld) -> Checked {
    let no_blob = || LexiconError::data(path, "should be a blob ref");
    let Ipld::Map(members) = value else {
        return Err(no_blob());
    };
    let (Some("blob"), Some(Ipld::Link(_)), Some(Ipld::String(mime_type)), Some(Ipld::Integer(size))) =
        (kind(members), members.get("ref"), members.get("mimeType"), members.get("size"))
    else {
        return Err(no_blob());
    };
    let size = u64::try_from(*size).map_err(|_| no_blob())?;
    if let Some(accept) =
        schema.accept.as_ref().filter(|accept| !accept.iter().any(|entry| covers(entry, mime_type)))
    {
        return Err(LexiconError::data(path, format!("must be of type {}", accept.join(", "))));
    }
    match schema.maximum {
        Some(maximum) if size > maximum => {
            Err(LexiconError::data(path, format!("must not be larger than {maximum} bytes")))
        }
        _ => Ok(()),
    }
}

/// Whether an entry of a list of MIME types admits this one.
fn covers(entry: &str, mime_type: &str) -> bool {
    match entry.strip_suffix('*') {
        Some("*/") => true,
        Some(prefix) if prefix.ends_with('/') => mime_type.starts_with(prefix),
        _ => entry == mime_type,
    }
}

const TYPE: &str = "$type";
const OBJECT: &str = "must be an object";
const TYPED: &str = "must be an object which includes the \"$type\" property";
