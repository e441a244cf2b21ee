//! Reads lexicon documents from JSON.
//!
//! By hand rather than derived: a document that someone published has to be refused with the place and the rule, and a
//! derived reader of so many tagged shapes weighs several times as much in the Worker.

mod fields;
mod schema;

use std::collections::BTreeMap;

use murmuration_syntax::Nsid;
use serde_json::Value;

use crate::LexiconError;
use crate::document::{Body, Definition, Document, KeyKind, Method, MethodKind, Record};
use crate::path::Path;
use crate::schema::{MAIN, Object, Schema, Union};
use fields::Fields;

/// Reads a document.
pub(crate) fn document(json: &Value) -> Result<Document, LexiconError> {
    let root = Path::root("Lexicon");
    let fields = Fields::of(json, &root)?;
    if fields.integer("lexicon")? != Some(LANGUAGE) {
        return Err(fields.error("lexicon", "must be 1"));
    }
    let id =
        Nsid::parse(fields.required_text("id")?).map_err(|_| fields.error("id", "must be a valid nsid"))?;
    fields.text("description")?;
    let path = root.name("defs");
    let named = Fields::of(fields.required("defs")?, &path)?;
    let reader = Reader { id: id.as_str() };
    let mut definitions = BTreeMap::new();
    for (name, value) in named.iter() {
        let path = path.name(name);
        if name.is_empty() || name.contains('#') {
            return Err(LexiconError::document(&path, "is no name for a definition"));
        }
        definitions.insert(name.into(), reader.definition(name, value, &path)?);
    }
    if definitions.is_empty() {
        return Err(LexiconError::document(&path, "must have at least one definition"));
    }
    Ok(Document { id, definitions })
}

/// Reads the definitions of one document.
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// The document's NSID, to which its local references belong.
    id: &'a str,
}

impl Reader<'_> {
    fn definition(self, name: &str, value: &Value, path: &Path<'_>) -> Result<Definition, LexiconError> {
        let fields = Fields::of(value, path)?;
        let kind = fields.required_text("type")?;
        fields.text("description")?;
        if PRIMARY.contains(&kind) && name != MAIN {
            return Err(LexiconError::document(
                path,
                "must be the main definition, as it is of a primary type",
            ));
        }
        match kind {
            "record" => self.record(&fields),
            "query" => self.method(MethodKind::Query, &fields),
            "procedure" => self.method(MethodKind::Procedure, &fields),
            "subscription" => self.method(MethodKind::Subscription, &fields),
            "permission-set" => permission_set(&fields),
            "token" => Ok(Definition::Token),
            "ref" | "union" | "unknown" | "params" | "permission" => {
                Err(fields.error("type", "can not be that of a named definition"))
            }
            _ => self.schema(value, path).map(Definition::Schema),
        }
    }

    fn record(self, fields: &Fields<'_>) -> Result<Definition, LexiconError> {
        let key = KeyKind::parse(fields.required_text("key")?);
        let key =
            key.ok_or_else(|| fields.error("key", "must be any, nsid, tid or literal: and a record key"))?;
        let path = fields.path().name("record");
        match self.schema(fields.required("record")?, &path)? {
            Schema::Object(object) => Ok(Definition::Record(Record { key, object })),
            _ => Err(LexiconError::document(&path, "must be of type object")),
        }
    }

    fn method(self, kind: MethodKind, fields: &Fields<'_>) -> Result<Definition, LexiconError> {
        let called = kind != MethodKind::Subscription;
        let input = if kind == MethodKind::Procedure { self.body(fields, "input")? } else { None };
        let output = if called { self.body(fields, "output")? } else { None };
        let message = if called { None } else { Some(self.message(fields)?) };
        let parameters = self.parameters(fields)?;
        let method = Method { kind, parameters, input, output, message, errors: errors(fields)? };
        Ok(Definition::Method(Box::new(method)))
    }

    fn parameters(self, fields: &Fields<'_>) -> Result<Object, LexiconError> {
        let Some(value) = fields.get("parameters") else {
            return Ok(Object::default());
        };
        let path = fields.path().name("parameters");
        let fields = Fields::of(value, &path)?;
        if fields.required_text("type")? != "params" {
            return Err(fields.error("type", "must be params"));
        }
        let object = self.object(&fields)?;
        for property in &object.properties {
            let scalar = match &property.schema {
                Schema::Array(array) => array.items.is_scalar(),
                schema => schema.is_scalar(),
            };
            if !scalar || property.nullable {
                let rule = "must be a boolean, integer or string, or an array of one of these";
                return Err(LexiconError::document(&path.name(&property.name), rule));
            }
        }
        Ok(object)
    }

    fn body(self, fields: &Fields<'_>, name: &str) -> Result<Option<Body>, LexiconError> {
        let Some(value) = fields.get(name) else {
            return Ok(None);
        };
        let path = fields.path().name(name);
        let fields = Fields::of(value, &path)?;
        let encoding = fields.required_text("encoding")?.into();
        let path = path.name("schema");
        let schema = fields.get("schema").map(|value| self.schema(value, &path)).transpose()?;
        match &schema {
            None | Some(Schema::Object(_) | Schema::Ref(_) | Schema::Union(_)) => {
                Ok(Some(Body { encoding, schema }))
            }
            Some(_) => Err(LexiconError::document(&path, "must be an object, a ref or a union")),
        }
    }

    fn message(self, fields: &Fields<'_>) -> Result<Union, LexiconError> {
        let path = fields.path().name("message");
        let fields = Fields::of(fields.required("message")?, &path)?;
        let path = path.name("schema");
        match self.schema(fields.required("schema")?, &path)? {
            Schema::Union(union) => Ok(union),
            _ => Err(LexiconError::document(&path, "must be a union")),
        }
    }
}

fn errors(fields: &Fields<'_>) -> Result<Vec<Box<str>>, LexiconError> {
    let path = fields.path().name("errors");
    let mut names = Vec::new();
    for (index, value) in fields.list("errors")?.unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        let fields = Fields::of(value, &path)?;
        let name = fields.required_text("name")?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(fields.error("name", "must be a name without whitespace"));
        }
        names.push(name.into());
    }
    Ok(names)
}

/// Sees that a permission set is well formed. What its permissions mean is for the one who grants them to read.
fn permission_set(fields: &Fields<'_>) -> Result<Definition, LexiconError> {
    fields.text("title")?;
    fields.text("detail")?;
    fields.required("permissions")?;
    let path = fields.path().name("permissions");
    for (index, value) in fields.list("permissions")?.unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        let fields = Fields::of(value, &path)?;
        if fields.required_text("type")? != "permission" {
            return Err(fields.error("type", "must be permission"));
        }
        if fields.required_text("resource")?.is_empty() {
            return Err(fields.error("resource", "must not be empty"));
        }
    }
    Ok(Definition::PermissionSet)
}

/// The version of the language that is read here.
const LANGUAGE: i64 = 1;

/// The types that only a document's main definition may have.
const PRIMARY: [&str; 5] = ["permission-set", "procedure", "query", "record", "subscription"];
