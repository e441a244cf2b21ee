//! Parameters and bodies that the lexicon has let through, read by name.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, json};
use murmuration_syntax::{AtIdentifier, Did, Handle, Nsid, RecordKey, Rev};
use serde_json::Value as Json;

use crate::XrpcError;

/// A map of the data model whose shape the lexicon has checked.
///
/// The readers parse once more into types, because a type is what the rest of the code takes; what the lexicon has let
/// through they only refuse where it says less than the type.
#[derive(Clone, Debug, Default)]
pub struct Args(BTreeMap<String, Ipld>);

impl Args {
    /// Takes the map; anything else is empty.
    #[must_use]
    pub fn new(value: Ipld) -> Self {
        match value {
            Ipld::Map(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// The map as JSON.
    #[must_use]
    pub fn into_json(self) -> Json {
        json::to_value(&Ipld::Map(self.0))
    }

    /// The map as a value of the data model.
    #[must_use]
    pub fn into_ipld(self) -> Ipld {
        Ipld::Map(self.0)
    }

    /// Takes a value out.
    pub fn take(&mut self, name: &str) -> Option<Ipld> {
        self.0.remove(name)
    }

    /// Whether the name is there, be it with `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Text, if it is there.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Ipld::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A boolean, if it is there.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Ipld::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A whole number from 0 to 2^32 - 1, if it is there.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        match self.0.get(name) {
            Some(Ipld::Integer(number)) => u32::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A whole number from 0 to 2^64 - 1, if it is there.
    #[must_use]
    pub fn large_number(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Ipld::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A list of strings; empty if it is not there.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Ipld::List(items)) => items
                .iter()
                .filter_map(|item| if let Ipld::String(text) = item { Some(text.as_str()) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A value that must be there, parsed.
    ///
    /// # Errors
    /// `InvalidRequest` if it is missing or does not parse.
    pub fn parsed<T: Parse>(&self, name: &str) -> Result<T, XrpcError> {
        self.optional(name)?
            .ok_or_else(|| XrpcError::invalid(format!("Error: Params must have the property \"{name}\"")))
    }

    /// A value that may be there, parsed.
    ///
    /// # Errors
    /// `InvalidRequest` if it does not parse.
    pub fn optional<T: Parse>(&self, name: &str) -> Result<Option<T>, XrpcError> {
        self.text(name)
            .map(|text| {
                T::parse(text)
                    .ok_or_else(|| XrpcError::invalid(format!("{name} must be a valid {}", T::WHAT)))
            })
            .transpose()
    }
}

/// Types that parameters are parsed into.
pub trait Parse: Sized {
    /// What a message calls it.
    const WHAT: &'static str;
    /// Reads it.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! parse {
    ($($type:ty => $what:literal),* $(,)?) => {$(
        impl Parse for $type {
            const WHAT: &'static str = $what;
            fn parse(text: &str) -> Option<Self> {
                <$type>::parse(text).ok()
            }
        }
    )*};
}

parse! {
    Did => "did",
    Handle => "handle",
    AtIdentifier => "at-identifier",
    Nsid => "nsid",
    RecordKey => "record-key",
    Rev => "tid",
}

impl Parse for Cid {
    const WHAT: &'static str = "cid";
    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text).ok()
    }
}
