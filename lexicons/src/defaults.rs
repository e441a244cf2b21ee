//! Puts in the defaults of what was left out.

use murmuration_data::{Ipld, limits};

use crate::document::Definition;
use crate::path::Path;
use crate::schema::{Object, Schema};
use crate::validate::kind;
use crate::{Catalog, LexiconError};

/// The value that stands where none is given.
pub(crate) fn of(schema: &Schema) -> Option<Ipld> {
    match schema {
        Schema::Boolean(schema) => schema.default.map(Ipld::Bool),
        Schema::Integer(schema) => schema.default.map(|value| Ipld::Integer(value.into())),
        Schema::String(schema) => schema.default.as_deref().map(|value| Ipld::String(value.to_owned())),
        _ => None,
    }
}

/// Completes `value`, and what it holds, as far as it has the shape that `schema` asks for.
///
/// The rest is left for validation to refuse, and so is what is too deep.
pub(crate) fn fill(
    catalog: &Catalog,
    path: &Path<'_>,
    schema: &Schema,
    value: &mut Ipld,
) -> Result<(), LexiconError> {
    if path.depth() > limits::MAX_DEPTH {
        return Ok(());
    }
    match (schema, value) {
        (Schema::Array(schema), Ipld::List(items)) => {
            let mut items = items.iter_mut();
            items.try_for_each(|item| fill(catalog, &path.index(0), &schema.items, item))
        }
        (Schema::Object(schema), value) => object(catalog, path, schema, value),
        (Schema::Ref(reference), value) => definition(catalog, path, catalog.definition(reference)?, value),
        (Schema::Union(schema), value) => {
            let Ipld::Map(members) = &*value else {
                return Ok(());
            };
            let kind = kind(members);
            match schema.refs.iter().find(|reference| kind.is_some_and(|kind| reference.is(kind))) {
                Some(reference) => definition(catalog, path, catalog.definition(reference)?, value),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn definition(
    catalog: &Catalog,
    path: &Path<'_>,
    definition: &Definition,
    value: &mut Ipld,
) -> Result<(), LexiconError> {
    match definition {
        Definition::Schema(schema) => fill(catalog, path, schema, value),
        Definition::Record(record) => object(catalog, path, &record.object, value),
        _ => Ok(()),
    }
}

fn object(catalog: &Catalog, path: &Path<'_>, schema: &Object, value: &mut Ipld) -> Result<(), LexiconError> {
    let Ipld::Map(members) = value else {
        return Ok(());
    };
    for property in &schema.properties {
        match members.get_mut(&*property.name) {
            Some(value) => fill(catalog, &path.name(&property.name), &property.schema, value)?,
            None => {
                if let Some(value) = of(&property.schema) {
                    members.insert(property.name.clone().into(), value);
                }
            }
        }
    }
    Ok(())
}
