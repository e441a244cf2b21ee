//! The shapes that a lexicon can ask of a value: <https://atproto.com/specs/lexicon#field-type-definitions>.

use std::fmt;

use crate::format::Format;

/// What a value must be.
#[derive(Clone, Debug)]
pub(crate) enum Schema {
    Boolean(Boolean),
    Integer(Integer),
    String(Text),
    Bytes(Length),
    CidLink,
    Blob(Blob),
    Array(Array),
    Object(Object),
    Ref(Reference),
    Union(Union),
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Boolean {
    pub(crate) default: Option<bool>,
    pub(crate) fixed: Option<bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct Integer {
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    pub(crate) allowed: Option<Vec<i64>>,
    pub(crate) default: Option<i64>,
    pub(crate) fixed: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) format: Option<Format>,
    pub(crate) bytes: Length,
    pub(crate) graphemes: Length,
    pub(crate) allowed: Option<Vec<Box<str>>>,
    pub(crate) default: Option<Box<str>>,
    pub(crate) fixed: Option<Box<str>>,
}

/// Bounds of a length, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) minimum: Option<usize>,
    pub(crate) maximum: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// MIME types, or patterns of them that end in `/*`; any where there is no list.
    pub(crate) accept: Option<Vec<Box<str>>>,
    /// In bytes.
    pub(crate) maximum: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) items: Box<Schema>,
    pub(crate) length: Length,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    pub(crate) properties: Vec<Property>,
}

#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) name: Box<str>,
    pub(crate) required: bool,
    pub(crate) nullable: bool,
    pub(crate) schema: Schema,
}

#[derive(Clone, Debug)]
pub(crate) struct Union {
    pub(crate) refs: Vec<Reference>,
    pub(crate) closed: bool,
}

/// The name of a definition: a document's NSID and the definition's name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) document: Box<str>,
    pub(crate) name: Box<str>,
}

impl Reference {
    /// Reads `nsid`, `nsid#name` or, in the document `base`, `#name`. The parts are not checked: a name that is none
    /// is not found either.
    pub(crate) fn parse(text: &str, base: &str) -> Option<Self> {
        let (document, name) = split(text)?;
        let document = if document.is_empty() { base } else { document };
        Some(Self { document: document.into(), name: name.into() })
    }

    /// Whether `kind`, the `$type` of a value, is this name.
    pub(crate) fn is(&self, kind: &str) -> bool {
        split(kind).is_some_and(|(document, name)| *self.document == *document && *self.name == *name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            MAIN => f.write_str(&self.document),
            name => write!(f, "{}#{name}", self.document),
        }
    }
}

/// A name's document and definition.
fn split(text: &str) -> Option<(&str, &str)> {
    match text.split_once('#') {
        None => Some((text, MAIN)),
        Some((document, name)) => (!name.is_empty() && !name.contains('#')).then_some((document, name)),
    }
}

impl Schema {
    /// Whether this is what a query parameter can be, other than a list.
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self, Self::Boolean(_) | Self::Integer(_) | Self::String(_))
    }
}

/// The name of a document's primary definition, which a reference leaves out.
pub(crate) const MAIN: &str = "main";
