//! Reads the shapes of values.

use serde_json::Value;

use super::Reader;
use super::fields::Fields;
use crate::LexiconError;
use crate::format::Format;
use crate::path::Path;
use crate::schema::{Array, Blob, Boolean, Integer, Object, Property, Reference, Schema, Text, Union};

impl Reader<'_> {
    pub(super) fn schema(self, value: &Value, path: &Path<'_>) -> Result<Schema, LexiconError> {
        let fields = Fields::of(value, path)?;
        let kind = fields.required_text("type")?;
        fields.text("description")?;
        if fields.get("const").is_some() && fields.get("default").is_some() {
            return Err(fields.error("default", "can not stand beside const"));
        }
        Ok(match kind {
            "boolean" => Schema::Boolean(Boolean {
                default: fields.boolean("default")?,
                fixed: fields.boolean("const")?,
            }),
            "integer" => Schema::Integer(integer(&fields)?),
            "string" => Schema::String(text(&fields)?),
            "bytes" => Schema::Bytes(fields.length("minLength", "maxLength")?),
            "cid-link" => Schema::CidLink,
            "blob" => Schema::Blob(blob(&fields)?),
            "array" => {
                let items = self.schema(fields.required("items")?, &path.name("items"))?;
                Schema::Array(Array { items: items.into(), length: fields.length("minLength", "maxLength")? })
            }
            "object" => Schema::Object(self.object(&fields)?),
            "ref" => {
                let reference = Reference::parse(fields.required_text("ref")?, self.id);
                Schema::Ref(reference.ok_or_else(|| fields.error("ref", NO_REFERENCE))?)
            }
            "union" => Schema::Union(self.union(&fields)?),
            "unknown" => Schema::Unknown,
            _ => {
                return Err(fields.error("type", "must be a type that lexicons know and that can stand here"));
            }
        })
    }

    /// The properties of an object, or of parameters.
    pub(super) fn object(self, fields: &Fields<'_>) -> Result<Object, LexiconError> {
        let required = fields.texts("required")?.unwrap_or_default();
        let nullable = fields.texts("nullable")?.unwrap_or_default();
        let mut properties = Vec::new();
        let path = fields.path().name("properties");
        for (name, value) in Fields::of(fields.required("properties")?, &path)?.iter() {
            let has = |names: &[Box<str>]| names.iter().any(|other| **other == *name);
            properties.push(Property {
                name: name.into(),
                required: has(&required),
                nullable: has(&nullable),
                schema: self.schema(value, &path.name(name))?,
            });
        }
        if !required.iter().all(|name| properties.iter().any(|property| property.name == *name)) {
            return Err(fields.error("required", "must name properties that are defined"));
        }
        Ok(Object { properties })
    }

    fn union(self, fields: &Fields<'_>) -> Result<Union, LexiconError> {
        fields.required("refs")?;
        let refs = fields.texts("refs")?.unwrap_or_default();
        let refs: Option<Vec<Reference>> = refs.iter().map(|text| Reference::parse(text, self.id)).collect();
        let refs = refs.ok_or_else(|| fields.error("refs", NO_REFERENCE))?;
        let closed = fields.boolean("closed")?.unwrap_or_default();
        if closed && refs.is_empty() {
            return Err(fields.error("refs", "must not be empty where the union is closed"));
        }
        Ok(Union { refs, closed })
    }
}

fn integer(fields: &Fields<'_>) -> Result<Integer, LexiconError> {
    let integer = Integer {
        minimum: fields.integer("minimum")?,
        maximum: fields.integer("maximum")?,
        allowed: fields.integers("enum")?,
        default: fields.integer("default")?,
        fixed: fields.integer("const")?,
    };
    if integer.minimum > integer.maximum && integer.maximum.is_some() {
        return Err(fields.error("minimum", "must not exceed the maximum"));
    }
    Ok(integer)
}

fn text(fields: &Fields<'_>) -> Result<Text, LexiconError> {
    let format = match fields.text("format")? {
        None => None,
        Some(name) => {
            Some(Format::parse(name).ok_or_else(|| fields.error("format", "must be a known format"))?)
        }
    };
    fields.texts("knownValues")?;
    Ok(Text {
        format,
        bytes: fields.length("minLength", "maxLength")?,
        graphemes: fields.length("minGraphemes", "maxGraphemes")?,
        allowed: fields.texts("enum")?,
        default: fields.text("default")?.map(Into::into),
        fixed: fields.text("const")?.map(Into::into),
    })
}

fn blob(fields: &Fields<'_>) -> Result<Blob, LexiconError> {
    let maximum = fields.integer("maxSize")?.map(u64::try_from).transpose();
    Ok(Blob {
        accept: fields.texts("accept")?,
        maximum: maximum.map_err(|_| fields.error("maxSize", "must not be negative"))?,
    })
}

const NO_REFERENCE: &str = "must be an NSID, with # and a name where it is not of the main definition";
