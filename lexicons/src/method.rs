//! What goes into a method and what comes out of it.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, limits};

use crate::document::Body;
use crate::path::Path;
use crate::schema::{Reference, Schema};
use crate::validate::{BOOLEAN, INTEGER, Validator, missing};
use crate::{Catalog, LexiconError, defaults};

/// The parameters of the method `id` from the pairs of a query string, as a map.
///
/// Integers and booleans are read, a repeated name makes a list where the method takes one, defaults are put in, and
/// names that the method does not know are left out. A name without a value counts as not given, as it does in the
/// reference implementation.
///
/// # Errors
/// [`LexiconError::Data`] for what is missing or ill formed; [`LexiconError::Parameter`] for the name `__proto__`; as
/// [`Catalog::method`].
pub fn params(catalog: &Catalog, id: &str, pairs: &[(String, String)]) -> Result<Ipld, LexiconError> {
    let method = catalog.method(id)?;
    if pairs.iter().any(|(name, _)| name == PROTO) {
        return Err(LexiconError::Parameter { name: PROTO });
    }
    let validator = Validator::new(catalog);
    let mut params = BTreeMap::new();
    for property in &method.parameters.properties {
        let path = Path::root(&property.name);
        let given = pairs.iter().filter(|(name, value)| *name == *property.name && !value.is_empty());
        let given = given.map(|(_, value)| value.as_str());
        let value = match &property.schema {
            Schema::Array(array) => {
                let items =
                    given.enumerate().map(|(index, text)| read(&path.index(index), &array.items, text));
                let items = items.collect::<Result<Vec<Ipld>, LexiconError>>()?;
                (!items.is_empty()).then_some(Ipld::List(items))
            }
            schema => one(&path, schema, given)?,
        };
        match value {
            Some(value) => {
                validator.value(&path, &property.schema, &value)?;
                params.insert(property.name.clone().into(), value);
            }
            None => match defaults::of(&property.schema) {
                Some(value) => drop(params.insert(property.name.clone().into(), value)),
                None if property.required => return Err(missing(&Path::root("Params"), &property.name)),
                None => {}
            },
        }
    }
    Ok(Ipld::Map(params))
}

/// The body of a request to the procedure `id`: validated, its defaults put in. Whatever comes where the method has no
/// schema for it.
///
/// # Errors
/// [`LexiconError::Data`] when it is not what the method wants; as [`Catalog::method`].
pub fn input(catalog: &Catalog, id: &str, mut body: Ipld) -> Result<Ipld, LexiconError> {
    if let Some(Body { schema: Some(schema), .. }) = &catalog.method(id)?.input {
        let path = Path::root("Input");
        defaults::fill(catalog, &path, schema, &mut body)?;
        Validator::new(catalog).value(&path, schema, &body)?;
    }
    Ok(body)
}

/// Validates the body of an answer of the method `id`.
///
/// # Errors
/// [`LexiconError::Data`] when it is not what the method promises; as [`Catalog::method`].
pub fn output(catalog: &Catalog, id: &str, body: &Ipld) -> Result<(), LexiconError> {
    match &catalog.method(id)?.output {
        Some(Body { schema: Some(schema), .. }) => {
            Validator::new(catalog).value(&Path::root("Output"), schema, body)
        }
        _ => Ok(()),
    }
}

/// Validates a value against the definition under a name, `nsid#name`.
///
/// # Errors
/// [`LexiconError::Data`] when it is not what the definition wants; [`LexiconError::NotFound`] when there is none.
pub fn object(catalog: &Catalog, name: &str, value: &Ipld) -> Result<(), LexiconError> {
    let reference =
        Reference::parse(name, "").ok_or_else(|| LexiconError::NotFound { reference: name.to_owned() })?;
    Validator::new(catalog).value(&Path::root("Object"), &Schema::Ref(reference), value)
}

/// Validates a message of the subscription `id`. `kind` is the `t` of the frame's header, `#commit`, or a full name;
/// messages have no `$type` themselves.
///
/// # Errors
/// [`LexiconError::Data`] when it is not what the subscription promises; as [`Catalog::method`].
pub fn message(catalog: &Catalog, id: &str, kind: &str, message: &Ipld) -> Result<(), LexiconError> {
    let Some(union) = &catalog.method(id)?.message else {
        return Err(LexiconError::Kind { reference: id.to_owned(), wanted: "subscription" });
    };
    let full = if kind.starts_with('#') { format!("{id}{kind}") } else { kind.to_owned() };
    Validator::new(catalog).variant(&Path::root("Message"), union, &full, message)
}

/// The value of a parameter that is given once at most.
fn one<'a>(
    path: &Path<'_>,
    schema: &Schema,
    mut given: impl Iterator<Item = &'a str>,
) -> Result<Option<Ipld>, LexiconError> {
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(text), None) => read(path, schema, text).map(Some),
        (Some(_), Some(_)) => Err(LexiconError::data(path, "must not be given more than once")),
    }
}

/// Reads a value from its text in a query string.
fn read(path: &Path<'_>, schema: &Schema, text: &str) -> Result<Ipld, LexiconError> {
    match schema {
        Schema::Boolean(_) => match text {
            "true" => Ok(Ipld::Bool(true)),
            "false" => Ok(Ipld::Bool(false)),
            _ => Err(LexiconError::data(path, BOOLEAN)),
        },
        Schema::Integer(_) => {
            // The standard library would take a plus as well.
            let number = if text.starts_with('+') { None } else { text.parse::<i64>().ok() };
            let range = -limits::MAX_INTEGER..=limits::MAX_INTEGER;
            let number = number.filter(|number| range.contains(number));
            number.map(|number| Ipld::Integer(number.into())).ok_or_else(|| LexiconError::data(path, INTEGER))
        }
        _ => Ok(Ipld::String(text.to_owned())),
    }
}

/// The one name that is refused everywhere: in JavaScript it reaches every object there is.
const PROTO: &str = "__proto__";
