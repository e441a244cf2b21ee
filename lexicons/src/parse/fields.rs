//! The members of a JSON object in a document, each taken as what it must be.

use serde_json::{Map, Value};

use crate::LexiconError;
use crate::path::Path;
use crate::schema::Length;

/// A JSON object and where it stands.
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    path: &'a Path<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, path: &'a Path<'a>) -> Result<Self, LexiconError> {
        if path.depth() > MAX_DEPTH {
            return Err(LexiconError::document(path, "is nested too deeply"));
        }
        match value {
            Value::Object(members) => Ok(Self { members, path }),
            _ => Err(LexiconError::document(path, "must be an object")),
        }
    }

    pub(super) fn path(&self) -> &'a Path<'a> {
        self.path
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    pub(super) fn error(&self, name: &str, rule: &'static str) -> LexiconError {
        LexiconError::document(&self.path.name(name), rule)
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a Value, LexiconError> {
        self.get(name).ok_or_else(|| self.error(name, "is missing"))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, LexiconError> {
        self.typed(name, Value::as_str, "must be a string")
    }

    pub(super) fn required_text(&self, name: &str) -> Result<&'a str, LexiconError> {
        self.required(name)?.as_str().ok_or_else(|| self.error(name, "must be a string"))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, LexiconError> {
        self.typed(name, Value::as_i64, "must be an integer")
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, LexiconError> {
        self.typed(name, Value::as_bool, "must be a boolean")
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, LexiconError> {
        self.typed(name, |value| value.as_array().map(Vec::as_slice), "must be an array")
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<Box<str>>>, LexiconError> {
        let Some(list) = self.list(name)? else {
            return Ok(None);
        };
        let texts: Option<Vec<Box<str>>> = list.iter().map(|value| value.as_str().map(Into::into)).collect();
        texts.map(Some).ok_or_else(|| self.error(name, "must be an array of strings"))
    }

    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, LexiconError> {
        let Some(list) = self.list(name)? else {
            return Ok(None);
        };
        let integers: Option<Vec<i64>> = list.iter().map(Value::as_i64).collect();
        integers.map(Some).ok_or_else(|| self.error(name, "must be an array of integers"))
    }

    /// Bounds of a length, under two names.
    pub(super) fn length(&self, minimum: &str, maximum: &str) -> Result<Length, LexiconError> {
        let size = |name: &str| {
            let size = self.integer(name)?.map(usize::try_from).transpose();
            size.map_err(|_| self.error(name, "must not be negative"))
        };
        let length = Length { minimum: size(minimum)?, maximum: size(maximum)? };
        if length.minimum > length.maximum && length.maximum.is_some() {
            return Err(self.error(minimum, "must not exceed the maximum"));
        }
        Ok(length)
    }

    fn typed<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        rule: &'static str,
    ) -> Result<Option<T>, LexiconError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(name, rule)),
        }
    }
}

/// Objects inside one another in a document, at most. Ours: the deepest of those packed here has 8.
const MAX_DEPTH: usize = 64;
